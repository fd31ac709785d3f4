"""Sum the squared per-example gradients of every layer during one ordinary backward pass."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from paperlib.common.errors import UserError


@contextlib.contextmanager
def squared_gradients(layers: nn.ModuleList) -> Iterator[list[torch.Tensor]]:
    """Collect, for each layer, the sum over examples and parameters of the squared gradient of each example's loss.

    Inside the block, every backward pass of a loss that is a sum over examples adds to the list it yields. A linear
    map's weight gradient of one example is G = g^T a, with its inputs a (tokens, in) and output gradients g
    (tokens, out), and |G|^2 = sum((a a^T) * (g g^T)): no gradient of an example is ever formed.
    (Goodfellow 2015, arXiv 1510.01799; for sequences, Li et al. 2022, arXiv 2110.05679.)
    Raises UserError for a layer with parameters outside of linear maps and layer norms.
    """
    sums = _zeros(layers)
    handles = []
    for number, layer in enumerate(layers):
        for module in _owners(layer):
            handles.append(module.register_forward_hook(_Watcher(sums, number)))
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


class _Watcher:
    """A forward hook that waits for the gradient of the module's output and adds its squares."""

    def __init__(self, sums: list[torch.Tensor], number: int):
        self.sums, self.number = sums, number

    def __call__(self, module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        squares = SQUARES[type(module)]
        given = inputs[0].detach()

        def add(gradient: torch.Tensor) -> None:
            self.sums[self.number] += squares(module, given, gradient).double()

        output.register_hook(add)


def _linear_squares(module: nn.Linear, a: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    a, g = a.flatten(1, -2), g.flatten(1, -2)  # (examples, tokens, in), (examples, tokens, out)
    total = ((a @ a.mT) * (g @ g.mT)).sum()
    return total if module.bias is None else total + g.sum(1).square().sum()


def _norm_squares(module: nn.LayerNorm, a: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    normalised = F.layer_norm(a, module.normalized_shape, eps=module.eps)
    total = (g * normalised).flatten(1, -2).sum(1).square().sum()
    return total if module.bias is None else total + g.flatten(1, -2).sum(1).square().sum()


def one_by_one(
    layers: nn.ModuleList, losses: Iterator[torch.Tensor]
) -> list[torch.Tensor]:
    """Return the same sums from the loss of one example after the other: for layers of any kind, and several times slower."""
    sums = _zeros(layers)
    parameters = [(number, parameter) for number, layer in enumerate(layers) for parameter in layer.parameters()]
    for loss in losses:
        gradients = torch.autograd.grad(loss, [parameter for _, parameter in parameters], allow_unused=True)
        for (number, _), gradient in zip(parameters, gradients):
            if gradient is not None:
                sums[number] += gradient.double().square().sum()
    return sums


def _zeros(layers: nn.ModuleList) -> list[torch.Tensor]:
    """Return a sum for each layer, where the layer is: a GPU then adds without waiting for anyone to read."""
    return [torch.zeros((), dtype=torch.float64, device=next(layer.parameters()).device) for layer in layers]


SQUARES = {nn.Linear: _linear_squares, nn.LayerNorm: _norm_squares}


def _owners(layer: nn.Module) -> list[nn.Module]:
    owners = [module for module in layer.modules() if any(True for _ in module.parameters(recurse=False))]
    for module in owners:
        if type(module) not in SQUARES:
            raise UserError(f"Gradient-Fisher: parameters of {type(module).__name__} are not supported")
    return owners
