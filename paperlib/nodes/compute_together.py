"""Compute the nodes of a level in batches of models; whatever is not training is left to `compute`, node by node."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby

import torch
from transformers import PreTrainedModel

from paperlib.common.errors import UserError
from paperlib.model import memory, together
from paperlib.model.batched_training import fine_tune_together
from paperlib.model.training import Training
from paperlib.nodes import compute
from paperlib.nodes.compute import Bench
from paperlib.nodes.node import Node, Removed, label, layers_of, seed_of
from paperlib.params import Params


def compute_nodes(params: Params, wanted: dict[Removed, set[str]]) -> Iterator[Node]:
    """Yield each node with its measurements as `compute.compute_node` does, those that need training trained together.

    An interruption loses the batch in flight: at most as many fine-tunes as are made at a time.
    """
    bench = compute.bench_of(params)
    untrained = defaultdict(list)  # by their number of layers: only models of the same shape make a batch
    for removed, parts in wanted.items():
        known = bench.store.read(removed) is not None and bench.store.weights.has(removed)
        if known or (params.fine_tuned and not removed):
            yield compute.compute_node(params, removed, frozenset(parts))
        else:
            untrained[_layers_left(removed, bench)].append(removed)
    for layers, level in sorted(untrained.items(), reverse=True):
        free = memory.free_bytes(bench.pretrained.device)
        size = memory.models_at_a_time(bench.pretrained, layers, params, free)
        for group in together.split(sorted(level, key=label), size):
            for removed, model, done in _train(bench, group):
                yield compute.compute_node(params, removed, frozenset(wanted[removed]), trained=(model, done))


def _train(bench: Bench, group: list[Removed]) -> Iterator[tuple[Removed, PreTrainedModel, Training]]:
    """Fine-tune these nodes' models, all at once or, when memory runs out, in halves."""
    seeds = [seed_of(bench.params.seed, bench.params.dataset, removed) for removed in group]
    models = done = None
    try:
        models = _untrained(bench, group)
        done = fine_tune_together(models, bench.dataset.train, bench.params, seeds)
    except torch.OutOfMemoryError:
        if len(group) == 1:
            raise UserError("the GPU has too little memory for one model: lower batch_size") from None
    if done is not None:
        yield from zip(group, models, done)
        return
    models = None  # the halves need the memory
    torch.cuda.empty_cache()
    for half in together.split(group, -(-len(group) // 2)):
        yield from _train(bench, half)


def _untrained(bench: Bench, group: list[Removed]) -> list[PreTrainedModel]:
    """Return the models before their fine-tune, in order; a parent of several in a row is loaded once."""
    models = []
    for _, siblings in groupby(group, key=lambda removed: removed[:-1] if removed else None):
        siblings = list(siblings)
        parent = compute.parent_of(bench, siblings[0])
        models += [compute.child_of(parent, removed) for removed in siblings]
    return models


def _layers_left(removed: Removed, bench: Bench) -> int:
    return bench.layers - len(layers_of(removed))
