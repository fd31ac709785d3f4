"""Check on a copy with two layers, in about a second, that all a study does with a model computes what it should."""

import contextlib
import copy
import json
import math
from collections.abc import Callable

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from paperlib import ablation, signals
from paperlib.common.errors import UserError
from paperlib.data.subsets import Batch
from paperlib.model import checkpoint, encoder, training
from paperlib.model.device import precision_of
from paperlib.model.families import first_token_only, given_to
from paperlib.params import Params

EXAMPLES, TOKENS, LAYERS = 8, 12, 2
RELATIVE = 1e-4  # of the largest logit: what rounding may do
REMOVALS = ([0], [1], [0, 1])


def check(model: PreTrainedModel, params: Params) -> None:
    """Raise UserError, naming what fails, when the model (on the processor, in 32 bits) cannot be studied exactly.

    Nothing is written, and no random number is drawn that others could miss.
    """
    if own := _own_code(model):
        raise UserError(f"model {params.model}: its config.json (auto_map) asks for {own}, code of its own that is not run here, and "
                        f"{type(model).__name__} may be another model; where that is meant, take auto_map out")
    if len(encoder.layer_numbers(model)) < LAYERS:
        raise UserError(f"model {params.model}: a study chooses among layers, and the model has {len(encoder.layer_numbers(model))} of them")
    try:
        _check(model, params)
    except UserError as error:
        if precision_of(params) == "bf16" and _holds(model, params.replace(precision="fp32")):
            raise UserError(f"{error}; try precision=fp32") from error
        raise


def _own_code(model: PreTrainedModel) -> str:
    """Return the class that a model's configuration asks for and transformers has not; "" where it has that one, or none is asked for."""
    asked = [str(place).rpartition(".")[2] for name, place in (getattr(model.config, "auto_map", None) or {}).items() if name.startswith("AutoModel")]
    return "" if {type(model).__name__, type(model.base_model).__name__} & {*asked} else next(iter(asked), "")


def _holds(model: PreTrainedModel, params: Params) -> bool:
    with contextlib.suppress(UserError):
        _check(model, params)
        return True
    return False


def _check(model: PreTrainedModel, params: Params) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = _made_up(model, params)
        with checkpoint.said("a cut vocabulary", model, params):
            small, batch = _small(model, made)
        for what, hold in CHECKS.items():
            with checkpoint.said(what, model, params):
                hold(copy.deepcopy(small), batch, params)
        with checkpoint.said(f"a text of {params.max_tokens} tokens", model, params):  # by all layers, as a study begins
            _finite(training.predict(_sharing(model), _longest(made, params), params), model)


def _made_up(model: PreTrainedModel, params: Params) -> Batch:
    """Draw texts of different lengths from the model's vocabulary, padded on the right, of every class in turn."""
    padding = model.config.pad_token_id or 0
    known = torch.tensor([token for token in range(min(1000, model.config.vocab_size)) if token != padding])
    tokens = min(TOKENS, params.max_tokens)
    ids = known[torch.randint(len(known), (EXAMPLES, tokens))]
    lengths = tokens - torch.arange(EXAMPLES) % max(1, tokens - 3)
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    labels = torch.arange(EXAMPLES) % model.config.num_labels
    return {"input_ids": ids.where(mask == 1, padding), "attention_mask": mask, "labels": labels}


