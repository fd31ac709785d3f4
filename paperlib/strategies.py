"""Choose the next layer to remove from what was measured on the models of a walk: the paper's 15 strategies and ours."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from paperlib import fusers
from paperlib.names import CONTROLS, FUSERS, SIGNALS, STRATEGIES
from paperlib.nodes.node import Node
from paperlib.params import Params

__all__ = ["CONTROLS", "FUSERS", "SHOWN", "SIGNALS", "STRATEGIES", "Choice", "every_walk", "next_layer", "needs", "random_tests"]

SHOWN = (*STRATEGIES, *CONTROLS)  # the walks that steps.csv tells step by step
RANDOM_TESTS = ("Random-All", "Random-Inner")  # section 3.4: all layers; all but the first and last
HIGHEST_FIRST = ("Weight-Sparsity", "Attention-Entropy")  # sections 2.2.4 and 2.2.5
SAME_RELATIVE = 1e-6  # signals closer than this are tied: rounding
SAME_DROP = 1e-9  # accuracy drops closer than this are tied: a least-squares fit returns its target up to 1e-15


@dataclass(frozen=True)
class Choice:
    """The layer to remove next (None: none, only fine-tune), the scores it was the least of, and how many tied.

    `fit` is the fuser that predicted the scores, where one did.
    """

    layer: int | None
    scores: pd.Series | None = None
    ties: int = 1
    fit: fusers.Fit | None = None


def highest_first(params: Params) -> tuple[str, ...]:
    """Name the signals by which the layer of the highest value goes first."""
    chosen = ("Activation-Inhibition",) if params.inhibition_first == "highest" else ()
    return (*HIGHEST_FIRST, *chosen)


def needs(strategy: str, params: Params, ended: bool = False) -> set[str]:
    """Say which measurements the strategy asks of a model, to choose the next layer or `ended`, to be reported.

    They are signals, ablation_test, ablation_validation and validation_correct (not asked by the randomization tests,
    which look at test maxima only).
    """
    shown = set() if strategy.startswith(RANDOM_TESTS) else {"validation_correct"}
    if ended:
        return shown
    if strategy in SIGNALS:
        return shown | {"signals"}
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
        return Choice(random_order(strategy, node.original_layers, params.seed)[len(node.removed)])
    if strategy == "Random":
        return Choice(int(_draw(params.seed, "Random", node.removed).choice(node.remaining)))
    if len(node.remaining) == 1:
        return Choice(node.remaining[0])
    fit = fitted_fuser(strategy, path, params) if _fuser(strategy) else None
    return _least(*_scores(strategy, node, fit, params), fit, node, params)


def oriented(node: Node, params: Params) -> pd.DataFrame:
    """Return the signals of a model's layers, those by which the highest goes first with their sign turned."""
    turned = [-1 if name in highest_first(params) else 1 for name in SIGNALS]
    return node.signals[list(SIGNALS)] * turned


def depth(strategy: str, original_layers: int, params: Params) -> int:
    """Return how many layers the strategy removes in all."""
    most = max(0, original_layers - 2) if strategy.startswith("Random-Inner-") else original_layers
    return min(most, params.max_removed) if params.max_removed else most


def random_tests(params: Params, original_layers: int | None = None) -> dict[str, list[str]]:
    """Return the walks of the two randomization tests (section 3.4): all layers; all but the first and last.

    The second is left out where it is known that there is no layer but the first and last.
    """
    tests = RANDOM_TESTS if original_layers is None or original_layers > 2 else RANDOM_TESTS[:1]
    return {test: [f"{test}-{i}" for i in range(params.random_orders)] for test in tests}


def every_walk(params: Params) -> list[str]:
    """Name all walks of a study, which its tables hold: strategies, controls, and the orders of the randomization tests."""
    return [*SHOWN, *(name for names in random_tests(params).values() for name in names)]


def random_order(strategy: str, original_layers: int, seed: int) -> list[int]:
    """Draw the whole order of a randomization walk, layers counted from 0."""
    first, last = (1, original_layers - 1) if strategy.startswith("Random-Inner-") else (0, original_layers)
    return [int(layer) for layer in _draw(seed, strategy, ()).permutation(np.arange(first, last))]


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
        return node.signals[strategy] * (-1 if strategy in highest_first(params) else 1), SAME_RELATIVE, 0.0
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
    return Choice(int(_draw(params.seed, "tie", node.removed).choice(tied)), scores, len(tied), fit)


def _fuser(strategy: str) -> str:
    """Return which fuser a strategy uses, "" for none."""
    return next((name for name in FUSERS if strategy.startswith(name)), "")


def _target(strategy: str, params: Params) -> str:
    """Name the measured accuracy drop that a strategy goes by."""
    return "ablation_validation" if strategy.endswith("-Validation") else f"ablation_{params.selection_split}"


def _draw(seed: int, purpose: str, removed: tuple) -> np.random.Generator:
    """Return a generator that depends on the study's seed, a purpose and a node, and on nothing else."""
    digest = hashlib.sha256(repr((seed, purpose, removed)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
