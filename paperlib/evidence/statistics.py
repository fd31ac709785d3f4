"""Statistics of the study: tidy tables in, small tables out.

`maxima` is always a DataFrame (strategies, datasets) of maximum accuracies, `baseline` a Series (datasets,)
of the unpruned model's accuracies, both as fractions. Nothing here knows if they are the paper's or ours.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from paperlib.names import FUSERS, WALKS
from paperlib.params import DATASETS

MIN_DATASETS = 5  # below, even a perfect one-sided signed-rank test stays above 0.05: 2 ** -4 = 0.0625
DECIMALS = 9  # differences equal on paper must be equal here, or float noise would break ties in the ranks
WALK = ["dataset", "seed", "strategy"]  # what names one walk down the layer-removal tree


def _in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """Sort the distinct names as in `order`, those it lacks last, in order of appearance."""
    position = {name: place for place, name in enumerate(order)}
    return sorted(dict.fromkeys(names), key=lambda name: position.get(name, len(order)))


def _table(values: pd.Series) -> pd.DataFrame:
    """Average a (dataset, seed, strategy) series over seeds and lay it out as (strategies, datasets)."""
    table = values.groupby(["strategy", "dataset"]).mean().unstack("dataset")
    return table.loc[_in_order(table.index, WALKS), _in_order(table.columns, DATASETS)]


def best_rows(steps: pd.DataFrame, by: str) -> pd.DataFrame:
    """Keep, per walk, the pruned row with the highest `by`; ties go to the last step."""
    best_first = steps[steps["step"] >= 1].sort_values([by, "step"], ascending=False, kind="stable")
    return best_first.drop_duplicates(WALK).set_index(WALK)


def _originals(steps: pd.DataFrame) -> pd.DataFrame:
    """Keep, per walk, the row of the unpruned model."""
    return steps[steps["step"] == 0].drop_duplicates(WALK).set_index(WALK)


def maximum_accuracy(steps: pd.DataFrame) -> pd.DataFrame:
    """Return (strategies, datasets): maximum accuracy over 1..L removed layers, mean over seeds (Table 1)."""
    return _table(best_rows(steps, "accuracy")["accuracy"])


def selected_accuracy(steps: pd.DataFrame) -> pd.DataFrame:
    """Return (strategies, datasets): test accuracy at the depth chosen on validation, mean over seeds.

    Ties in validation accuracy go to the smallest model. Unlike the maximum, it uses the test examples once.
    """
    return _table(best_rows(steps, "validation_accuracy")["accuracy"])


def baseline_accuracy(steps: pd.DataFrame) -> pd.Series:
    """Return (datasets,): accuracy of the unpruned, once fine-tuned model, mean over seeds."""
    values = _originals(steps).groupby(["dataset", "seed"])["accuracy"].first().groupby("dataset").mean()
    return values.loc[_in_order(values.index, DATASETS)].rename("Baseline")


def accuracy_to_size(steps: pd.DataFrame) -> pd.DataFrame:
    """Return (strategies, datasets): per cent by which accuracy / size exceeds the original model's.

    Taken at the step of maximum accuracy, ties to the smallest model; mean over seeds (Figure 4); nan where the
    original model is never right.
    """
    best, original = best_rows(steps, "accuracy"), _originals(steps)
    accuracy = original["accuracy"].where(original["accuracy"] > 0)
    gain = (best["accuracy"] / best["size_gb"]) / (accuracy / original["size_gb"])
    return _table(100 * (gain[gain.index.isin(original.index) & gain.index.isin(best.index)] - 1))


def ranks(maxima: pd.DataFrame) -> pd.DataFrame:
    """Return (strategies, datasets): rank by accuracy, best = number of strategies, ties share the mean."""
    return maxima.round(DECIMALS).rank(axis=0, method="average")


def wins(maxima: pd.DataFrame) -> pd.Series:
    """Count, per strategy, the datasets on which it has the highest maximum accuracy; ties all win."""
    rounded = maxima.round(DECIMALS)
    return rounded.eq(rounded.max()).sum(axis=1)


def percent_change(maxima: pd.DataFrame, baseline: pd.Series) -> pd.DataFrame:
    """Return (strategies, datasets): change of maximum accuracy against the baseline, per cent (Figure 3).

    It is nan, and counts in no mean and no test, where the baseline is 0: nothing is a per cent of that.
    """
    return 100 * (maxima / baseline[maxima.columns].where(baseline > 0) - 1)


def sem(values: Iterable[float]) -> float:
    """Return the standard error of the mean of the finite values; nan below two."""
    return float(pd.Series(list(values), dtype=float).sem())


def wilcoxon_p(differences: Iterable[float], alternative: str) -> float:
    """Return the exact p-value of Wilcoxon's signed-rank test of paired differences against zero.

    `alternative` is less, greater or two-sided. Zeros are dropped, ties share their mean rank, as in
    `scipy.stats.wilcoxon`; 1 when all are zero, nan below `MIN_DATASETS` pairs.
    """
    values = np.round(np.asarray(list(differences), dtype=float), DECIMALS)
    values = values[np.isfinite(values)]
    if len(values) < MIN_DATASETS:
        return float("nan")
    values = values[values != 0]
    ranks = np.rint(2 * stats.rankdata(np.abs(values))).astype(int)  # doubled, as mean ranks may be halves
    null = _signed_rank_distribution(tuple(sorted(ranks)))
    observed = ranks[values > 0].sum()
    p = {"less": null[: observed + 1].sum(), "greater": null[observed:].sum()}
    p["two-sided"] = min(1.0, 2 * min(p.values()))
    return float(p[alternative])


@lru_cache
def _signed_rank_distribution(ranks: tuple[int, ...]) -> np.ndarray:
    """Return the probability of each sum of the integer ranks, every rank being in it with probability 1/2.

    Own code because scipy's exact test takes 0.3 s as soon as there are ties, and claims, figures and simulations make
    thousands of them; the p-values are the same.
    """
    null = np.ones(1)
    for rank in ranks:
        null = np.convolve(null, np.r_[0.5, np.zeros(rank - 1), 0.5])
    return null


def holm(p_values: pd.Series) -> pd.Series:
    """Return Holm's step-down adjusted p-values over the finite entries (Holm 1979)."""
    ordered = p_values.dropna().sort_values(kind="stable")
    factors = np.arange(len(ordered), 0, -1)
    return (ordered * factors).cummax().clip(upper=1.0).reindex(p_values.index)


