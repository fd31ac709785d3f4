"""What is known of each family of encoders: where its layers are, what its head reads, what it cannot do without."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel

from paperlib.common.errors import UserError

Output = torch.Tensor | tuple  # of a layer: its hidden state (examples, tokens, hidden), alone or the first of a tuple
T = TypeVar("T")

LAYER_LISTS = ("encoder.layer", "transformer.layer", "layers")  # BERT and most others; DistilBERT; ModernBERT


@dataclass(frozen=True)
class Family:
    """What the exact shortcuts may take for granted; a family that is not in the table has none of them.

    `first_token`: the head reads the first token only, and these modules of the last layer may see it alone.
    `maps_once`: a linear map of a layer is applied once, to each example's own tokens.
    `needs_a_layer`: the encoder cannot run without one.
    `bare_first`: the first layer is built without the norm that the others begin with.
    """

    first_token: tuple[str, ...] = ()
    maps_once: bool = False
    needs_a_layer: bool = False
    bare_first: bool = False


BERT = Family(("attention.output",), maps_once=True)
DEBERTA = Family(("attention.output",), needs_a_layer=True)  # its maps of positions are shared by all examples
FAMILIES = {
    "bert": BERT,
    "roberta": BERT,
    "camembert": BERT,
    "xlm-roberta": BERT,
    "electra": BERT,
    "distilbert": Family(("attention.out_lin", "sa_layer_norm"), maps_once=True),
    "mpnet": Family(("attention.attn.o", "attention.LayerNorm"), maps_once=True),
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA,
    "modernbert": Family(("attn.Wo", "mlp_norm"), maps_once=True, bare_first=True),
}


def family(model: PreTrainedModel) -> Family:
    """Return what is known of the model's family."""
    return FAMILIES.get(model.config.model_type, Family())


def layers(model: PreTrainedModel) -> nn.ModuleList:
    """Return the model's encoder layers, in order; raises UserError when it has none that we know."""
    return nn.ModuleList(own(model, all_layers(model)))


def own(model: PreTrainedModel, of_all: Sequence[T]) -> list[T]:
    """Return what belongs to the model's own layers, of a sequence for all: a spacer is left out (see `remove_layers`)."""
    numbers = getattr(model.config, "original_layers", None) or [0] * len(of_all)
    return [item for item, number in zip(of_all, numbers, strict=True) if number is not None]


def all_layers(model: PreTrainedModel) -> nn.ModuleList:
    """Return the list that the model runs through, a spacer included."""
    parent, name = _place(model)
    return getattr(parent, name)


@contextlib.contextmanager
def with_layers(model: PreTrainedModel, modules: list[nn.Module]) -> Iterator[None]:
    """Let the model run through these modules in place of its layers, inside the block."""
    parent, name = _place(model)
    original = getattr(parent, name)
    setattr(parent, name, nn.ModuleList(modules))
    try:
        yield
    finally:
        setattr(parent, name, original)


def reads_first_token(model: PreTrainedModel) -> bool:
    """Say whether the head is known to read the last layer's first token and no other."""
    pooling = getattr(model.config, "classifier_pooling", "cls")  # ModernBERT's head can read the mean of all
    return bool(family(model).first_token) and pooling == "cls"


@contextlib.contextmanager
def first_token_only(model: PreTrainedModel) -> Iterator[None]:
    """Compute, inside the block, only the first token of the last layer after its attention: the head reads no other.

    The logits and gradients are those of the whole computation up to rounding, and three quarters of a layer are
    saved. The last hidden state then holds nothing else that means anything. Models whose head or layer is built
    otherwise run whole.
    """
    cuts = family(model).first_token if reads_first_token(model) else ()
    modules = [layer.get_submodule(name) for layer in list(layers(model))[-1:] for name in cuts]
    handles = [module.register_forward_pre_hook(_keep_first_token) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def caught_outputs(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """Collect, inside the block, the hidden state that each layer puts out, in the order in which they run."""
    caught: list[torch.Tensor] = []
    with _watched(model, lambda before, after: caught.append(after)):
        yield caught


@contextlib.contextmanager
def caught_ends(model: PreTrainedModel) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Collect, inside the block, the hidden state that each layer is given and that which it puts out.

    The hidden states that a model returns are not these: some end with a norm that belongs to no layer.
    """
    caught: list[tuple[torch.Tensor, torch.Tensor]] = []
    with _watched(model, lambda before, after: caught.append((before, after))):
        yield caught


@contextlib.contextmanager
def _watched(model: PreTrainedModel, see: Callable[[torch.Tensor, torch.Tensor], None]) -> Iterator[None]:
    def hook(layer, args, kwargs, output):
        see(given_to(args, kwargs), hidden_of(output))

    hooks = [layer.register_forward_hook(hook, with_kwargs=True) for layer in layers(model)]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def given_to(args: tuple, kwargs: dict) -> torch.Tensor:
    """Return the hidden state that a layer is called with, by place or by name."""
    return args[0] if args else kwargs["hidden_states"]


def hidden_of(output: Output) -> torch.Tensor:
    """Return the hidden state of a layer's output, which some architectures wrap in a tuple."""
    return output[0] if isinstance(output, tuple) else output


class HandOn(nn.Module):
    """Stands for a layer: puts out what comes in, or a given state, in the form of that kind of layer's output."""

    def __init__(self, layer: nn.Module | None = None, like: Output = (None, None), state: torch.Tensor | None = None):
        super().__init__()
        self.stands_for, self.like, self.state = [layer], like, state  # in a list, so that it is no part of this module

    def forward(self, hidden_states: torch.Tensor, *args, **kwargs) -> Output:
        """Return (examples, tokens, hidden), with what else a layer of this kind puts out."""
        state = hidden_states if self.state is None else self.state
        return (state, *self.like[1:]) if isinstance(self.like, tuple) else state

    def __getattr__(self, name: str):
        """Answer as the layer would; ModernBERT asks each for its kind of attention."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__.get("stands_for", [None])[0], name)


def _keep_first_token(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Cut what goes into the module, such as the attention's output and the residual, to the first token."""
    return tuple(tensor[:, :1] for tensor in inputs)


def _place(model: PreTrainedModel) -> tuple[nn.Module, str]:
    """Return the module that holds the list of layers, and the list's name in it."""
    base = getattr(model, "base_model", model)
    if getattr(model.config, "model_type", "") == "albert":
        raise UserError(f"{type(model).__name__} has one layer that it runs through again and again: none can be removed")
    for path in LAYER_LISTS:
        holder, _, name = path.rpartition(".")
        parent = getattr(base, holder, None) if holder else base
        if isinstance(getattr(parent, name, None), nn.ModuleList) and hasattr(model, "classifier"):
            return parent, name
    raise UserError(f"{type(model).__name__} is not an encoder classifier whose layers are known (BERT family)")
