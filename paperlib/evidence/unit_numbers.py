"""Numbers for the notebooks of one dataset and seed: paired differences, agreeing orders, shared models."""

import itertools
import re

import numpy as np
import pandas as pd
from scipy import stats

from paperlib.evidence.sentences import leaders, noise
from paperlib.signals import degenerate

ALL_ORDERS_UP_TO = 7  # layers: 7! = 5040 orders are enumerated, more are drawn
DRAWS = 20_000
ROUNDING = 1e-9  # correlations closer than this are equal


def paired_difference(first: np.ndarray, second: np.ndarray) -> pd.Series:
    """Compare two models on the same examples; the arguments say which each has right (examples,).

    Returns `difference` = accuracy of the first minus that of the second, its `standard_error`, how many
    examples only the first (`lost`) or only the second (`gained`) has right, McNemar's exact two-sided `p`.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    n, lost, gained = len(first), int((first & ~second).sum()), int((second & ~first).sum())
    difference = (lost - gained) / n
    # The difference is a mean over examples of -1, 0 or 1.
    error = np.sqrt((lost + gained) / n - difference**2) / np.sqrt(n)
    p = stats.binomtest(lost, lost + gained).pvalue if lost + gained else 1.0
    values = {"difference": difference, "standard_error": error, "lost": lost, "gained": gained, "p": p}
    return pd.Series(values, dtype=float)


def least_two(drops: pd.Series, right: pd.DataFrame) -> str:
    """Say whether the two smallest drops can be told apart; `right`: for each layer skipped, which examples are (examples, layers).

    Layers count from 0 in what comes in and from 1 in what is said; "" where there are not two.
    """
    if len(drops) < 2:
        return ""
    least, second = drops.sort_values(kind="stable").index[:2]
    apart = paired_difference(right[least], right[second])
    found = noise(100 * apart["difference"], 100 * apart["standard_error"], apart["p"])
    return f"The two smallest, of layers {least + 1} and {second + 1}, are apart by {found}, not corrected for having looked first."


def rank_correlation(scores: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's correlation of the signals over the layers; nan for a signal without an order."""
    return scores.mask(_flat(scores)).corr(method="spearman")


def agreement(scores: pd.DataFrame, target: pd.Series) -> pd.Series:
    """Return Spearman's correlation of each signal with `target` over the layers; nan without an order."""
    if target.nunique() < 2:
        return pd.Series(np.nan, index=scores.columns)
    return scores.mask(_flat(scores)).corrwith(target, method="spearman")


def chance_limit(target: pd.Series, level: float = 0.05, seed: int = 0) -> float:
    """Return the least correlation with `target` that a random order reaches, either way, with p <= `level`.

    Exact up to seven layers, drawn above. Infinite when even a perfect order is more probable than that; nan
    when the target is the same for every layer.
    """
    n = len(target)
    if target.nunique() < 2:
        return float("nan")
    if n <= ALL_ORDERS_UP_TO:
        orders = np.array(list(itertools.permutations(range(n))))
    else:
        orders = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (DRAWS, 1)), axis=1)
    ranks = stats.zscore(stats.rankdata(target))
    reached = np.abs(stats.zscore(orders, axis=1) @ ranks / n).round(9)
    values, counts = np.unique(reached, return_counts=True)
    at_least = counts[::-1].cumsum()[::-1] / len(reached)
    rare = values[at_least <= level]
    return float(rare[0]) - ROUNDING if len(rare) else float("inf")


def effective_number(correlation: pd.DataFrame) -> float:
    """Return how many independent orders the signals amount to: their correlation's participation ratio.

    (sum of eigenvalues)^2 / sum of squared eigenvalues: 1 when all agree or oppose each other, k when k are
    uncorrelated; at most one less than the number of layers.
    """
    kept = correlation.dropna(how="all").dropna(axis=1, how="all")
    return float(np.trace(kept) ** 2 / (kept.to_numpy() ** 2).sum()) if len(kept) else float("nan")


def most_alike(correlation: pd.DataFrame, layers: int) -> str:
    """Say which two signals are most alike and which most opposed, by `rank_correlation`."""
    pairs = correlation.where(~np.eye(len(correlation), dtype=bool)).stack().dropna()
    if pairs.empty:
        return f"No correlation is possible with {layers} layer{'s' * (layers > 1)}."
    pairs = pairs[[one < other for one, other in pairs.index]]  # each once
    named = pairs.set_axis(["–".join(pair) for pair in pairs.index])
    alike, opposed = leaders(named), leaders(-named)
    return f"Most alike: {alike} ({pairs.max():+.2f}); most opposed: {opposed} ({pairs.min():+.2f})."


def norm_energy(layer) -> float:
    """Return the mean squared activation that the last norm of a layer gives features that all vary alike."""
    norm = [module for module in layer.modules() if type(module).__name__.endswith("Norm")][-1]
    bias = getattr(norm, "bias", None)
    return (norm.weight.square().mean() + (0 if bias is None else bias.square().mean())).item()


def shared_models(steps: pd.DataFrame) -> pd.DataFrame:
    """Count, per step from 1, the models that the walks ask for and the distinct ones among them.

    `steps`: rows of steps.csv of one dataset and seed. Beside the counts: the seconds of their fine-tunes.
    """
    pruned = steps[steps["step"] >= 1]
    once = pruned.drop_duplicates("removed")
    wanted, distinct = (table.groupby("step")["seconds"].agg(["size", "sum"]) for table in (pruned, once))
    columns = {"wanted": wanted["size"], "distinct": distinct["size"]}
    return pd.DataFrame({**columns, "seconds_wanted": wanted["sum"], "seconds_distinct": distinct["sum"]})


def from_one(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it is shown: layers counted from 1, as in all texts and figures; the files count from 0.

    Columns `layer` and `removed_layer` hold a number; `removed` and `order` such as "4-0" or "none-none"; `kept` "0 3".
    """
    shown = table.copy()
    for column in shown.columns.intersection(["layer", "removed_layer"]):
        shown[column] = shown[column] + 1
    for column in shown.columns.intersection(["removed", "order", "kept"]):
        shown[column] = [_from_one(str(path)) for path in shown[column].fillna("")]
    return shown


def _from_one(path: str) -> str:
    return re.sub(r"\d+", lambda number: str(int(number[0]) + 1), path) if path else "nothing"


def _flat(scores: pd.DataFrame) -> np.ndarray:
    return np.broadcast_to(scores.columns.isin(degenerate(scores)), scores.shape)
