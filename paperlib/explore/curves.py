"""Read from the store how far walks have come under some settings, and compare settings; nothing here trains, or writes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from paperlib import strategies
from paperlib.common.errors import UserError
from paperlib.evidence.unit_numbers import paired_difference
from paperlib.explore.known import titles
from paperlib.nodes import fingerprint
from paperlib.nodes.node import Node, Removed, label
from paperlib.nodes.store import Store, store_of
from paperlib.params import Params

USUAL = ("Random-Forest", "Greedy-Ablation", "Random", "Equal-Training")  # walks shown unless others are asked for
# The parameters by which strategies choose; what else they go by is in the nodes.
CHOOSING = ("dataset", "seed", *sorted(fingerprint.CHOOSING))
_chosen: dict[bytes, Removed | None] = {}


@dataclass(frozen=True)
class Path:
    """How far a walk has come: its nodes from the original model on, and whether that is its end."""

    strategy: str
    nodes: list[Node]
    ended: bool


def paths(params: Params, names: Sequence[str] = USUAL) -> list[Path]:
    """Follow walks as far as their models are known, here or in a study that trains the same ones."""
    store = store_of(params)
    root = store.look(())
    return [_follow(params, store, name, [root]) for name in names] if root else []


def table(params: Params, names: Sequence[str] = USUAL) -> pd.DataFrame:
    """Return one row per model on the way: strategy, step, removed (as in steps.csv), layer, accuracy and its s.e. in points."""
    rows = []
    for path in paths(params, names):
        for step, node in enumerate(path.nodes):
            n, share = len(node.correct("test")), node.accuracy
            error = 100 * (share * (1 - share) / n) ** 0.5
            rows.append([path.strategy, step, label(node.removed), _last(node.removed), 100 * share, error])
    return pd.DataFrame(rows, columns=["strategy", "step", "removed", "layer", "accuracy", "error"])


def differences(one: Params, other: Params, names: Sequence[str] = USUAL) -> pd.DataFrame:
    """Compare two settings at each depth that both have reached: strategy, step, points (the other minus the one), error, same.

    The error is that of a paired comparison where both were tested on the same texts, else of two independent shares: too
    large where one's texts are among the other's.
    `same` says that it is one model in both.
    """
    rows = []
    for mine, theirs in zip(paths(one, names), paths(other, names)):
        for step, (first, second) in enumerate(zip(mine.nodes, theirs.nodes)):
            rows.append([mine.strategy, step, *_difference(first, second), _key(first) == _key(second)])
    return pd.DataFrame(rows, columns=["strategy", "step", "points", "error", "same"])


def models(params: Params, names: Sequence[str] = USUAL) -> dict[Removed, Node]:
    """Return the models that these walks have met so far."""
    return {node.removed: node for path in paths(params, names) for node in path.nodes}


def _follow(params: Params, store: Store, name: str, nodes: list[Node]) -> Path:
    while True:
        try:
            removed = _next(name, nodes, params)
        except (KeyError, TypeError, UserError):  # the model is there, what the strategy goes by is not measured yet
            return Path(name, nodes, ended=False)
        if removed is None:
            return Path(name, nodes, ended=True)
        node = store.look(removed)
        if node is None:
            return Path(name, nodes, ended=False)
        nodes = [*nodes, node]


def _next(name: str, nodes: list[Node], params: Params) -> Removed | None:
    """Return the removed layers of a strategy's next model, None at its end; asked once for the same measurements and parameters.

    A forest takes a moment to grow, and a form asks at every change.
    """
    seen = json.dumps([name, [getattr(params, each) for each in CHOOSING], [node.record for node in nodes]], sort_keys=True)
    key = hashlib.sha256(seen.encode()).digest()
    if key not in _chosen:
        choice = strategies.next_layer(name, nodes, params)
        _chosen[key] = None if choice is None else (*nodes[-1].removed, choice.layer)
    return _chosen[key]


def side_by_side(studies: Sequence[Params], names: Sequence[str]) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Return the table of each study, and the differences of each but the first from it, by the studies' titles."""
    titled = list(zip(titles(studies), studies))
    tables = {title: table(params, names) for title, params in titled}
    return tables, {title: differences(studies[0], params, names) for title, params in titled[1:]}


def _difference(first: Node, second: Node) -> tuple[float, float]:
    mine, theirs = first.correct("test"), second.correct("test")
    if first.record.get("texts") == second.record.get("texts"):
        found = paired_difference(theirs, mine)
        return 100 * found["difference"], 100 * found["standard_error"]
    variance = sum(hits.mean() * (1 - hits.mean()) / len(hits) for hits in (mine, theirs))
    return 100 * (theirs.mean() - mine.mean()), 100 * variance**0.5


def _key(node: Node) -> tuple[str, str]:
    return node.record.get("training", node.record["fingerprint"]), node.record["removed"]


def _last(removed: Removed) -> float:
    return float("nan") if not removed or removed[-1] is None else removed[-1]
