"""Walk down from the original model in several orders, and choose a depth on the validation subset."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from paperlib import ablation, strategies
from paperlib.common.errors import UserError
from paperlib.compression.wish import Wish
from paperlib.model.device import device_of
from paperlib.nodes import compute
from paperlib.nodes.node import Node, Removed
from paperlib.nodes.progress import cost
from paperlib.params import Params
from paperlib.tree import Study

GREEDY, EXACT, TOP = "greedy ablation", "exact subsets", "from the top"
MOST_SUBSETS = {"cpu": 8, "cuda": 12}  # layers: 2^8 takes seconds on a processor, 2^12 an hour
Say = Callable[[str], None]


@dataclass(frozen=True)
class Depth:
    """The models of one depth: by each order, and the best of the two that were measured, on validation."""

    by_order: dict[str, Node]

    @property
    def order(self) -> str:
        """Name the order whose model is best on validation; greedy ablation when they tie."""
        ours = {order: node for order, node in self.by_order.items() if order != TOP}
        return max(ours, key=lambda order: (ours[order].validation_accuracy, order == GREEDY))

    @property
    def best(self) -> Node:
        """The model of that order."""
        return self.by_order[self.order]


def walk(study: Study, deepest: int, keep: int | None, say: Say) -> list[Depth]:
    """Return the models of every depth from 0 to `deepest`, fine-tuned and measured on validation, in each order."""
    params = study.params
    root = study.compute({(): {"validation_correct", "ablation_validation"}})[()]
    depths, greedy = [Depth({GREEDY: root, TOP: root})], [root]
    orders = _orders(params, root, deepest, keep, say)
    say(f"walking down {deepest} layers in {len(orders) + 1} orders: {_costs(root, deepest, len(orders) + 1)}")
    for step in range(1, deepest + 1):
        layer = strategies.next_layer("Greedy-Ablation", greedy, params).layer
        wanted = {GREEDY: (*greedy[-1].removed, layer), **{name: tuple(order[:step]) for name, order in orders.items()}}
        parts: dict[Removed, set[str]] = defaultdict(lambda: {"validation_correct"})
        for name, removed in wanted.items():
            parts[removed] = parts[removed] | ({"ablation_validation"} if name == GREEDY else set())
        nodes = study.compute(dict(parts))
        depths.append(Depth({name: nodes[removed] for name, removed in wanted.items()}))
        greedy.append(nodes[wanted[GREEDY]])
    return depths


def best_order(subsets: pd.DataFrame, depth: int, end: tuple[int, ...] | None = None) -> list[int]:
    """Return the order of removal whose nested subsets, of 1 to `depth` layers, have the highest sum of accuracies.

    `subsets` is what `ablation.all_subsets` returns; of equal sums the lower sum of losses wins. Where `end` is given
    the order ends there: these layers are removed, in the best order.
    """
    layers = sorted(set().union(*subsets.index)) if end is None else sorted(end)
    gain = {removed: (row.accuracy, -row.loss) for removed, row in zip(subsets.index, subsets.itertuples())}
    best: dict[tuple[int, ...], tuple[float, float, list[int]]] = {(): (0.0, 0.0, [])}
    for size in range(1, depth + 1):
        for removed in combinations(layers, size):
            before = [(best[tuple(x for x in removed if x != last)], last) for last in removed]
            (accuracy, loss, order), last = max(before, key=lambda found: (found[0][:2], found[1]))
            best[removed] = (accuracy + gain[removed][0], loss + gain[removed][1], [*order, last])
    return max((best[removed] for removed in best if len(removed) == depth), key=lambda found: found[:2])[2]


def choose(wish: Wish, layers: int, accuracy: list[float], milliseconds: list[float], form: str) -> int:
    """Return the depth that fulfils the wish, from each depth's validation accuracy and latency, from depth 0.

    Layers: the depth that leaves so many of `layers`. Accuracy: the deepest whose loss is within the wish. Latency: of those fast enough the most
    accurate, of these the smallest; raises UserError when none is, and says what the best reaches.
    """
    depths, original = range(len(accuracy)), accuracy[0]
    if wish.keep is not None:
        return layers - wish.keep
    if wish.max_drop is not None:
        return max(depth for depth in depths if original - accuracy[depth] <= wish.max_drop / 100 + 1e-9)
    check_reachable(wish, min(milliseconds), form)
    return max((d for d in depths if milliseconds[d] <= wish.latency_ms), key=lambda d: (round(accuracy[d], 9), d))


def check_reachable(wish: Wish, best_ms: float, form: str) -> None:
    """Raise UserError when no model is as fast as is asked."""
    if wish.latency_ms is not None and best_ms > wish.latency_ms:
        raise UserError(f"LATENCY_MS={wish.latency_ms:g}: no model reaches it here: the fastest ({form}) takes {best_ms:.2f} ms")


def _orders(params: Params, root: Node, deepest: int, keep: int | None, say: Say) -> dict[str, list[int]]:
    """Return the orders that are known beforehand: from the top, and, where all subsets can be measured, the best."""
    layers, orders = root.original_layers, {TOP: list(reversed(root.remaining))}
    if 0 < deepest and layers <= MOST_SUBSETS[device_of(params).type]:
        say(f"measuring all {2**layers} subsets of layers on validation, without training: {2**layers - 1} layer passes")
        table = ablation.all_subsets(compute.model_of(params, ()), compute.bench_of(params).dataset.validation)
        orders[EXACT] = _towards(table, layers, deepest, keep)
    return orders


def _towards(table: pd.DataFrame, layers: int, deepest: int, keep: int | None) -> list[int]:
    """Return the best order of all depths or, when the number of layers is asked for, one through its best subset."""
    if keep is None or keep == layers:
        return best_order(table, deepest)
    asked = table[[len(removed) == layers - keep for removed in table.index]]
    end = max(asked.index, key=lambda removed: (asked.accuracy[removed], -asked.loss[removed]))
    rest = [layer for layer in best_order(table, deepest) if layer not in end]
    return [*best_order(table, len(end), end), *rest]


def _costs(root: Node, deepest: int, orders: int) -> str:
    """Say how many fine-tunes a walk takes at most, and how long on one core."""
    layers = [root.original_layers - step for step in range(1, deepest + 1) for _ in range(orders)]
    seconds = root.record["seconds"]["fine_tune"] * sum(map(cost, layers)) / cost(root.original_layers)
    return f"at most {len(layers)} fine-tunes" + (f", about {seconds:.0f} s of one core" if seconds else "")
