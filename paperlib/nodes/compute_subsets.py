"""Measure all sets of layers of a model, shared out among processes: of twelve layers they cost as much as two hundred fine-tunes of one."""

import time
from collections.abc import Callable

from paperlib import ablation
from paperlib.ablation import Share, Totals
from paperlib.model.device import forward_context
from paperlib.nodes import compute, parallel
from paperlib.nodes.node import Node, Removed, subset_columns
from paperlib.nodes.progress import cost_of_sets
from paperlib.params import Params


def measure(params: Params, removed: Removed, part: str, did: Callable[[float], None] = lambda cost: None) -> Node:
    """Return a node with `part`, its `subsets_test` or `subsets_validation`; the node itself must be in the store.

    `did` is told the cost of each share as it ends. The seconds recorded are those of all processes together.
    """
    bench = compute.bench_of(params)
    split, node = part.removeprefix("subsets_"), bench.store.read(removed)
    if not bench.store.has_weights(removed):
        compute.model_of(params, removed)
    batch = getattr(bench.dataset, split)
    shares = ablation.shares(len(node.remaining), batch)
    totals: dict[Share, Totals] = {}
    seconds = 0.0
    for share, found, took in parallel.run(_of_share, [(params, removed, split, share) for share in shares], params):
        totals[share] = found
        seconds += took
        did(cost_of_sets(len(node.remaining), len(batch["labels"]), params) / len(shares))
    table = ablation.merged((totals[share] for share in shares), batch)
    record = {**node.record, part: subset_columns(table)}
    record["seconds"] = {**node.record["seconds"], part: seconds}
    return bench.store.write(record)


def _of_share(params: Params, removed: Removed, split: str, share: Share) -> tuple[Share, Totals, float]:
    bench, model = compute.bench_of(params), compute.model_of(params, removed)
    started = time.perf_counter()
    with forward_context(params):  # as in the evaluation
        found = ablation.subsets_of_share(model, getattr(bench.dataset, split), params.seed, share)
    return share, found, time.perf_counter() - started