def friedman(maxima: pd.DataFrame) -> tuple[float, float]:
    """Return Friedman's chi-squared and p-value: do the strategies differ at all, with datasets as blocks?"""
    if maxima.shape[0] < 3 or maxima.shape[1] < 2:
        return float("nan"), float("nan")
    result = stats.friedmanchisquare(*maxima.round(DECIMALS).to_numpy())
    return float(result.statistic), float(result.pvalue)


def baseline_tests(maxima: pd.DataFrame, baseline: pd.Series) -> pd.DataFrame:
    """Test every strategy against the baseline and against Random (Figure 3), one row per strategy.

    Differences are in per cent of the baseline, those of the `*_points` columns in accuracy. Holm's
    correction runs over all strategies but Random: give Table 1's fifteen rows for its 14 comparisons.
    """
    change, points = percent_change(maxima, baseline), maxima - baseline[maxima.columns]
    tests = pd.DataFrame({
        "mean": change.mean(axis=1), "sem": change.sem(axis=1),
        "p_less": _row_tests(change, "less"), "p_greater": _row_tests(change, "greater"),
        "p_two_sided": _row_tests(change, "two-sided"), "p_two_sided_points": _row_tests(points, "two-sided"),
        "p_less_points": _row_tests(points, "less"),
    })
    if "Random" in change.index:
        better = change.drop(index="Random") - change.loc["Random"]
        for column, alternative in (("p_greater_random", "greater"), ("p_two_sided_random", "two-sided")):
            tests[column] = _row_tests(better, alternative)
            tests[f"{column}_holm"] = holm(tests[column])
    return tests


def _row_tests(differences: pd.DataFrame, alternative: str) -> pd.Series:
    return differences.apply(wilcoxon_p, axis=1, alternative=alternative)


def leave_one_out(maxima: pd.DataFrame, baseline: pd.Series) -> pd.DataFrame:
    """Return (strategies, left-out dataset): mean per cent change against the baseline without the latter."""
    change = percent_change(maxima, baseline)
    return pd.DataFrame({name: change.drop(columns=name).mean(axis=1) for name in change.columns})


def examples(steps: pd.DataFrame) -> pd.Series:
    """Return on how many test examples the accuracies of each dataset rest, all seeds together."""
    return steps.drop_duplicates(["dataset", "seed"]).groupby("dataset")["test_size"].sum()


def shared_orders(steps: pd.DataFrame) -> int:
    """Return how many orders Random has in all where the datasets of a seed share one; 0 where each has its own.

    Shared orders make an error over datasets silent about other orders: only the seeds can tell of them. 0 where `steps` does
    not say what was removed, as of the paper's table.
    """
    if "removed" not in steps:
        return 0
    walked = steps[steps["strategy"] == "Random"].sort_values("step", kind="stable")
    orders = walked.drop_duplicates(["dataset", "seed"], keep="last")
    alike = orders["dataset"].nunique() > 1 and (orders.groupby("seed")["removed"].nunique() == 1).all()
    return orders["removed"].nunique() if alike else 0