def _longest(batch: Batch, params: Params) -> Batch:
    """Return two texts of a batch as long as texts may be, the words of the first over and over, half of one masked."""
    ids = batch["input_ids"][:1].repeat(2, math.ceil(params.max_tokens / TOKENS))[:, : params.max_tokens]
    mask = torch.ones_like(ids)
    mask[1, params.max_tokens // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": batch["labels"][:2]}


def _small(model: PreTrainedModel, batch: Batch) -> tuple[PreTrainedModel, Batch]:
    """Return the first two layers with a vocabulary cut to the batch, which must compute what they do with the whole.

    They are copies that have not run yet: a model may set its layers anew while it runs, and with these two none but them.
    """
    numbers, table = encoder.layer_numbers(model), model.get_input_embeddings()
    modules = [encoder.layers(model)[position] for position in range(min(LAYERS, len(numbers)))]
    low = torch.arange((model.config.pad_token_id or 0) + 1) if (model.config.pad_token_id or 0) < 1000 else batch["input_ids"].flatten()
    token_ids = torch.unique(torch.cat([low, batch["input_ids"].flatten()]))
    renumbered = {**batch, "input_ids": torch.searchsorted(token_ids, batch["input_ids"])}
    try:
        small = encoder.remove_layers(encoder.restrict_vocabulary(model, token_ids), numbers[LAYERS:]).eval()
    finally:
        model.set_input_embeddings(table)
    with encoder.with_layers(model, modules):
        whole = _sharing(model).eval()
    _same(_logits(copy.deepcopy(small), renumbered), _logits(whole, batch))
    checkpoint.number_anew(small)
    return small, renumbered


def _sharing(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy that has the very same weights: whatever else it sets while it runs is its own."""
    return copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})


def _forward(model: PreTrainedModel, batch: Batch, params: Params) -> None:
    for logits in (_logits(model, batch), training.predict(model, batch, params)):
        _finite(logits, model)


def _lengths(model: PreTrainedModel, batch: Batch, params: Params) -> None:
    """What a model was given before must not matter: some set themselves anew for a length, and stay so."""
    long, fresh = _longest(batch, params), copy.deepcopy(model)
    expected = _logits(model, batch)
    _same(_logits(model, long), _logits(fresh, long))
    _same(_logits(fresh, batch), expected)


def _removal(model: PreTrainedModel, batch: Batch, params: Params) -> None:
    for removed in _removals(model):
        smaller = encoder.remove_layers(model, removed)
        if encoder.layer_numbers(smaller) != [n for n in encoder.layer_numbers(model) if n not in removed]:
            raise ValueError("other layers are left")
        _same(_logits(smaller, batch), _skipping(model, batch, removed))


def _shortcut(model: PreTrainedModel, batch: Batch, params: Params) -> None:
    with first_token_only(model):
        cut = _logits(model, batch)
    _same(cut, _logits(model, batch))


def _signals(model: PreTrainedModel, batch: Batch, params: Params) -> None:
    for removed in ([], *_removals(model)[:1]):
        smaller = encoder.remove_layers(model, removed)
        measured = signals.measure(smaller, batch, params).join(signals.block_influence(smaller, batch))
        if not (wrong := measured.columns[~measured.apply(lambda column: column.map(math.isfinite)).all()]).empty:
            raise ValueError(f"{wrong[0]} is not a finite number")


def _ablation(model: PreTrainedModel, batch: Batch, params: Params) -> None:
    whole, single = _loss(_logits(model, batch), batch), ablation.single_removals(model, batch)["loss_increase"]
    subsets = ablation.all_subsets(model, batch)["loss"]
    for removed in _removals(model):
        expected = _loss(_skipping(model, batch, removed), batch)
        _same(torch.tensor(subsets[tuple(removed)]), expected)
        if len(removed) == 1:
            _same(torch.tensor(single[removed[0]]) + whole, expected)


def _training(model: PreTrainedModel, batch: Batch, params: Params) -> None:
    once = params.replace(epochs=1, batch_size=EXAMPLES)
    for removed in ([], encoder.layer_numbers(model)):
        before = encoder.remove_layers(model, removed)
        after = copy.deepcopy(before)
        done = training.fine_tune(after, batch, once, seed=0)
        if not all(map(math.isfinite, (done.losses[0], done.health.largest_gradient_norm or math.nan))):
            raise ValueError("the loss or its gradient is not a finite number")
        if all(torch.equal(*pair) for pair in zip(before.parameters(), after.parameters())):
            raise ValueError("no weight has moved")


def _reload(model: PreTrainedModel, batch: Batch, params: Params) -> None:
    for removed in ([], *_removals(model)):
        smaller = encoder.remove_layers(model, removed)
        plain = encoder.as_plain(smaller)
        plain.config.vocab_size = plain.get_input_embeddings().num_embeddings
        config = type(plain.config).from_dict(json.loads(plain.config.to_json_string()))  # as it is written
        read = type(plain).from_pretrained(None, config=config, state_dict=plain.state_dict()).eval()
        _same(_logits(read, batch), _logits(smaller, batch))


CHECKS: dict[str, Callable[[PreTrainedModel, Batch, Params], None]] = {
    "a forward pass": _forward,
    "texts of any length": _lengths,
    "removing layers as if they were skipped": _removal,
    "the shortcut for heads that read the first token": _shortcut,
    "measuring the signals": _signals,
    "ablation": _ablation,
    "a training step": _training,
    "loading what was saved": _reload,
}


def _removals(model: PreTrainedModel) -> list[list[int]]:
    """Return the sets of layers to remove: each of at most two, and all."""
    return [removed for removed in REMOVALS if set(removed) <= set(encoder.layer_numbers(model))]


@torch.inference_mode()
def _logits(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.float()


def _skipping(model: PreTrainedModel, batch: Batch, removed: list[int]) -> torch.Tensor:
    """Return the logits when each of these layers puts out what came in."""

    def hand_on(layer, args, kwargs, output):
        hidden = given_to(args, kwargs)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    hooks = [encoder.layers(model)[layer].register_forward_hook(hand_on, with_kwargs=True) for layer in removed]
    try:
        return _logits(model, batch)
    finally:
        for hook in hooks:
            hook.remove()


def _finite(logits: torch.Tensor, model: PreTrainedModel) -> None:
    """Raise ValueError when logits are not of the model's classes, or not numbers."""
    if logits.shape[1:] != (model.config.num_labels,) or not logits.isfinite().all():
        raise ValueError(f"logits of shape {tuple(logits.shape)}, not all of them finite numbers")


def _loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return F.cross_entropy(logits, batch["labels"])


def _same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Raise ValueError when two results differ by more than rounding."""
    if found.shape != expected.shape:
        raise ValueError(f"a result of shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    difference, scale = (found - expected).abs().max().item(), max(1.0, expected.abs().max().item())
    if not difference <= RELATIVE * scale:
        raise ValueError(f"results differ by {difference:.2g}")
