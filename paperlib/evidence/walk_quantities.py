"""Quantities that claims are about, from whole walks down the tree: ours only, the paper printed none."""

import pandas as pd

from paperlib import published
from paperlib.evidence import statistics
from paperlib.evidence.estimates import LEVEL, Estimate, Results, Untestable, count, paired, testable
from paperlib.evidence.quantities import knowing_orders
from paperlib.evidence.sentences import p_text
from paperlib.names import FUSERS

FOREST = FUSERS[1]


# Size: Section 3.1 and Figure 4


def layer_parameters(results: Results) -> Estimate:
    """Return the parameters that leave with one layer of a 12-layer model: the study's own, or another that was walked beside it."""
    whole = pd.concat([results.table("steps").assign(encoder=""), results.steps_encoder])
    steps = whole.query("layers == @published.LAYERS and strategy != 'Equal-Training'")
    if steps.empty:
        found = ", ".join(map(str, sorted(whole["layers"].unique())))
        raise Untestable(f"the model has {found} layers, not {published.LAYERS}")
    removed = -steps.groupby([*statistics.WALK, "encoder"])["parameters"].diff().dropna()
    return Estimate(removed.mean(), removed.std(ddof=0), datasets=steps["dataset"].nunique())


def ratio_above_random(results: Results, strategies: list[str]) -> Estimate:
    """Count which of these improve accuracy / size significantly more than Random (one-sided, Figure 4)."""
    table = statistics.accuracy_to_size(results.table("steps"))
    missing = [name for name in [*strategies, "Random"] if name not in table.index]
    if missing:
        raise Untestable(f"not measured: {', '.join(missing)}")
    gain = testable((table.loc[strategies] - table.loc["Random"]).dropna(axis=1))
    p_values = gain.apply(statistics.wilcoxon_p, axis=1, alternative="greater")
    return knowing_orders(count(p_values < LEVEL, gain.shape[1]), results)


def ratio(results: Results, reading: str) -> Estimate:
    """Return accuracy / size after distillation relative to the original: as a `factor`, or `percent` gained.

    Table 1 has no sizes, but bounds the factor: all layers removed and every test example right.
    """
    if results.printed and reading == "factor":
        bound = published.size_factor(published.LAYERS) / results.baseline
        note = f"at most: every layer gone, size / {published.size_factor(published.LAYERS):.2f}, accuracy 1"
        return Estimate(bound.mean(), 0.0, datasets=len(bound), note=note)
    models = _distilled(results, "accuracy", "teacher") / _distilled(results, "size_gb", "teacher")
    factor = models["distilled"] / models["teacher"]
    return paired(factor if reading == "factor" else 100 * (factor - 1))


# Distillation: Section 3.2 and Figure 5


def distilled_above(results: Results, rivals: list[str]) -> Estimate:
    """Count the datasets on which the distilled model is more accurate than at least one of the rivals."""
    accuracy = _distilled(results, "accuracy", *rivals).round(statistics.DECIMALS)
    return count(accuracy["distilled"] > accuracy[rivals].min(axis=1), len(accuracy))


def distilled_against(results: Results, rival: str) -> Estimate:
    """Return distilled minus rival model, mean over datasets, points."""
    accuracy = 100 * _distilled(results, "accuracy", rival)
    return paired(accuracy["distilled"] - accuracy[rival])


# What the fusers learn: Section 3.3, Figures 6 and 7


def weights_above(results: Results, fuser: str, signals: list[str]) -> Estimate:
    """Count which signals' weights are above 0 (LR) or importances above the median (RF), one-sided."""
    weights = statistics.scaled_weights(results.table("fusion")).query("strategy == @fuser")
    table = testable(weights.groupby(["signal", "dataset"])["weight"].mean().unstack())
    if fuser == FOREST:
        table = table - table.median()
    p_values = table.reindex(signals).apply(statistics.wilcoxon_p, axis=1, alternative="greater")
    return count(p_values < LEVEL, table.shape[1])


def edges_kept(results: Results, strategy: str) -> Estimate:
    """Return by how many steps the first and last layer go later than the others, mean over datasets.

    Layers that a walk left in place count as removed one step after its last.
    """
    steps = results.table("steps").query("strategy == @strategy and step >= 1")
    later = {}
    for (dataset, seed), walk in steps.groupby(["dataset", "seed"]):
        order = pd.Series(walk["step"].to_numpy(), index=pd.to_numeric(walk["removed_layer"]))
        order = order.reindex(range(int(walk["layers"].iloc[0])), fill_value=order.max() + 1)
        later[dataset, seed] = order.iloc[[0, -1]].mean() - order.iloc[1:-1].mean()
    if not later:
        raise Untestable(f"not measured: {strategy}")
    return paired(pd.Series(later).groupby(level=0).mean())


def first_step_greedy(results: Results, fuser: str) -> Estimate:
    """Return the share of walks whose first fitted choice is a layer of smallest measured drop."""
    fits = results.table("fusion_fit").query("strategy == @fuser")
    first = fits[fits["removed"].fillna("").eq("")].drop_duplicates(statistics.WALK)
    if first.empty:
        raise Untestable(f"not measured: {fuser}")
    share, datasets = first["same_as_greedy"].mean(), first["dataset"].nunique()
    return Estimate(share, datasets=datasets, note=f"{len(first)} walk{'s' if len(first) > 1 else ''}")


# Order and selection: Section 3.4 and Figure 8


def above_random_orders(results: Results, test: str) -> Estimate:
    """Return Random-Forest's maximum minus the mean maximum of random orders, mean over datasets, points."""
    tests = _random_orders(results, test)
    return paired(100 * (tests["informed"] - tests["random"]))


def random_orders_beaten(results: Results, test: str) -> Estimate:
    """Count the datasets on which Random-Forest beats the random orders, by the paper's one-sided test."""
    tests = _random_orders(results, test).dropna(subset="p")
    note = ", ".join(f"{name} {p_text(p)}" for name, p in tests["p"].items())
    return count(tests["p"] < LEVEL, len(tests), note)


def selection_inflation(results: Results, strategy: str) -> Estimate:
    """Return the maximum over depths minus the accuracy at the depth chosen on validation, points."""
    steps = results.table("steps").query("strategy == @strategy")
    gap = statistics.maximum_accuracy(steps) - statistics.selected_accuracy(steps)
    return paired(100 * gap.loc[strategy])


def _random_orders(results: Results, test: str) -> pd.DataFrame:
    tests = statistics.randomization_tests(results.table("steps"), results.table("randomization"))
    return tests.dropna(subset="informed").query("test == @test").droplevel("test")


def _distilled(results: Results, column: str, *rivals: str) -> pd.DataFrame:
    """Return (datasets, distilled and rivals), mean over seeds, where all were measured."""
    table = results.table("distillation").pivot_table(index="dataset", columns="model", values=column)
    return table.reindex(columns=["distilled", *rivals]).dropna()
