"""Quantities that claims are about, from maximum accuracies alone: the same for Table 1 and for our run."""

import math
from dataclasses import replace

import pandas as pd

from paperlib import published
from paperlib.common.messages import span
from paperlib.evidence import statistics
from paperlib.evidence.estimates import (
    LEVEL,
    NAN,
    Estimate,
    Results,
    Untestable,
    after_holm,
    count,
    paired,
    seeds_each,
    testable,
)
from paperlib.evidence.sentences import p_text
from paperlib.names import FUSERS, SIGNALS, STRATEGIES

SINGLES = list(SIGNALS)


# Ranks and wins: Table 1 and Figure 2


def wins(results: Results, strategy: str, rivals: str = "all") -> Estimate:
    """Count the datasets on which no other strategy (or no single signal) is more accurate."""
    table = _rounded(results)
    highest = table.loc[SINGLES].max() if rivals == "singles" else table.max()
    return count(table.loc[strategy] >= highest, table.shape[1])


def worst_place(results: Results, strategy: str, ties: str = "min") -> Estimate:
    """Return the strategy's worst place, 1 = best; with `ties="dense"` tied values take up one place."""
    places = _rounded(results).rank(ascending=False, method=ties).loc[strategy]
    if places.empty:
        raise Untestable("no dataset has all strategies")
    behind = ", ".join(f"{name} {place:.0f}" for name, place in places.items() if place > 1)
    return Estimate(places.max(), datasets=len(places), note=behind)


def mean_rank_place(results: Results, strategy: str) -> Estimate:
    """Return the strategy's place, 1 = best, among the fifteen ordered by their mean rank (Figure 2)."""
    ranks = statistics.ranks(_rounded(results))
    means = ranks.mean(axis=1)
    place = means.rank(ascending=False, method="min")[strategy]
    return Estimate(place, datasets=ranks.shape[1], note=f"mean rank {means[strategy]:.2f} of {len(means)}")


def unmatched_singles(results: Results) -> Estimate:
    """Count the datasets on which the best single signal is more accurate than both fusers."""
    table = _rounded(results)
    exceptions = count(table.loc[SINGLES].max() > table.loc[list(FUSERS)].max(), table.shape[1])
    return replace(exceptions, note=f"exceptions: {exceptions.note or 'none'}")


def strategies_differ(results: Results) -> Estimate:
    """Return Friedman's chi-squared over the fifteen strategies, datasets as blocks."""
    table = _rounded(results)
    chi2, p = statistics.friedman(table)
    if pd.isna(p):
        raise Untestable("all strategies are equal on every dataset" if table.shape[1] > 1 else "needs several datasets as blocks")
    return Estimate(chi2, p_two_sided=p, datasets=table.shape[1])


# Changes against the baseline and against rivals: Figure 3


def change(results: Results, strategy: str) -> Estimate:
    """Return the mean change of maximum accuracy against the baseline, per cent."""
    return paired(_change(results, strategy).loc[strategy])


def change_without_extreme(results: Results, strategy: str) -> Estimate:
    """Return the mean per cent change without the dataset that contributes most to it."""
    values = _change(results, strategy).loc[strategy]
    if len(values) < 2 or values.mean() <= 0:
        raise Untestable("no mean gain whose origin could be asked for")
    extreme = values.idxmax()
    return paired(values.drop(extreme), note=f"that is without {extreme}, with it {values.mean():+.2f} %")


def below_baseline(results: Results, unit: str = "percent") -> Estimate:
    """Count the single signals significantly below the baseline, one-sided, on % change or points."""
    tests, datasets = _tests(results)
    p_values = tests.loc[SINGLES, "p_less" if unit == "percent" else "p_less_points"]
    missed = ", ".join(f"{name} ({p_text(p)})" for name, p in p_values.items() if p >= LEVEL)
    return count(p_values < LEVEL, datasets, f"not {missed}" if missed else "")


def above_baseline(results: Results, strategy: str) -> Estimate:
    """Count the datasets on which the pruned model is more accurate than the baseline."""
    table = results.rows(strategy, "Baseline").round(statistics.DECIMALS)
    return count(table.loc[strategy] > table.loc["Baseline"], table.shape[1])


def against(results: Results, strategy: str, rival: str, unit: str = "points", margin: float = 0) -> Estimate:
    """Return strategy minus rival, mean over datasets; `margin` shifts the tests, not the mean."""
    in_percent = unit == "percent"
    table = _change(results, strategy, rival) if in_percent else 100 * results.rows(strategy, rival)
    return knowing_orders(paired(table.loc[strategy] - table.loc[rival], shift=margin), results, rival)


