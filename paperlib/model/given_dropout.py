"""Copy an encoder into a form that runs as one of many under `vmap`, with dropout masks given from outside."""

import contextlib
import copy
from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, PreTrainedModel

ATTENTION = "given_dropout"


class Masks:
    """The dropout masks of one step, for all places of one forward pass, in the order in which it comes to them.

    The places, each the probability and the shape of one example's activations, are learnt inside `learning`.
    """

    def __init__(self) -> None:
        self.places: list[tuple[float, torch.Size]] = []
        self._learning = False
        self._given: Iterator[torch.Tensor] = iter(())

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """Drop nothing, and note the places, in the forward pass inside the block."""
        self.places.clear()
        self._learning = True
        try:
            yield
        finally:
            self._learning = False

    def draw(self, generators: list[torch.Generator], examples: int) -> list[torch.Tensor]:
        """Draw a step's masks, for each place (models, examples, ...), true = kept; row `i` from `generators[i]` alone.

        Places of the same probability are drawn at once: a generator is asked once or twice a step.
        """
        sizes = Counter()
        for rate, shape in self.places:
            sizes[rate] += examples * shape.numel()
        drawn = {rate: _draw(generators, rate, size) for rate, size in sizes.items()}
        used, masks = Counter(), []
        for rate, shape in self.places:
            start, stop = used[rate], used[rate] + examples * shape.numel()
            masks.append(drawn[rate][:, start:stop].unflatten(1, (examples, *shape)))
            used[rate] = stop
        return masks

    def give(self, masks: list[torch.Tensor]) -> None:
        """Use these masks (examples, ...) in the forward pass that follows."""
        self._given = iter(masks)

    def apply(self, rate: float, x: torch.Tensor) -> torch.Tensor:
        """Drop from x (examples, ...) what the next mask says, and scale up the rest."""
        if self._learning:
            self.places.append((rate, x.shape[1:]))
            return x
        return x * next(self._given) * (1 / (1 - rate))


class GivenDropout(nn.Module):
    """Takes the place of `nn.Dropout`."""

    def __init__(self, rate: float, masks: Masks):
        super().__init__()
        self.p, self.masks = rate, masks  # `p` is what the attention of transformers reads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop what the mask of this place says."""
        return self.masks.apply(self.p, x) if self.p > 0 else x


class TokenLinear(nn.Module):
    """Takes the place of `nn.Linear`, with its weights: one matrix product over all tokens of all examples.

    Under `vmap` an ordinary one may copy its weights for every example, and with autocast it returns 32-bit numbers,
    because the bias is then added after the product.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in) to (..., out)."""
        y = F.linear(x.flatten(0, -2), self.weight)
        return (y if self.bias is None else y + self.bias.to(y.dtype)).unflatten(0, x.shape[:-1])


def template_of(model: PreTrainedModel, masks: Masks) -> PreTrainedModel:
    """Return a copy, in training mode and with the same names of parameters, that draws no random number itself."""
    template = copy.deepcopy(model).train()
    template.set_attn_implementation(ATTENTION)
    for module in list(template.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(module, name, GivenDropout(child.p, masks))
            elif type(child) is nn.Linear:
                setattr(module, name, TokenLinear(child))
    return template


def _attend(module, query, key, value, attention_mask, scaling, **_) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend as `eager` does, with the dropout layer of the module; all are (examples, heads, tokens, ...)."""
    weights = (query @ key.transpose(2, 3) * scaling + attention_mask).softmax(-1)
    return (module.dropout(weights) @ value).transpose(1, 2).contiguous(), weights


AttentionInterface.register(ATTENTION, _attend)


def _draw(generators: list[torch.Generator], rate: float, size: int) -> torch.Tensor:
    kept = torch.empty(len(generators), size, dtype=torch.bool, device=generators[0].device)
    for row, generator in zip(kept, generators):
        row.bernoulli_(1 - rate, generator=generator)
    return kept
