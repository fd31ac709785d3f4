"""Walk down from the original model in several orders, and choose a depth on the validation subset."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from paperlib import strategies
from paperlib.common.errors import UserError
from paperlib.compression.costs import Costs, about
from paperlib.compression.wish import Wish
from paperlib.evidence import transfer
from paperlib.evidence.transfer_file import Stored
from paperlib.nodes.node import Node, Removed
from paperlib.params import Params
from paperlib.tree import Study

GREEDY, EXACT, FUSER, TOP = "greedy ablation", "exact subsets", "the transferred fuser", "from the top"
MOST_LAYERS = 12  # of which all sets are measured
FEW_SECONDS = 300  # that measuring them may take where the fine-tunes take less
Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """A way to choose the next layer to remove, from the models so far; `needs` is what it asks of each of them."""

    next_layer: Callable[[list[Node]], int]
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Depth:
    """The models of one depth: by each order, and the best of those that were measured, on validation."""

    by_order: dict[str, Node]

    @property
    def order(self) -> str:
        """Name the order whose model is best on validation, from the top not being one; the first of them when they tie."""
        ours = {order: node.validation_accuracy for order, node in self.by_order.items() if order != TOP}
        return max(ours, key=ours.get)

    @property
    def best(self) -> Node:
        """The model of that order."""
        return self.by_order[self.order]


def original(study: Study, costs: Costs, say: Say) -> Node:
    """Return the original, fine-tuned where it is not taken as it is, and measured on validation."""
    params = study.params
    how = "taken as it is" if params.fine_tuned else f"fine-tuning it on {params.train_size} texts, {about(costs.fine_tunes([costs.layers]))}"
    say(f"the original: {how if study.store.read(()) is None else 'at hand'}")
    return study.node((), {"validation_correct"})


def check_head(accuracy: float, labels: np.ndarray) -> None:
    """Raise UserError when a head that was taken as it is answers no better than whoever always names the largest class of `labels`."""
    largest = np.bincount(labels).max() / len(labels)
    if accuracy <= largest:
        raise UserError(
            f"the model's own head is right on {accuracy:.3f} of the validation texts, and the largest class alone makes {largest:.3f}: its classes are "
            'hardly those of the data; train it on them with SET="fine_tuned=false", or take it all the same with SET="fine_tuned=true"'
        )


def deepest_of(params: Params, layers: int, keep: int | None) -> int:
    """Return how many layers are removed at last: all but one, or as `max_removed` says unless more is asked for."""
    return max(min(params.max_removed or layers, layers - 1), layers - (keep or layers))


def left_after(deepest: int, layers: int) -> list[int]:
    """Return how many of `layers` are left at each depth of a walk."""
    return [layers - step for step in range(1, deepest + 1)]


def walk(study: Study, keep: int | None, fuser: Stored | None, costs: Costs, say: Say) -> list[Depth]:
    """Return the models of every depth, fine-tuned and measured on validation, in each order."""
    layers, deepest = costs.layers, deepest_of(study.params, costs.layers, keep)
    orders = _orders(study, deepest, keep, fuser, costs, say)
    left = left_after(deepest, layers) * len(orders)
    say(f"walking down {deepest} layers, {', '.join(orders)}: at most {len(left)} fine-tunes, {about(costs.fine_tunes(left))}, less what is at hand")
    paths = {name: [study.node(())] for name in orders}
    for step in range(1, deepest + 1):
        chosen = {name: (*paths[name][-1].removed, order.next_layer(paths[name])) for name, order in orders.items()}
        wanted: dict[Removed, set[str]] = defaultdict(lambda: {"validation_correct"})
        for name, removed in chosen.items():
            wanted[removed] |= orders[name].needs if step < deepest else set()
        nodes = study.compute(dict(wanted))
        for name, removed in chosen.items():
            paths[name].append(nodes[removed])
    return [Depth({name: path[step] for name, path in paths.items()}) for step in range(deepest + 1)]


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


def _orders(study: Study, deepest: int, keep: int | None, fuser: Stored | None, costs: Costs, say: Say) -> dict[str, Order]:
    """Return the orders to walk: greedy, the best of all subsets, a fuser's, from the top.

    All subsets are measured, up to 12 layers, where that takes no longer than the fine-tunes of the other walks or a few
    minutes: an order is not worth more than they are.
    """
    params, layers = study.params.replace(max_removed=0), costs.layers
    orders = {GREEDY: Order(lambda path: strategies.next_layer("Greedy-Ablation", path, params).layer, frozenset({"ablation_validation"}))}
    known = study.node(()).has({"subsets_validation"})
    few, seconds = layers <= MOST_LAYERS, 0.0 if known else costs.subsets()
    others = costs.fine_tunes(left_after(deepest, layers) * (3 if fuser else 2))
    exact = 0 < deepest and few and seconds <= max(others, FEW_SECONDS)
    if not known and 0 < deepest:
        why = f"it would take {about(seconds)}, and the other walks' fine-tunes {about(others)}" if few else f"that is done up to {MOST_LAYERS} layers"
        say(f"measuring all {2**layers} subsets of layers on validation, without training: {about(seconds)}" if exact
            else f"the {2**layers} subsets of layers are not measured: {why}")
    asked = {"ablation_validation": True, "subsets_validation": exact, "signals": bool(fuser)}
    root = study.node((), {part for part, wanted in asked.items() if wanted})
    if exact:
        orders[EXACT] = _fixed(_towards(root.subsets_validation, layers, deepest, keep))
    if fuser:
        orders[FUSER] = Order(lambda path: int(fuser.predict(transfer.unknown(path[-1].signals, layers)).idxmin()), frozenset({"signals"}))
    return orders | {TOP: _fixed(strategies.fixed_order("Top-Drop", layers))}


def _fixed(order: list[int]) -> Order:
    return Order(lambda path: order[len(path) - 1])


def _towards(table: pd.DataFrame, layers: int, deepest: int, keep: int | None) -> list[int]:
    """Return the best order of all depths or, when the number of layers is asked for, one through its best subset."""
    if keep is None or keep == layers:
        return best_order(table, deepest)
    end = strategies.best_subset(table, layers - keep)
    rest = [layer for layer in best_order(table, deepest) if layer not in end]
    return [*best_order(table, len(end), end), *rest]
