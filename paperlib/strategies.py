"""Choose the next layer to remove from what was measured on the models of a walk: the paper's 15 strategies and ours."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from paperlib import fusers
from paperlib.names import CONTROLS, FAMILIES, FIXED_ORDERS, FUSERS, RIVALS, SIGNALS, STRATEGIES, WALKS
from paperlib.nodes.node import Node, Round, layers_of
from paperlib.params import Params

__all__ = ["CONTROLS", "FUSERS", "RIVALS", "SIGNALS", "STRATEGIES", "Choice", "every_walk", "next_layer", "needs", "random_tests"]

RANDOM_TESTS = ("Random-All", "Random-Inner")  # section 3.4: all layers; all but the first and last
HIGHEST_FIRST = ("Weight-Sparsity", "Attention-Entropy")  # sections 2.2.4 and 2.2.5
SAME_DROP = 1e-9  # accuracy drops closer than this are tied: a least-squares fit returns its target up to 1e-15


@dataclass(frozen=True)
class Choice:
    """The layer to remove next (None: none, only fine-tune; or several), the scores it was the least of, how many tied.

    `fit` is the fuser that predicted the scores, where one did.
    """

    layer: Round
    scores: pd.Series | None = None
    ties: int = 1
    fit: fusers.Fit | None = None


def highest_first(params: Params) -> tuple[str, ...]:
    """Name the signals by which the layer of the highest value goes first."""
    chosen = ("Activation-Inhibition",) if params.inhibition_first == "highest" else ()
    return (*HIGHEST_FIRST, *chosen)


def needs(strategy: str, params: Params, ended: bool = False, original: bool = False) -> set[str]:
    """Say which measurements the strategy asks of a model (`original`: of the first) to choose the next layer.

    Once it has `ended`, what it asks of a model to be reported. They are signals, block_influence, ablation_test,
    ablation_validation, subsets_validation, and validation_correct (not asked by the randomization tests, which look
    at test maxima only).
    """
    shown = set() if strategy.startswith(RANDOM_TESTS) else {"validation_correct"}
    if strategy.startswith(FAMILIES):
        return _family_needs(strategy, params, shown, ended, original)
    if ended:
        return shown
    if strategy in SIGNALS or strategy == "Rank-Mean":
        return shown | {"signals"}
    if strategy == "Block-Influence":
        return shown | {"block_influence"}
    if strategy.startswith("Greedy-Ablation"):
        return shown | {_target(strategy, params)}
    if _fuser(strategy):
        return shown | {"signals", _target(strategy, params)}
    return shown


def next_layer(strategy: str, path: list[Node], params: Params) -> Choice | None:
    """Return the strategy's choice at the last node of `path` (the original model first), None at its end.

    Ties are broken by a draw that depends on the model, not on the strategy, so that strategies which agree share
    their nodes.
    """
    node = path[-1]
    if len(node.removed) == depth(strategy, node.original_layers, params):
        return None
    if strategy == "Equal-Training":
        return Choice(None)
    if strategy.startswith(RANDOM_TESTS):
        return Choice(random_order(strategy, node.original_layers, params)[len(node.removed)])
    if strategy in FIXED_ORDERS:
        return Choice(fixed_order(strategy, node.original_layers)[len(node.removed)])
    if strategy.startswith(FAMILIES):
        return _family_choice(strategy, path, params)
    if strategy == "Random":
        return Choice(int(_draw(params, "Random", node.removed).choice(node.remaining)))
    if len(node.remaining) == 1:
        return Choice(node.remaining[0])
    fit = fitted_fuser(strategy, path, params) if _fuser(strategy) else None
    return _least(*_scores(strategy, node, fit, params), fit, node, params)


def oriented(node: Node, params: Params) -> pd.DataFrame:
    """Return the twelve signals of a model's layers, in the order of SIGNALS, as `least_first` does."""
    return least_first(node.signals[list(SIGNALS)], params)


