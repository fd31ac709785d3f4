"""Measure all sets of layers of a model, shared out among processes: of twelve layers both splits cost as much as a hundred fine-tunes."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from paperlib import ablation
from paperlib.ablation import Share, Totals
from paperlib.common.files import atomic_write_json
from paperlib.common.records import ORIGINAL, read_sealed, seal
from paperlib.model.device import forward_context
from paperlib.nodes import compute, parallel
from paperlib.nodes.node import Node, Removed, label, layers_of, parse_label, subset_columns
from paperlib.nodes.progress import cost_of_sets
from paperlib.params import Params


def measure(params: Params, removed: Removed, part: str, did: Callable[[float], None] = lambda cost: None) -> Node:
    """Return a node with `part`, its `subsets_test` or `subsets_validation`; the node itself must be in the store.

    `did` is told the cost of each share as it ends. The record holds the seconds of all processes together, and the number
    of shares. Shares that are done lie beside the weights until all are, so that an interruption does not lose them.
    """
    bench = compute.bench_of(params)
    split, node = part.removeprefix("subsets_"), bench.store.read(removed)
    if not bench.store.weights.has(removed):
        compute.model_of(params, removed)
    batch = getattr(bench.dataset, split)
    shares = ablation.shares(len(node.remaining), batch)
    of_each = cost_of_sets(len(node.remaining), len(batch["labels"]), params) / len(shares)
    path = bench.store.weights.folder / f"{label(removed) or ORIGINAL}.{part}.json"
    done = _read(path, shares)
    if done:
        did(of_each * len(done))
    for share, *result in parallel.run(_of_share, [(params, removed, split, share) for share in shares if share not in done], params):
        done[share] = result
        _write(path, done)
        did(of_each)
    table = ablation.merged((done[share][0] for share in shares), batch)
    record = {**node.record, part: subset_columns(table)}
    record["seconds"] = {**node.record["seconds"], part: sum(seconds for _, seconds in done.values())}
    record["shares"] = {**node.record.get("shares", {}), part: len(shares)}
    written = bench.store.write(record)
    path.unlink(missing_ok=True)
    return written


def _of_share(params: Params, removed: Removed, split: str, share: Share) -> tuple[Share, Totals, float]:
    bench, model = compute.bench_of(params), compute.model_of(params, removed)
    started = time.perf_counter()
    with forward_context(params):  # as in the evaluation
        found = ablation.subsets_of_share(model, getattr(bench.dataset, split), params.seed, share)
    return share, found, time.perf_counter() - started


def _read(path: Path, shares: list[Share]) -> dict[Share, list]:
    """Return the totals and seconds of these shares that are done."""
    kept = (read_sealed(path) or {}).get("shares", {})
    found = {share: kept[repr(share)] for share in shares if repr(share) in kept}
    return {share: [{tuple(layers_of(parse_label(name))): np.array(values, dtype=float) for name, values in totals.items()}, seconds]
            for share, (totals, seconds) in found.items()}  # fmt: skip


def _write(path: Path, done: dict[Share, list]) -> None:
    """Keep what is done; what is not a number becomes null, as in a record."""
    kept = {repr(share): [{label(removed): [value if math.isfinite(value) else None for value in values.tolist()]
                           for removed, values in totals.items()}, seconds] for share, (totals, seconds) in done.items()}  # fmt: skip
    atomic_write_json(path, seal({"shares": kept}))
