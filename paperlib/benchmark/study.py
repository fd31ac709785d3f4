"""Work out the whole study of one dataset both ways, from the costs of the unit and the walks to be made."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain

import numpy as np

from paperlib import strategies
from paperlib.benchmark.plain_study import FAMILIES, task_relevance
from paperlib.benchmark.session import Costs, Session, cost
from paperlib.benchmark.subject import Subject
from paperlib.benchmark.table import Row, row
from paperlib.benchmark.unit import FAMILY_NAMES
from paperlib.evidence import units
from paperlib.names import CONTROLS, SIGNALS, STRATEGIES
from paperlib.nodes.node import Removed, layers_of
from paperlib.nodes.store import store_of
from paperlib.params import Params
from paperlib.tree import Study

CHOICE_FROM = 2  # layers: with fewer left there is nothing to choose
LABEL_INFORMATION = FAMILY_NAMES[task_relevance]
FAMILY_OF = {signal: FAMILY_NAMES[family] for family, signals in FAMILIES.items() for signal in signals}
LEFT_OUT = "extrapolated from the unit's times; distillation, drawing and starting up left out on both sides"
STORED = "walks of the finished study"
DRAWN = "walks drawn at random"  # where no finished study is at hand; real ones meet more often
Seconds = dict[str, float]


def rows(session: Session) -> list[Row]:
    """Return the study's rows; the unit's costs must be known."""
    subject, costs = session.subject, session.costs
    paths, basis = walks(subject)
    trainer = "together" if ("together", "fine-tune") in costs else "ours"
    ours, plain = our_seconds(subject, costs, paths, trainer), plain_seconds(subject, costs, paths)
    listed = [
        row("study", "fine-tunes", basis, **fine_tunes(paths.values()), unit="", basis="counted"),
        _extrapolated("fine-tuning and evaluating", ours["train"], plain["train"]),
        _extrapolated("measuring", ours["measure"], plain["measure"]),
        _extrapolated("the whole study of one dataset", ours["total"], plain["total"], LEFT_OUT),
        _extrapolated("the same, the plain version's mutual information with the label free of charge",
                      ours["total"], plain["total"] - plain[LABEL_INFORMATION]),
    ]  # fmt: skip
    if trainer == "together":
        alone = our_seconds(subject, costs, paths, "ours")["total"]
        listed.append(_extrapolated("the same, ours one model after another", alone, plain["total"]))
    return listed


def walks(subject: Subject) -> tuple[dict[str, Removed], str]:
    """Return the layers that walks remove, in order (strategies, controls, random orders; not our rivals), and where from."""
    params = subject.params
    names = [*STRATEGIES, *CONTROLS, *chain(*strategies.random_tests(params).values())]
    finished = not subject.shapes and units.provenance(params.unit_dir).get("complete") and not units.stale(params)
    if finished and store_of(params).read(()):  # not of another precision, whose records would have to make way
        study = Study(params)
        return {name: study.walk(name).nodes[-1].removed for name in names}, STORED
    return {name: _drawn(name, subject.layers, params) for name in names}, DRAWN


def nodes(path: Removed) -> list[Removed]:
    """Return the nodes that a walk passes, the original model first."""
    return [path[:depth] for depth in range(len(path) + 1)]


def fine_tunes(paths: Iterable[Removed]) -> dict[str, list[int]]:
    """Count the fine-tunes: ours trains each node once, the plain version each walk's own, the original model once."""
    every = [nodes(path) for path in paths]
    return {"ours": [len(set(chain(*every)))], "plain": [1 + sum(len(passed) - 1 for passed in every)]}


def layers_left(node: Removed, layers: int) -> int:
    """Return how many layers a node has."""
    return layers - len(layers_of(node))