def sampling_error(accuracy: float, n: int = 256) -> float:
    """Return the binomial standard error of an accuracy measured on `n` examples, as a fraction."""
    return float(np.sqrt(accuracy * (1 - accuracy) / n))


def maximum_inflation(
    accuracy: float,
    n: int = 256,
    depths: int = 12,
    correlation: float = 0.8,
    draws: int = 2000,
    seed: int = 0,
) -> float:
    """Return by how much the best of `depths` equally accurate models beats their true accuracy, a fraction.

    Simulated on `n` examples with a Gaussian copula: `correlation` is that of two models' latent scores.
    """
    rng = np.random.default_rng(seed)
    threshold, highest = stats.norm.ppf(accuracy), np.empty(draws)
    for draw in range(draws):
        shared, own = rng.standard_normal((n, 1)), rng.standard_normal((n, depths))
        latent = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own  # (examples, depths)
        highest[draw] = (latent < threshold).mean(axis=0).max()
    return float(highest.mean() - accuracy)


def granularity(values: Iterable[float], n: int) -> np.ndarray:
    """Return a mask like `values`: is each, as printed to 3 decimals, a count out of `n` examples?"""
    printed = np.asarray(values, dtype=float)
    return np.abs(np.round(printed * n) / n - printed) <= 0.0005 + 1e-9


def scaled_weights(fusion: pd.DataFrame) -> pd.DataFrame:
    """Return the fusers' weights averaged over the steps of a walk and scaled to [-1, 1] (Section 3.3).

    One row per dataset, seed, strategy and signal; the largest absolute weight of a walk becomes 1. `fusion`:
    one row per step and signal, coefficients (LR) or impurity importances (RF).
    """
    fused = fusion[fusion["strategy"].isin(FUSERS)]
    mean = fused.groupby([*WALK, "signal"], sort=False)["weight"].mean()
    largest = mean.abs().groupby(WALK).transform("max")
    return (mean / largest.where(largest > 0, 1)).reset_index()


def forest_maxima(steps: pd.DataFrame) -> pd.Series:
    """Return Random-Forest's maximum accuracy per (dataset, seed)."""
    forest = steps[(steps["strategy"] == FUSERS[1]) & (steps["step"] >= 1)]
    return forest.groupby(["dataset", "seed"])["accuracy"].max()


def randomization_tests(steps: pd.DataFrame, randomization: pd.DataFrame) -> pd.DataFrame:
    """Return one row per (dataset, test): informed, random (mean maximum accuracies), n (orders), seeds, p.

    One-sided Wilcoxon signed-rank of Random-Forest's maximum minus each random order's maximum, pooled over
    seeds. The orders of a seed share one Random-Forest run: p speaks of orders, not of repeated studies.
    """
    informed = forest_maxima(steps).rename("informed")
    pairs = randomization.join(informed, on=["dataset", "seed"])
    gain = (pairs["informed"] - pairs["max_accuracy"]).groupby([pairs["dataset"], pairs["test"]])
    means = pairs.groupby(["dataset", "test"])[["informed", "max_accuracy"]].mean()
    return means.rename(columns={"max_accuracy": "random"}).assign(
        n=gain.count(), seeds=pairs.groupby(["dataset", "test"])["seed"].nunique(), p=gain.agg(wilcoxon_p, alternative="greater"))


def false_alarms(n: int, draws: int = 2000, seed: int = 0, seeds: int = 1, level: float = 0.05) -> float:
    """Return how often the test of `randomization_tests` calls one more random order better than `n` others: its true level.

    With several seeds the `n` orders are shared out among them, and each seed has one such order of its own.
    """
    values = np.random.default_rng(seed).standard_normal((draws, seeds, n // seeds + 1))
    gaps = (values[:, :, :1] - values[:, :, 1:]).reshape(draws, -1)
    return share_found(gaps, level)


def share_found(gaps: np.ndarray, level: float) -> float:
    """Return in what share of the rows of `gaps` (draws, n), all distinct, `wilcoxon_p` finds them above zero at `level`."""
    return float((stats.wilcoxon(gaps, alternative="greater", axis=1, method="exact").pvalue < level).mean())


def same_curves(steps: pd.DataFrame) -> list[tuple[str, ...]]:
    """Group the strategies whose accuracies are equal at every step: one line in a figure; groups of one are left out.

    `steps`: rows of steps.csv of one dataset; over seeds, means are compared.
    """
    curves = steps.pivot_table(index="strategy", columns="step", values="accuracy", sort=False).round(9)
    groups = pd.Series(curves.index, index=curves.index).groupby([curves[step] for step in curves], sort=False, dropna=False)
    return [tuple(names) for _, names in groups if len(names) > 1]
