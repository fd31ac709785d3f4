"""Say before a study starts how many fine-tunes it may need, how long that takes here, and how much disk."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paperlib import ablation, strategies
from paperlib.data import orders
from paperlib.data.subsets import Batch
from paperlib.driver.simulate import NOTEBOOK_SECONDS
from paperlib.evidence import training_axis
from paperlib.evidence.provenance import duration
from paperlib.model import encoder, memory, together
from paperlib.names import FAMILIES, FIXED_ORDERS, WALKS
from paperlib.nodes import compute, parallel
from paperlib.nodes.calibration import FORWARD_SHARE, calibrate
from paperlib.nodes.node import Removed
from paperlib.params import Params


@dataclass(frozen=True)
class Plan:
    """What a run may cost at most: fine-tunes, seconds on this machine, gigabytes of disk."""

    fine_tunes: int
    seconds: float
    disk_gb: float

    def __str__(self) -> str:
        return f"at most {self.fine_tunes} fine-tunes, about {duration(self.seconds)}, {self.disk_gb:.1f} GB of disk"


def plan(studies: list[Params]) -> Plan:
    """Plan these units, each as the first: they differ in dataset and seed alone.

    A unit is planned from its walks and a calibration of three training steps, of one model and, where the study
    trains batches of models, of a batch. Random walks are known beforehand, so their shared nodes are counted once; a
    walk that follows measurements is counted as if it met no other after its first step: hence "at most". Raises
    UserError when the first unit's data or model are at fault.
    """
    params, units = studies[0], len(studies)
    bench = compute.bench_of(params)
    total = bench.layers
    levels = [(total - depth, count) for depth, count in enumerate(_nodes_at_most(params, total))]
    rounds_of_control = len(levels) - 1
    alone = in_batches = calibrate(params, total)
    if together.is_on(params):
        free = memory.free_bytes(bench.pretrained.device)
        most = memory.models_at_a_time(bench.pretrained, total, params, free)
        in_batches = calibrate(params, total, min(most, max(count for _, count in levels)))
    rounds = _round(params)
    chain = rounds_of_control * rounds * alone(total)  # the equal-training control waits for itself
    spread = sum(count * rounds * in_batches(left) for left, count in levels)
    spread += sum(_measuring(left, count, params) * alone(left) for left, count in levels[:-1] if left > 1)
    workers = parallel.workers_of(params)
    seconds = max(chain, (chain + spread) / workers) + rounds * alone(total) + NOTEBOOK_SECONDS
    sets = sum(_sets(total, getattr(bench.dataset, split), workers) for split in ("test", "validation"))
    seconds += sets / params.batch_size * (alone(total) - alone(0)) / total
    model_gb = encoder.count_parameters(bench.pretrained) * memory.WEIGHT_BYTES / 1e9
    fine_tunes = sum(count for _, count in levels) + rounds_of_control + 2  # and the student's and its control's
    # The weights of a unit go when it is done; its student stays.
    return Plan(units * fine_tunes, units * seconds, params.cache_gb + (units + 1) * model_gb)


def plan_of_epochs(studies: list[Params]) -> Plan:
    """Plan what 12_epochs trains beside a study, for these units: two walks at a time under each other setting of training."""
    params, others = studies[0], training_axis.studies(studies[0])[1:]
    bench = compute.bench_of(params)
    total, alone = bench.layers, calibrate(params, bench.layers)
    depth = strategies.depth(training_axis.FOREST, total, params)
    walks = [total] * depth, [total - step for step in range(1, depth + 1)]
    seconds = 0.0
    for other in others:
        rounds = _round(other)
        control, forest = (sum(rounds * alone(left) for left in walk) for walk in walks)
        forest += sum(_measuring(left, 1, params, training_axis.WALKS) * alone(left) for left in (total, *walks[1]) if left > 1)
        both = max(control, forest) if parallel.workers_of(params) > 1 else control + forest
        seconds += rounds * alone(total) + both
    fine_tunes = len(others) * (1 + sum(map(len, walks)))
    return Plan(len(studies) * fine_tunes, len(studies) * seconds, params.cache_gb * len(others))


def _round(params: Params) -> float:
    """Return what a fine-tune and the evaluation after it cost, in training steps."""
    steps = params.epochs * math.ceil(params.train_size / params.batch_size)
    return steps + FORWARD_SHARE * (params.test_size + params.validation_size) / params.batch_size


def _nodes_at_most(params: Params, total: int) -> list[int]:
    """Return, for each depth from 0, the most nodes that all walks together can want."""
    tests = [name for names in strategies.random_tests(params).values() for name in names]
    fixed = [strategies.random_order(name, total, params) for name in tests]
    fixed += [strategies.fixed_order(name, total) for name in FIXED_ORDERS]
    known = {node for order in fixed for node in _prefixes(order)}
    measured = len(set(WALKS) - {"Equal-Training", *FIXED_ORDERS, *FAMILIES})
    deepest = strategies.depth("Random", total, params)
    counts = []
    for depth in range(deepest + 1):
        at_depth = sum(len(node) == depth for node in known)
        members = deepest - depth + 1 if depth else 0  # walks of a family that come so deep
        at_once = members - (depth == 1)  # One-Shot's first walk removes one layer, as others do
        counts.append(min(math.perm(total, depth), at_depth + measured + members) + at_once)
    return counts


def _measuring(left: int, count: int, params: Params, names: Sequence[str] = WALKS) -> float:
    """Return what these walks' measurements of so many nodes of a level cost at most, in training steps of their model.

    Signals take a forward and a backward pass over their examples; an ablation of R layers runs R (R - 1) / 2 layers
    beside the ordinary pass, which is (R + 1) / 2 forward passes.
    """
    ablation = FORWARD_SHARE * (left + 1) / 2 / params.batch_size
    steps = {
        "signals": params.signal_size / params.batch_size,
        "ablation_test": ablation * params.test_size,
        "ablation_validation": ablation * params.validation_size,
    }
    asking = [part for name in names for part in strategies.needs(name, params)]
    return sum(cost * min(count, asking.count(part)) for part, cost in steps.items())


def _sets(layers: int, batch: Batch, workers: int) -> float:
    """Return what all sets of layers of the original model cost at most, in training steps of one layer and one example."""
    shares = len(ablation.shares(layers, batch))
    return FORWARD_SHARE * orders.passes(layers) * len(batch["labels"]) * math.ceil(shares / workers) / shares


def _prefixes(order: list[int]) -> Iterator[Removed]:
    return (tuple(order[:depth]) for depth in range(len(order) + 1))