def _drawn(name: str, layers: int, params: Params) -> Removed:
    depth = strategies.depth(name, layers, params)
    if name == "Equal-Training":
        return (None,) * depth
    if name.startswith(strategies.RANDOM_TESTS):
        return tuple(strategies.random_order(name, layers, params)[:depth])
    rng = np.random.default_rng([params.seed, zlib.crc32(name.encode())])
    return tuple(int(layer) for layer in rng.permutation(layers)[:depth])


def our_seconds(subject: Subject, costs: Costs, paths: dict[str, Removed], trainer: str = "ours") -> Seconds:
    """Add up our study: every node once, measured for whichever walks look at it, as many at a time as there are cores.

    `trainer` says whose fine-tunes are counted: ours (one by one) or together (the models of a level at once).
    """
    wanted: dict[Removed, set[str]] = defaultdict(set)
    for name, path in paths.items():
        for node in nodes(path):
            wanted[node] |= strategies.needs(name, subject.params, ended=not _chooses(node, path, subject.layers))
    train = measure = 0.0
    for node, parts in wanted.items():
        left = layers_left(node, subject.layers)
        tuned = cost(costs, trainer, "fine-tune", left) if trainer == "together" else _ours(costs, "fine-tune", left)
        train += tuned + _ours(costs, "evaluate", left)
        measure += sum(times * _ours(costs, what, left) for what, times in _activities(parts, subject.params))
    return {"train": train, "measure": measure, "total": train + measure}


def plain_seconds(subject: Subject, costs: Costs, paths: dict[str, Removed]) -> Seconds:
    """Add up the plain study: every walk trains its own nodes and measures what its own strategy needs."""
    visits = [(name, node, path) for name, path in paths.items() for node in nodes(path)]
    trained = [(), *(node for _, node, _ in visits if node)]
    depths = [layers_left(node, subject.layers) for node in trained]
    train = sum(cost(costs, "plain", what, left) for what in ("fine-tune", "evaluate") for left in depths)
    parts: Counter[str] = Counter()
    for name, node, path in visits:
        left = layers_left(node, subject.layers)
        for what, times in plain_needs(name, subject.params, not _chooses(node, path, subject.layers)):
            parts[what] += times * cost(costs, "plain", what, left)
    measure = sum(parts.values())
    return {"train": train, "measure": measure, "total": train + measure, LABEL_INFORMATION: parts[LABEL_INFORMATION]}


def plain_needs(name: str, params: Params, ended: bool = False) -> list[tuple[str, float]]:
    """List what a plain version runs for a strategy at one model, and how often: of the signals only its own family."""
    needs = strategies.needs(name, params, ended)
    families = [FAMILY_OF[name]] if name in SIGNALS else list(FAMILY_NAMES.values())
    others = _activities(needs - {"signals"}, params)
    return [*((family, 1.0) for family in families if "signals" in needs), *others]


def _activities(parts: set[str], params: Params) -> list[tuple[str, float]]:
    """Return the activities that give these measurements, each with its cost in terms of the one that was timed.

    Evaluation was timed on the test subset, ablation too.
    """
    share = params.validation_size / params.test_size
    known = {"signals": ("signals", 1.0), "validation_correct": ("evaluate", share),
             "ablation_test": ("ablate", 1.0), "ablation_validation": ("ablate", share)}  # fmt: skip
    return [known[part] for part in sorted(parts)]


def _ours(costs: Costs, what: str, left: int) -> float:
    """Return the seconds of one of our activities when every core is busy with one."""
    alone = cost(costs, "ours", what, left)
    if ("full", what) not in costs:
        return alone
    ((layers, full),) = costs["full", what].items()
    return alone * full / cost(costs, "ours", what, layers)


def _chooses(node: Removed, path: Removed, layers: int) -> bool:
    """Say whether a walk chooses its next layer at this node."""
    return len(node) < len(path) and layers_left(node, layers) >= CHOICE_FROM


def _extrapolated(what: str, ours: float, plain: float, note: str = "") -> Row:
    return row("study", what, "", ours=[ours], plain=[plain], basis="extrapolated", note=note)
