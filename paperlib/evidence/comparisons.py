"""Compare with chance: fusers on shuffled targets, models on the same texts, one order with random ones."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from paperlib import fusers, names
from paperlib.common.errors import UserError
from paperlib.evidence import claims, one_study, statistics, tables, training_axis, unit_numbers, units
from paperlib.evidence.estimates import LEVEL, TABLES, Results
from paperlib.fusers import Fit
from paperlib.names import SIGNALS
from paperlib.nodes.node import Node, label
from paperlib.params import Params

BEST_SINGLE, MEAN_SINGLE = "best single signal, in hindsight", "mean of the 12 single signals"
MEAN_RANDOM = "mean of the random orders of Figure 8"
RIVALS = ("Baseline", BEST_SINGLE, MEAN_SINGLE, "Random", MEAN_RANDOM, "Greedy-Ablation", "Equal-Training", *names.RIVALS)
SAME = 1e-12  # accuracies closer than this are equal


# Fusers (section 2.2.6)


def guesses(fitted: Fit) -> pd.DataFrame:
    """Return columns target, fitted, left_out: what a fit says of a row that it has seen, and has not."""
    seen = fitted.regressor.predict(fitted.features)
    return pd.DataFrame({"target": fitted.target, "fitted": seen, "left_out": fitted.left_out_predictions})


def shuffled_fits(
    name: str, signals: pd.DataFrame, drops: pd.Series, trees: int, seed: int, repeats: int = 10
) -> pd.DataFrame:
    """Fit a fuser to accuracy drops dealt out to the layers at random: one row per shuffle.

    Columns r2, spearman_loo and least_chosen (it would remove a layer of least drop): what a fuser reaches
    when the signals mean nothing.
    """
    rng, rows = np.random.default_rng(seed), []
    for _ in range(repeats):
        target = pd.Series(rng.permutation(drops.to_numpy()), index=drops.index)
        fitted = fusers.fit(name, [(signals, target)], trees, seed)
        chosen = fusers.predict(fitted, signals).idxmin()
        fit = {"r2": fitted.r2, "spearman_loo": fitted.spearman_leaving_one_out()}
        rows.append(fit | {"least_chosen": bool(np.isclose(target[chosen], target.min()))})
    return pd.DataFrame(rows)


def same_choices(fits: pd.DataFrame, layers: int) -> pd.DataFrame:
    """Return, per fuser, how often it chose as plain ablation would at the same model.

    `fits`: rows of fusion_fit.csv; `layers`: those of the original model. Columns: step_1 (bool),
    all_steps (share), steps (with at least two layers left), by_chance (what a blind draw would reach).
    """
    rows = fits.assign(by_chance=1 / (layers + 1 - fits["step"])).groupby("strategy", sort=False)
    choices = rows["same_as_greedy"].agg(all_steps="mean", steps="size")
    choices["by_chance"] = rows["by_chance"].mean()
    first = fits[fits["step"] == 1].set_index("strategy")["same_as_greedy"]
    choices.insert(0, "step_1", first)
    return choices


# Two models on the same test examples


def paired(correct: dict[str, np.ndarray], first: str) -> pd.DataFrame:
    """Compare one model with each of the others; `correct`: model -> right or not (examples,), all the same.

    One row per rival: examples that only the first, and only the rival, gets right; the difference in
    points of accuracy with its standard error; p of McNemar's exact two-sided test of those examples.
    """
    tested = {rival: unit_numbers.paired_difference(correct[first], right) for rival, right in correct.items()}
    pairs = pd.DataFrame(tested).T.drop(index=first)
    columns = {
        "only first right": pairs["lost"].astype(int), "only rival right": pairs["gained"].astype(int),
        "difference (points)": 100 * pairs["difference"], "standard error": 100 * pairs["standard_error"], "p": pairs["p"],
    }  # fmt: skip
    return pd.DataFrame(columns).rename_axis(columns=f"{first}, against")


# One informed order against random ones (section 3.4)


def rank_p(value: float, others: Iterable[float]) -> float:
    """Return the one-sided p-value of `value` being one more of `others`: (1 + as high ones) / (1 + all)."""
    others = np.asarray(list(others))
    return float((1 + (others >= value - SAME).sum()) / (1 + len(others)))


def power(gap: float, spread: float, n: int, draws: int = 500, seed: int = 0) -> float:
    """Return the chance that the signed-rank test of section 3.4 finds an advantage of `gap`.

    Simulated: `n` random maxima, normal with standard deviation `spread`, lie `gap` below an exact value.
    """
    noise = np.random.default_rng(seed).normal(0, spread, (draws, n))
    return statistics.share_found(gap + noise, LEVEL)


def least_detectable(spread: float, n: int, wanted: float = 0.8, seed: int = 0) -> float:
    """Return the advantage that the same test finds with chance `wanted`; nan when n is too small for any."""
    low, high = 0.0, 4 * spread
    if power(high + 1, spread, n, seed=seed) < wanted:
        return float("nan")
    while high - low > 0.01 * spread:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, spread, n, seed=seed) >= wanted else (middle, high)
    return high


def order_and_set(nodes: list[Node]) -> pd.DataFrame:
    """Split the spread of accuracy at each depth into that between sets of layers and that within one set.

    Index: layers removed. Columns: models, sets, sd (standard deviation over models), sd_same_set (pooled
    over sets reached in several orders; their models differ in order, and so in the seeds of their training).
    """
    real = [node for node in nodes if node.removed and all(isinstance(layer, int) for layer in node.removed)]  # one by one
    rows = [(len(node.removed), label(tuple(sorted(node.removed))), node.accuracy) for node in real]
    models = pd.DataFrame(rows, columns=["removed", "set", "accuracy"])
    from_set_mean = models["accuracy"] - models.groupby(["removed", "set"])["accuracy"].transform("mean")
    levels = models.assign(squared=from_set_mean**2).groupby("removed")
    table = levels.agg(models=("set", "size"), sets=("set", "nunique"), sd=("accuracy", "std"))
    freedom = (table["models"] - table["sets"]).replace(0, np.nan)
    return table.assign(sd_same_set=np.sqrt(levels["squared"].sum() / freedom))


# All datasets and seeds


def results_of(params: Params) -> Results:
    """Collect the tables of all finished units of the profile with these settings.

    Raises UserError when there are none.
    """
    shown = one_study.comparable(params)
    if not shown:
        where = f"profile {params.profile}"
        raise UserError(f"{where}: no finished unit has these settings: run make reproduce first")
    found = {name: tables.collect(params.profile_dir, name, shown) for name in TABLES}
    found |= {name: tables.of_profile(params.profile_dir, name) for name in ("transfer", "transfer_encoder", "steps_encoder")}
    written = tables.collect(params.profile_dir, "epochs", one_study.comparable(params, units.EPOCHS))
    found["epochs"] = training_axis.of_units(found["steps"], written, params)
    return Results.from_tables(**found)


def rivals(results: Results, strategy: str) -> pd.DataFrame:
    """Return strategy minus each rival in points of maximum accuracy, with its uncertainty; one row each.

    Columns: mean; three standard errors of it, sem (over datasets), seed_error (over seeds: of what a seed does to all
    datasets alike, as where they share a random order) and sampling_error (the test examples of both taken as independent,
    which overstates it); error, the largest of them; ahead and datasets (counts), p (one-sided signed-rank test over
    datasets), same_models (share of units in which one model has both maxima), verdict (the words of the claims: the
    strategy is more accurate than the rival, by the rule `beyond_noise` with `error`; not to be tested against a single
    random order). What cannot be told from so few datasets or seeds is nan.
    """
    maxima = _with_rivals(results)
    by_seed = [_with_rivals(results.of_seed(seed)) for seed in results.whole_seeds]
    models, rows = _best_models(results.steps), {}
    for rival in (name for name in RIVALS if name in maxima.index):
        gap = 100 * (maxima.loc[strategy] - maxima.loc[rival]).dropna()
        seeds = pd.Series([100 * (table.loc[strategy] - table.loc[rival]).mean() for table in by_seed], dtype=float)
        sampling = 100 * _sampling_error(results.steps, maxima.loc[[strategy, rival], gap.index])
        sem, p = statistics.sem(gap), statistics.wilcoxon_p(gap, "greater")
        same = (models[strategy] == models[rival]).mean() if rival in models else float("nan")
        of_seeds = statistics.sem(seeds)
        error = np.nanmax([sem, of_seeds, sampling])
        one_order = rival == "Random" and statistics.shared_orders(results.steps) == 1
        verdict = "the same models" if same == 1 else claims.UNTESTABLE if one_order else claims.beyond(gap.mean(), error)
        rows[rival] = {
            "mean": gap.mean(), "error": error, "sem": sem, "seed_error": of_seeds, "sampling_error": sampling,
            "ahead": int((gap > SAME).sum()), "datasets": len(gap), "p": p, "same_models": same,
            "verdict": verdict,
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="rival")


def selection_table(steps: pd.DataFrame) -> pd.DataFrame:
    """Return, per strategy, accuracy at the depth chosen on test and on validation, and the gap.

    Columns maximum, selected (fractions, means over datasets), gap and gap_sem (points).
    """
    maximum, selected = statistics.maximum_accuracy(steps), statistics.selected_accuracy(steps)
    gap = 100 * (maximum - selected)
    means = pd.DataFrame({"maximum": maximum.mean(axis=1), "selected": selected.mean(axis=1)})
    return means.assign(gap=gap.mean(axis=1), gap_sem=gap.sem(axis=1))


def _with_rivals(results: Results) -> pd.DataFrame:
    """Return the maxima with rows for the baseline and, where any was walked, for single signals, and random orders, taken together."""
    singles = results.maxima.loc[results.maxima.index.intersection(SIGNALS)]
    together = {BEST_SINGLE: singles.max(), MEAN_SINGLE: singles.mean()} if len(singles) else {}
    if len(orders := results.randomization):
        together[MEAN_RANDOM] = orders[orders["test"] == "Random-All"].groupby("dataset")["max_accuracy"].mean()
    extra = together | {"Baseline": results.baseline}
    return pd.concat([results.maxima, pd.DataFrame(extra).T])


def _best_models(steps: pd.DataFrame) -> pd.DataFrame:
    """Return (units, strategies): what each walk's most accurate model lacks, of equals the smallest."""
    pruned = steps[steps["step"] >= 1].sort_values(["accuracy", "step"], kind="stable")
    best = pruned.drop_duplicates(statistics.WALK, keep="last")
    return best.set_index(statistics.WALK)["removed"].unstack()


def _sampling_error(steps: pd.DataFrame, pair: pd.DataFrame) -> float:
    """Return the standard error of the mean over datasets of the difference of two rows of accuracies."""
    variance = (pair * (1 - pair)).sum() / statistics.examples(steps).reindex(pair.columns)
    return float(np.sqrt(variance.sum()) / pair.shape[1])