def least_first(signals: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Turn the sign of the signals (layers, signals) by which the highest goes first: by each, the layer of least value goes first."""
    return signals * [-1 if name in highest_first(params) else 1 for name in signals]


def depth(strategy: str, original_layers: int, params: Params) -> int:
    """Return how many rounds the strategy takes in all; each but a control's removes a layer."""
    if strategy.startswith(FAMILIES):
        return int(strategy.rsplit("-", 1)[1])
    most = max(0, original_layers - 2) if strategy.startswith("Random-Inner-") else original_layers
    return min(most, params.max_removed) if params.max_removed else most


def members(strategy: str, original_layers: int, params: Params) -> list[str]:
    """Return the walks that a strategy consists of: itself, or one for each number of layers that a family removes.

    The last model of a family's walk number k stands for the family at k layers removed.
    """
    if strategy not in FAMILIES:
        return [strategy]
    return [f"{strategy}-{size}" for size in range(1, depth("Random", original_layers, params) + 1)]


def fixed_order(strategy: str, original_layers: int) -> list[int]:
    """Return the order of a rival that looks at positions alone, layers counted from 0.

    Top-Drop begins next to the head, Bottom-Drop at the embeddings, Middle-Out at the centre (of two as near, the
    upper). Alternate takes every other layer from below the top one downwards, and then so again of what is left.
    """
    layers = list(range(original_layers))
    if strategy == "Alternate":
        order = []
        while layers:
            gone = layers[-2::-2] or layers
            order, layers = order + gone, [layer for layer in layers if layer not in gone]
        return order
    centre = (original_layers - 1) / 2
    keys = {
        "Top-Drop": lambda layer: -layer,
        "Bottom-Drop": lambda layer: layer,
        "Middle-Out": lambda layer: (abs(layer - centre), -layer),
    }
    return sorted(layers, key=keys[strategy])


def best_subset(subsets: pd.DataFrame, size: int, within: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return the set of `size` layers without which the model is most accurate, of equals that of least loss.

    `subsets`: accuracy and loss by tuple of removed layers; `within` restricts the sets to those of these layers.
    """
    chosen = [gone for gone in subsets.index if len(gone) == size and (within is None or set(gone) <= set(within))]
    ordered = subsets.loc[chosen].sort_values(["accuracy", "loss"], ascending=[False, True], kind="stable")
    return ordered.index[0]


def rank_mean(signals: pd.DataFrame, params: Params) -> pd.Series:
    """Return the mean rank of every layer over the twelve signals, 1 = to go first (Borda): a fusion without a target."""
    signed = least_first(signals[list(SIGNALS)], params)
    return fusers.standardise(signed).round(6).rank().mean(axis=1)  # rounded: what ties by a signal ties here


def random_tests(params: Params, original_layers: int | None = None) -> dict[str, list[str]]:
    """Return the walks of the two randomization tests (section 3.4): all layers; all but the first and last.

    The second is left out where it is known that there is no layer but the first and last.
    """
    tests = RANDOM_TESTS if original_layers is None or original_layers > 2 else RANDOM_TESTS[:1]
    return {test: [f"{test}-{i}" for i in range(params.random_orders)] for test in tests}


def every_walk(params: Params) -> list[str]:
    """Name all walks of a study, which its tables hold: strategies, controls, rivals, and the orders of the randomization tests."""
    return [*WALKS, *(name for names in random_tests(params).values() for name in names)]


def random_order(strategy: str, original_layers: int, params: Params) -> list[int]:
    """Draw the whole order of a randomization walk, layers counted from 0."""
    first, last = (1, original_layers - 1) if strategy.startswith("Random-Inner-") else (0, original_layers)
    return [int(layer) for layer in _draw(params, strategy, ()).permutation(np.arange(first, last))]


def fitted_fuser(strategy: str, path: list[Node], params: Params) -> fusers.Fit:
    """Fit the strategy's fuser for the last node of `path`, as `refit` and `fusion_rows` say."""
    if params.refit == "once":
        seen = path[:1]
    else:
        seen = path if params.fusion_rows == "path" else path[-1:]
    target = _target(strategy, params)
    several = [node for node in seen if len(node.remaining) > 1] or seen[:1]  # the original may have one layer only
    models = [(node.signals, node.ablation(target)["drop"]) for node in several]
    return fusers.fit(_fuser(strategy), models, params.forest_trees, params.seed)


def _scores(strategy: str, node: Node, fit: fusers.Fit | None, params: Params) -> tuple[pd.Series, float, float]:
    """Return the scores whose least is removed, and the relative and absolute difference below which they tie."""
    if strategy in SIGNALS:
        return least_first(node.signals, params)[strategy], fusers.TIE_TOLERANCE, 0.0
    if strategy == "Block-Influence":
        return node.block_influence, fusers.TIE_TOLERANCE, 0.0
    if strategy == "Rank-Mean":
        return rank_mean(node.signals, params), fusers.TIE_TOLERANCE, 0.0
    if strategy.startswith("Greedy-Ablation"):
        return node.ablation(_target(strategy, params))["drop"], 0.0, SAME_DROP
    if fit is not None:
        return fusers.predict(fit, node.signals), 0.0, SAME_DROP
    raise KeyError(f"no strategy is called {strategy!r}")


def _least(
    scores: pd.Series, relative: float, absolute: float, fit: fusers.Fit | None, node: Node, params: Params
) -> Choice:
    least = scores.min()  # NaN only when no score is a number, as after a training that diverged: then all tie
    tied = scores.index[np.isclose(scores, least, rtol=relative, atol=absolute, equal_nan=True)]
    return Choice(int(_draw(params, "tie", node.removed).choice(tied)), scores, len(tied), fit)


def _family_needs(strategy: str, params: Params, shown: set[str], ended: bool, original: bool) -> set[str]:
    """Return what a family's walk asks: to choose at the original model, to be reported at its end, nothing between."""
    if ended:
        return shown
    choosing = {"subsets_validation"} if strategy.startswith("Exact-Best") else needs(FUSERS[1], params)
    return shown | choosing if original else set()


def _family_choice(strategy: str, path: list[Node], params: Params) -> Choice:
    """Choose for one walk of a family, which knows from the original model where it ends.

    Exact-Best goes to the best set of its size on validation, by way of the best sets within it. One-Shot removes at
    once the layers for which the forest predicts the smallest drops at the original model; then it only trains.
    """
    original, gone = path[0], layers_of(path[-1].removed)
    size = depth(strategy, original.original_layers, params)
    if strategy.startswith("One-Shot"):
        if gone:
            return Choice(None)
        forest = next_layer(FUSERS[1], path[:1], params)  # of the layers that tie for the first, the forest's own
        others = [] if forest.scores is None else forest.scores.drop(forest.layer).sort_values(kind="stable").index
        order = [forest.layer, *map(int, others)]
        return Choice(order[0] if size == 1 else tuple(sorted(order[:size])))
    subsets = original.subsets_validation
    within = best_subset(subsets, size)
    while len(within) > len(gone) + 1:  # from the whole set down to the next step's
        within = best_subset(subsets, len(within) - 1, within)
    return Choice(next(layer for layer in within if layer not in gone))


def _fuser(strategy: str) -> str:
    """Return which fuser a strategy uses, "" for none."""
    return next((name for name in FUSERS if strategy.startswith(name)), "")


def _target(strategy: str, params: Params) -> str:
    """Name the measured accuracy drop that a strategy goes by."""
    return "ablation_validation" if strategy.endswith("-Validation") else f"ablation_{params.selection_split}"


def _draw(params: Params, purpose: str, removed: tuple) -> np.random.Generator:
    """Return a generator that depends on the study's dataset and seed, a purpose and a node, and on nothing else.

    Of the dataset, lest all draw the same orders: an error over datasets would then say nothing of other orders.
    """
    digest = hashlib.sha256(repr((params.dataset, params.seed, purpose, removed)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
