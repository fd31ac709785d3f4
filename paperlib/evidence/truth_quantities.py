"""Quantities that our own claims are about: rivals, fixed depth, all subsets, transfer and training."""

from dataclasses import replace

import pandas as pd

from paperlib.common.messages import span
from paperlib.evidence import fixed_depth, statistics, subset_numbers
from paperlib.evidence.estimates import (
    LEVEL,
    Estimate,
    Results,
    Untestable,
    after_holm,
    count,
    paired,
    seeds_each,
    testable,
)
from paperlib.evidence.quantities import knowing_orders
from paperlib.evidence.statistics import MIN_DATASETS
from paperlib.names import SIGNALS, STRATEGIES

# Rivals


def rivals_beaten(results: Results, strategy: str, rivals: list[str]) -> Estimate:
    """Count the rivals that the strategy beats: one-sided on points, Holm over them."""
    table = results.rows(strategy, *rivals).round(statistics.DECIMALS)
    adjusted = after_holm(table.loc[strategy] - table.loc[rivals])
    missed = ", ".join(f"{name} (p = {p:.4f})" for name, p in adjusted.items() if p >= LEVEL)
    return count(adjusted < LEVEL, table.shape[1], f"not {missed}" if missed else "")


# At fixed depth


def at_fixed_depth(results: Results, strategy: str, rival: str) -> Estimate:
    """Return strategy minus rival, mean over the depths at which there is a choice, then over datasets, points."""
    ours, theirs = (_at_depths(results, name) for name in (strategy, rival))
    gap = 100 * (ours - theirs)
    low, high = fixed_depth.interval_over_datasets(gap)
    note = f"95 % over datasets {low:+.1f} to {high:+.1f}" if low == low else ""
    return knowing_orders(paired(gap.mean(axis=1).dropna(), note=note), results, rival)


def probably_improved(results: Results, strategy: str, rivals: list[str]) -> Estimate:
    """Count the rivals on which the strategy improves, at fixed depth, with a probability surely above one half."""
    for name in (strategy, *rivals):
        _at_depths(results, name)
    table = fixed_depth.improvement_table(results.table("steps"), rivals, strategy)
    if table["chance_low"].isna().any():
        raise Untestable(f"needs {MIN_DATASETS} datasets, has {table['datasets'].min()}")
    note = ", ".join(f"{name} {row['chance']:.2f}" for name, row in table.iterrows())
    return count(table["chance_low"] > 0.5, int(table["datasets"].min()), note)


def critically_above(results: Results, strategy: str) -> Estimate:
    """Count the single signals whose mean rank is a critical difference below the strategy's (Nemenyi)."""
    table = testable(results.rows(*STRATEGIES))
    ranks = fixed_depth.mean_ranks(table)
    difference = fixed_depth.critical_difference(*table.shape)
    behind = ranks[list(SIGNALS)] - ranks[strategy]
    return count(behind > difference, table.shape[1], f"critical difference {difference:.2f}, largest {behind.max():.2f}")


# All subsets of layers


def nested_share(results: Results) -> Estimate:
    """Return the share of neighbouring sizes whose best subsets contain one another, of models all of whose sets were measured."""
    subsets, shares = results.table("subsets"), {}
    for (dataset, seed), rows in subsets.groupby(["dataset", "seed"]):
        if len(rows) < 2 ** rows["size"].max():
            continue  # the best of some sets say nothing of the best of all
        found = subset_numbers.nested(subset_numbers.best_sets(subset_numbers.of_rows(rows, "validation")))
        if len(found):
            shares[dataset, seed] = found.mean()
    if not shares:
        raise Untestable("no model of which all sets of layers were measured")
    by_dataset = pd.Series(shares).groupby(level=0).mean()
    return Estimate(by_dataset.mean(), statistics.sem(by_dataset), datasets=len(by_dataset))


def signals_with_shapley(results: Results) -> Estimate:
    """Count the signals whose rank correlation with exact Shapley values is above zero, Holm over the twelve."""
    rows = results.table("regret").query("method in @SIGNALS").drop_duplicates(["dataset", "seed", "method"])
    table = rows.pivot_table(index="method", columns="dataset", values="shapley_correlation").reindex(list(SIGNALS))
    adjusted = after_holm(table)
    means = table.mean(axis=1).sort_values(ascending=False)
    note = f"highest mean correlation {means.iloc[0]:+.2f}, {means.index[0]}"
    return count(adjusted < LEVEL, table.shape[1], note)


def target_reliability(results: Results) -> Estimate:
    """Return the rank correlation of the accuracy drops measured on test and on validation, mean over datasets."""
    values = {}
    for unit, rows in results.table("subsets").groupby(["dataset", "seed"]):
        values[unit] = subset_numbers.reliability(rows)["correlation"].get(1, float("nan"))
    by_dataset = pd.Series(values, dtype=float).dropna().groupby(level=0).mean()
    if by_dataset.empty:
        raise Untestable("no original model with drops to rank")
    return Estimate(by_dataset.mean(), statistics.sem(by_dataset), datasets=len(by_dataset))


# Transfer, training


def transfer_regret(results: Results, method: str, rival: str, table: str = "transfer") -> Estimate:
    """Return the regret of a transferred choice minus its rival's at the original models, mean over datasets, points.

    `table`: transfer, to other datasets of the encoder; or transfer_encoder, to another encoder.
    """
    from paperlib.evidence import transfer  # scikit-learn takes a second to import

    rows = results.table(table)
    return replace(paired(transfer.paired_gap(rows, method, rival)), seeds=span(seeds_each(rows)))


def gain_after_training(results: Results, epochs: int, rival: str) -> Estimate:
    """Return the best pruned forest model's gain over the original (trained `once` or `equal`ly) at so many epochs.

    At the study's own learning rate.
    """
    rows = results.table("epochs").query("epochs == @epochs and usual_rate")
    if rows.empty:
        raise Untestable(f"not run with epochs={epochs}")
    return replace(paired(rows.groupby("dataset")[f"gain_{rival}"].mean()), seeds=span(seeds_each(rows)))


def _at_depths(results: Results, strategy: str) -> pd.DataFrame:
    values = fixed_depth.mean_over_depths(results.table("steps"), strategy)
    if values.empty:
        raise Untestable(f"not measured: {strategy}")
    return values
