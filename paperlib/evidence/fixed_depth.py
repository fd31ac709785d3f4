"""Accuracy at fixed depth, with the intervals and comparisons that no maximum over depths flatters.

Two spreads are kept apart: over seeds (would the same datasets give the same again?) and over datasets (would other
datasets?). `values` is a DataFrame (datasets, seeds), one number of one strategy in each place.
"""

import itertools
import math

import numpy as np
import pandas as pd
from scipy import stats

from paperlib.common.messages import span
from paperlib.evidence import statistics
from paperlib.names import FUSERS

DRAWS = 2000
LEVEL = 0.95
NAN = float("nan")
FOREST = FUSERS[1]


def by_depth(steps: pd.DataFrame) -> pd.DataFrame:
    """Return (strategies, layers removed): test accuracy, mean over seeds and then over datasets."""
    means = steps.groupby(["strategy", "step", "dataset"])["accuracy"].mean()
    table = means.groupby(["strategy", "step"]).mean().unstack()
    return table.reindex([name for name in statistics.maximum_accuracy(steps).index])


def mean_over_depths(steps: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """Return (datasets, seeds): a strategy's mean accuracy over the depths at which there is a choice.

    That is one to all but one layer removed (for Equal-Training, as many more rounds): at the end all meet.
    """
    chosen = steps[(steps["strategy"] == strategy) & (steps["step"] >= 1) & (steps["step"] < steps["layers"])]
    return chosen.groupby(["dataset", "seed"])["accuracy"].mean().unstack("seed")


def interval_over_seeds(values: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Return the bootstrap interval of the mean over datasets, each dataset's seeds drawn anew within it (stratified).

    It speaks of these datasets only; nan with a single seed somewhere.
    """
    strata = [row.dropna().to_numpy() for _, row in values.iterrows()]
    if not strata or min(map(len, strata)) < 2:
        return NAN, NAN
    rng = np.random.default_rng(seed)
    means = [rng.choice(stratum, (draws, len(stratum))).mean(axis=1) for stratum in strata]
    return _percentiles(np.mean(means, axis=0))


def interval_over_datasets(values: pd.DataFrame, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Return the bootstrap interval of the mean, datasets drawn anew with all their seeds.

    nan with fewer than `MIN_DATASETS`: of two, the interval would be from one to the other, whatever they are.
    """
    means = values.mean(axis=1).dropna().to_numpy()
    if len(means) < statistics.MIN_DATASETS:
        return NAN, NAN
    found = stats.bootstrap(
        (means,), np.mean, n_resamples=draws, method="percentile", confidence_level=LEVEL, rng=np.random.default_rng(seed)
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def probability_of_improvement(first: pd.DataFrame, second: pd.DataFrame) -> pd.Series:
    """Return, per dataset, the chance that a run of the first is better than one of the second; ties count half.

    Over all pairs of seeds, as the two could have met (Agarwal et al. 2021, arXiv 2108.13264).
    """
    common = first.index.intersection(second.index, sort=False)
    chances = {}
    for dataset in common:
        pairs = itertools.product(first.loc[dataset].dropna(), second.loc[dataset].dropna())
        chances[dataset] = np.mean([0.5 * (1 + np.sign(round(a - b, statistics.DECIMALS))) for a, b in pairs])
    return pd.Series(chances, dtype=float)


def improvement_table(steps: pd.DataFrame, rivals: list[str], strategy: str = FOREST) -> pd.DataFrame:
    """Compare a strategy with each rival at fixed depth; one row per rival that was walked.

    Columns: mean (points), its intervals over datasets and over seeds, chance (of improvement) with its interval
    over datasets, and how many datasets and seeds are behind it.
    """
    ours, rows = mean_over_depths(steps, strategy), {}
    for rival in (name for name in rivals if name in set(steps["strategy"])):
        theirs = mean_over_depths(steps, rival)
        gap = (100 * (ours - theirs)).dropna(how="all")
        chances = probability_of_improvement(ours, theirs)
        over_datasets, over_seeds = interval_over_datasets(gap), interval_over_seeds(gap)
        surely = interval_over_datasets(chances.to_frame())
        rows[rival] = {
            "mean": gap.mean(axis=1).mean(), "datasets_low": over_datasets[0], "datasets_high": over_datasets[1],
            "seeds_low": over_seeds[0], "seeds_high": over_seeds[1], "chance": chances.mean(),
            "chance_low": surely[0], "chance_high": surely[1], "datasets": len(gap), "seeds": span(gap.notna().sum(axis=1)),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rival")


def mean_ranks(maxima: pd.DataFrame) -> pd.Series:
    """Return each strategy's mean rank over the datasets that have all, 1 = best."""
    table = maxima.dropna(axis=1).round(statistics.DECIMALS)
    return table.rank(ascending=False).mean(axis=1).sort_values(kind="stable")


def critical_difference(strategies: int, datasets: int, level: float = 0.05) -> float:
    """Return by how much two mean ranks must differ to be told apart (Nemenyi; Demsar 2006)."""
    if strategies < 2 or datasets < 2:
        return NAN
    q = stats.studentized_range.ppf(1 - level, strategies, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(strategies * (strategies + 1) / (6 * datasets)))


def nemenyi(maxima: pd.DataFrame) -> pd.DataFrame:
    """Return the p-value of each pair of strategies (Friedman's ranks, Nemenyi's test), all of them in one family."""
    import scikit_posthocs

    table = maxima.dropna(axis=1).round(statistics.DECIMALS)
    return scikit_posthocs.posthoc_nemenyi_friedman(table.T.reset_index(drop=True))


def _percentiles(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
