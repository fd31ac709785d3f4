"""Measure what the accuracy loses when layers are skipped, without fine-tuning, sharing every common prefix."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from paperlib.data import orders
from paperlib.data.subsets import Batch
from paperlib.model.encoder import layer_numbers
from paperlib.model.families import (
    HandOn,
    Output,
    first_token_only,
    hidden_of,
    layers,
    reads_first_token,
    with_layers,
)
from paperlib.model.training import EVALUATION_CHUNK, correct

HEADS_AT_ONCE = 64  # subsets whose last states wait for one pass through the head
WHOLE_AT_ONCE = 4  # where they are whole, not their first tokens only
BRANCHES_AFTER = 3  # layers decided on, at most: eight shares of the sets
Scores = tuple[np.ndarray, np.ndarray]  # of each example: whether it is classified correctly, its loss
Totals = dict[tuple[int, ...], np.ndarray]  # by removed layers: how many examples are correct, the sum of the losses


class Share(NamedTuple):
    """A piece of measuring sets of layers: a chunk of the examples, and which of the first layers are removed in it."""

    chunk: int
    branch: tuple[bool, ...] = ()


def accuracy_drops(model: PreTrainedModel, batch: Batch) -> pd.Series:
    """Return A_orig - A_without_l for every remaining layer l (equation 17): index = original layer numbers."""
    return single_removals(model, batch)["drop"]


def single_removals(model: PreTrainedModel, batch: Batch) -> pd.DataFrame:
    """Return what happens when each remaining layer is skipped: index = original layer numbers.

    Columns: the accuracy `drop`, the `loss_increase` (nats), and `correct`, an array (examples,) that says which
    examples are then classified correctly. The layers before the skipped one are run once for all, so R layers cost
    R (R - 1) / 2 layer passes beside the ordinary forward pass.
    """
    numbers = layer_numbers(model)
    parts = [_single_removals_of(model, part) for part in _chunks(batch)]
    hits = np.concatenate([hits for hits, _ in parts], axis=1)  # (layers + 1, examples); last: none is skipped
    loss = np.concatenate([losses for _, losses in parts], axis=1).mean(axis=1)
    accuracy = hits.mean(axis=1)
    columns = {
        "drop": accuracy[-1] - accuracy[:-1],
        "loss_increase": loss[:-1] - loss[-1],
        "correct": list(hits[:-1]),
    }
    return pd.DataFrame(columns, index=pd.Index(numbers, name="layer"))


def all_subsets(model: PreTrainedModel, batch: Batch) -> pd.DataFrame:
    """Return accuracy and mean loss (nats) of all 2^L subsets of layers, in 2^L - 1 layer passes.

    Index `removed`: tuples of original layer numbers, in ascending order. Depth first, so that at most L activations
    of a chunk are held at a time.
    """
    numbers = layer_numbers(model)
    return merged((_totals(_subsets_of(model, part, numbers)) for part in _chunks(batch)), batch)


def shares(layers: int, batch: Batch) -> list[Share]:
    """Split the work of `all_subsets` into pieces that can be done anywhere and in any order, to be `merged` in this one.

    No number depends on it: the sets of a share go through the head together as they would otherwise. On a GPU, which
    does one thing at a time, there is one. Of a model of more than `orders.ALL_UP_TO` layers, only the sets that are
    drawn are measured.
    """
    all_of_them = layers <= orders.ALL_UP_TO and batch["labels"].device.type == "cpu"
    decided = min(BRANCHES_AFTER, max(0, layers - HEADS_AT_ONCE.bit_length() + 1)) if all_of_them else 0
    branches = list(itertools.product((False, True), repeat=decided))
    return [Share(chunk, branch) for chunk, _ in enumerate(_chunks(batch)) for branch in branches]


def subsets_of_share(model: PreTrainedModel, batch: Batch, seed: int, share: Share) -> Totals:
    """Return what a share of the work comes to; `seed` draws the sets of a model too deep for all."""
    numbers, part = layer_numbers(model), list(_chunks(batch))[share.chunk]
    ways = None if len(numbers) <= orders.ALL_UP_TO else _ways_to(orders.subsets(numbers, seed), numbers)
    return _totals(_subsets_of(model, part, numbers, ways, share.branch))


def merged(totals: Iterable[Totals], batch: Batch) -> pd.DataFrame:
    """Return the table of `all_subsets`, or of the sets that are drawn, from all shares in order."""
    sums: Totals = {}
    for of_share in totals:
        for removed, values in of_share.items():
            sums[removed] = sums.get(removed, 0) + values
    index = pd.Index(sorted(sums, key=lambda removed: (len(removed), removed)), tupleize_cols=False, name="removed")
    values = np.array([sums[removed] for removed in index]) / len(batch["labels"])
    return pd.DataFrame(values, index=index, columns=["accuracy", "loss"])


def _totals(scores: Iterable[tuple[tuple, Scores]]) -> Totals:
    return {removed: np.array([hits.sum(), losses.sum()]) for removed, (hits, losses) in scores}


@torch.inference_mode()
def _single_removals_of(model: PreTrainedModel, batch: Batch) -> Scores:
    """Return the scores of each layer skipped, and last of none: two arrays (layers + 1, examples)."""
    with first_token_only(model):
        run = _LayerwiseRun(model, batch)
        ends = []
        for position, state in enumerate(run.inputs):
            for later in range(position + 1, len(run.layers)):
                state = run.apply(later, state)
            ends.append(state[:, run.read])
        hits, losses = zip(*run.scores_of(ends), run.scores(run.logits))
    return np.array(hits), np.array(losses)


@torch.inference_mode()
def _subsets_of(
    model: PreTrainedModel, batch: Batch, numbers: list[int], ways: set[tuple] | None = None, branch: tuple[bool, ...] = ()
) -> Iterator[tuple[tuple, Scores]]:
    """Yield (removed, scores) of every subset, in the order of a depth-first walk; `ways` are the branches to take.

    Of the first layers, `branch` has decided which are removed.
    """
    with first_token_only(model):
        run = _LayerwiseRun(model, batch)
        if not run.layers:
            yield (), run.scores(run.logits)
            return
        at_once = HEADS_AT_ONCE if reads_first_token(model) else WHOLE_AT_ONCE
        state, ended = run.inputs[0], {}
        for position in [position for position, gone in enumerate(branch) if not gone]:
            state = run.apply(position, state)
        pending = [(len(branch), tuple(itertools.compress(numbers, branch)), state)]
        while pending:
            position, removed, state = pending.pop()
            if position < len(numbers):
                without = (*removed, numbers[position])
                if ways is None or (position + 1, without) in ways:
                    pending.append((position + 1, without, state))
                if ways is None or (position + 1, removed) in ways:
                    pending.append((position + 1, removed, run.apply(position, state)))
            else:
                ended[removed] = state[:, run.read]
            if len(ended) == at_once or not pending:
                yield from zip(ended, run.scores_of(list(ended.values())))
                ended = {}


def _ways_to(wanted: set[tuple[int, ...]], numbers: list[int]) -> set[tuple]:
    """Return every (layers decided on, those of them removed) on the way to a wanted set."""
    stages = range(1, len(numbers) + 1)
    return {(stage, tuple(n for n in numbers[:stage] if n in removed)) for removed in wanted for stage in stages}


class _LayerwiseRun:
    """Run a model's layers one by one on one batch, from states that the caller chooses.

    One ordinary forward pass catches what the model hands to each layer: its input, and its attention mask in the
    form that this kind of layer expects.
    """

    def __init__(self, model: PreTrainedModel, batch: Batch):
        self.model, self.batch, self.layers = model.eval(), batch, list(layers(model))
        self.read = slice(1) if reads_first_token(model) else slice(None)  # the tokens that the head reads
        self.inputs, self.arguments = [], []  # of each layer: hidden state (examples, tokens, hidden), the rest
        self.like: Output = ()  # what the last layer puts out
        hooks = [layer.register_forward_hook(self._catch, with_kwargs=True) for layer in self.layers]
        try:
            self.logits = self._forward()
        finally:
            for hook in hooks:
                hook.remove()

    def apply(self, position: int, state: torch.Tensor) -> torch.Tensor:
        """Return the output of one layer, (examples, tokens, hidden)."""
        args, kwargs = self.arguments[position]
        return hidden_of(self.layers[position](state, *args, **kwargs))

    def scores_of(self, ends: list[torch.Tensor]) -> list[Scores]:
        """Return the scores of the models whose last remaining layers put out these states (examples, tokens, hidden).

        One pass through the model's head for all; of tokens that the head does not read, none is even embedded.
        """
        if not ends:
            return []
        read = {name: self.batch[name][:, self.read].repeat(len(ends), 1) for name in ("input_ids", "attention_mask")}
        with with_layers(self.model, [HandOn(self.layers[-1], self.like, torch.cat(ends))]):
            logits = self.model(**read).logits
        return [self.scores(part) for part in logits.split(len(self.batch["labels"]))]

    def scores(self, logits: torch.Tensor) -> Scores:
        """Return which examples are correct, and their cross-entropies (nats)."""
        labels = self.batch["labels"]
        losses = F.cross_entropy(logits.float(), labels, reduction="none")
        return correct(logits.float(), self.batch).cpu().numpy(), losses.double().cpu().numpy()

    def _catch(self, layer: nn.Module, args: tuple, kwargs: dict, output: Output) -> None:
        self.like = output
        self.inputs.append(args[0])
        self.arguments.append((args[1:], kwargs))

    def _forward(self) -> torch.Tensor:
        return self.model(input_ids=self.batch["input_ids"], attention_mask=self.batch["attention_mask"]).logits


def _chunks(batch: Batch) -> Iterator[Batch]:
    n = len(batch["labels"])
    chunk = EVALUATION_CHUNK if batch["labels"].device.type == "cpu" else n
    for start in range(0, n, chunk):
        yield {name: batch[name][start : start + chunk] for name in ("input_ids", "attention_mask", "labels")}