def knowing_orders(estimate: Estimate, results: Results, rival: str = "Random") -> Estimate:
    """Say of what was set against Random if its datasets share their random orders; a test over them says nothing of one order."""
    orders = statistics.shared_orders(results.steps) if rival == "Random" else 0
    if not orders:
        return estimate
    said = f"{orders} random order{'s, one a seed,' * (orders > 1)} for all datasets"
    known = replace(estimate, note="; ".join(filter(None, [estimate.note, said])))
    return known if orders > 1 else replace(known, p_less=NAN, p_greater=NAN, p_two_sided=NAN)


def on_another_encoder(results: Results, strategy: str, rival: str) -> Estimate:
    """Return what `against` says of the walks down another encoder, one of as many layers as the paper's, points."""
    if set(results.steps.get("layers", ())) == {published.LAYERS}:
        raise Untestable(f"a question beside a study of another depth: this one's own encoder has {published.LAYERS} layers")
    steps = results.table("steps_encoder").query("layers == @published.LAYERS")
    encoders = steps["encoder"].unique()
    if len(encoders) != 1:
        raise Untestable(f"one encoder of {published.LAYERS} layers is wanted beside the study's own, not {len(encoders)}")
    seeds = ", ".join(map(str, sorted(steps["seed"].unique())))
    found = against(Results.from_tables(steps=steps), strategy, rival)
    note = "; ".join(filter(None, [f"{encoders[0]}, seed {seeds}", found.note]))
    return replace(found, note=note, seeds=span(seeds_each(steps)))


def against_best_single(results: Results, strategy: str) -> Estimate:
    """Return strategy minus the best single signal of each dataset, points."""
    table = 100 * _rounded(results)
    return paired(table.loc[strategy] - table.loc[SINGLES].max())


def above_random_after_holm(results: Results, strategies: list[str]) -> Estimate:
    """Count which of these beat Random (one-sided, % change) after Holm over the 14 comparisons."""
    tests, datasets = _tests(results, tests=len(STRATEGIES) - 1)
    adjusted = tests.loc[strategies, "p_greater_random_holm"]
    found = count(adjusted < LEVEL, datasets, ", ".join(f"{name} {p_text(p)}" for name, p in adjusted.items()))
    return knowing_orders(found, results)


def singles_beaten(results: Results, strategy: str) -> Estimate:
    """Count the single signals that the strategy beats, one-sided on points, Holm over the twelve."""
    table = _rounded(results)
    adjusted = after_holm(table.loc[strategy] - table.loc[SINGLES])
    note = f"largest adjusted {p_text(adjusted.max())}, {adjusted.idxmax()}"
    return count(adjusted < LEVEL, table.shape[1], note)


def singles_above_random(results: Results) -> Estimate:
    """Count the single signals whose mean change against the baseline is better than Random's."""
    changes = _change(results, *STRATEGIES)
    better = changes.loc[SINGLES].mean(axis=1) > changes.loc["Random"].mean()
    worse = ", ".join(better.index[~better])
    return knowing_orders(count(better, changes.shape[1], f"not {worse}" if worse else ""), results)


def on_dataset(results: Results, strategy: str, rival: str, dataset: str) -> Estimate:
    """Return strategy minus rival on one dataset, points, mean over seeds; spread = sampling error of that difference.

    The two count as measured on independent examples, which overstates the error of a paired comparison.
    """
    table = results.rows(strategy, rival)
    if dataset not in table:
        raise Untestable(f"not measured: {dataset}")
    ours, theirs = table.loc[strategy, dataset], table.loc[rival, dataset]
    n = published.TEST_SIZE if results.printed else int(statistics.examples(results.steps)[dataset])
    error = math.hypot(statistics.sampling_error(ours, n), statistics.sampling_error(theirs, n))
    note = f"{dataset}: {theirs:.3f} to {ours:.3f}"
    return Estimate(100 * (ours - theirs), 100 * error, datasets=1, note=note)


def test_subset_cells(results: Results, n: int) -> Estimate:
    """Count the printed cells of Table 1 that are multiples of 1/n."""
    if not results.printed:
        raise Untestable("a question about Table 1 only")
    table = pd.concat([results.baseline.to_frame().T, results.maxima])
    cells = table.stack()
    possible = pd.Series(statistics.granularity(cells, n), index=[" ".join(cell) for cell in cells.index])
    return count(possible, table.shape[1], f"not {', '.join(possible.index[~possible])}")


def _rounded(results: Results) -> pd.DataFrame:
    """Return (15 strategies, datasets), rounded so that accuracies equal on paper are equal here."""
    return results.rows(*STRATEGIES).round(statistics.DECIMALS)


def _change(results: Results, *names: str) -> pd.DataFrame:
    table = results.rows(*names, "Baseline")
    return statistics.percent_change(table.loc[list(names)], table.loc["Baseline"])


def _tests(results: Results, tests: int = 1) -> tuple[pd.DataFrame, int]:
    table = testable(results.rows(*STRATEGIES, "Baseline"), tests)
    return statistics.baseline_tests(table.drop(index="Baseline"), table.loc["Baseline"]), table.shape[1]
