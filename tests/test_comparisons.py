"""Comparisons with chance: every number computed a second way, by counting, by scipy or by algebra."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from paperlib import fusers
from paperlib.common.errors import UserError
from paperlib.evidence import claims, comparisons, quantities, statistics
from paperlib.evidence.estimates import Results
from paperlib.names import SIGNALS, WALKS
from paperlib.nodes.node import parse_label

LAYERS = pd.RangeIndex(6, name="layer")


@pytest.fixture
def signals():
    return pd.DataFrame(np.random.default_rng(3).normal(size=(6, 12)), index=LAYERS, columns=list(SIGNALS))


@pytest.fixture
def drops():
    return pd.Series([0.05, -0.01, 0.03, 0.0, 0.02, 0.1], index=LAYERS)


# Fusers


def test_left_out_predictions_have_not_seen_their_row(signals, drops):
    table = comparisons.guesses(fusers.fit("Linear-Regression", [(signals, drops)], 10, 0))
    assert np.allclose(table["fitted"], drops) and np.allclose(table["target"], drops)
    x = np.c_[fusers.standardise(signals).to_numpy(), np.ones(6)]
    for row in range(6):
        kept = np.delete(np.arange(6), row)
        mean = x[kept, :12].mean(axis=0)  # least squares of least norm, the intercept left free
        weights = np.linalg.pinv(x[kept, :12] - mean) @ (drops.iloc[kept] - drops.iloc[kept].mean())
        expected = drops.iloc[kept].mean() + (x[row, :12] - mean) @ weights
        assert table["left_out"].iloc[row] == pytest.approx(expected)


def test_left_out_prediction_ignores_the_left_out_target(signals, drops):
    other = drops.copy()
    other[2] += 5
    tables = [comparisons.guesses(fusers.fit("Linear-Regression", [(signals, each)], 10, 0))
              for each in (drops, other)]  # fmt: skip
    assert tables[0].loc[2, "left_out"] == pytest.approx(tables[1].loc[2, "left_out"])
    assert tables[0].loc[3, "left_out"] != pytest.approx(tables[1].loc[3, "left_out"])


def test_shuffled_least_squares_interpolates_and_chooses_the_least(signals, drops):
    table = comparisons.shuffled_fits("Linear-Regression", signals, drops, 10, seed=0, repeats=4)
    assert len(table) == 4 and np.allclose(table["r2"].astype(float), 1) and table["least_chosen"].all()


def test_shuffled_fits_differ_from_each_other_and_repeat(signals, drops):
    made = [comparisons.shuffled_fits("Random-Forest", signals, drops, 15, seed=1, repeats=5) for _ in "ab"]
    first, second = made
    assert first.equals(second) and first["r2"].nunique() > 1


def test_same_choices_counts_choices_and_chance():
    fits = pd.DataFrame({"strategy": ["A"] * 3 + ["B"] * 3, "step": [1, 2, 3] * 2,
                         "same_as_greedy": [True, False, True, False, False, True]})  # fmt: skip
    table = comparisons.same_choices(fits, layers=4)
    assert list(table["step_1"]) == [True, False]
    assert list(table["all_steps"]) == pytest.approx([2 / 3, 1 / 3])
    assert list(table["by_chance"]) == pytest.approx([(1 / 4 + 1 / 3 + 1 / 2) / 3] * 2)


# Two models on the same examples


def test_paired_counts_discordant_examples_and_matches_the_binomial():
    ours = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 1], dtype=bool)
    theirs = np.array([0, 0, 0, 0, 0, 0, 1, 0, 1, 1], dtype=bool)
    row = comparisons.paired({"x": ours, "y": theirs}, "x").loc["y"]
    assert (row["only first right"], row["only rival right"]) == (6, 1)
    assert row["difference (points)"] == pytest.approx(50)
    assert row["p"] == pytest.approx(2 * (1 + 7) / 2**7)  # 6 or 7 heads in 7 throws, two-sided
    paired = ours.astype(int) - theirs
    assert row["standard error"] == pytest.approx(100 * paired.std() / np.sqrt(10))


def test_paired_of_equal_models_is_no_difference():
    same = np.array([1, 0, 1, 1], dtype=bool)
    row = comparisons.paired({"x": same, "y": same}, "x").loc["y"]
    assert row["p"] == 1 and row["difference (points)"] == 0 and row["standard error"] == 0


# One informed order against random ones


@pytest.mark.parametrize("value, expected", [(0.9, 1 / 5), (0.5, 3 / 5), (0.1, 1.0)])
def test_rank_p_counts_as_high_ones(value, expected):
    assert comparisons.rank_p(value, [0.2, 0.5, 0.6, 0.3]) == pytest.approx(expected)


def test_power_agrees_with_scipy_on_the_same_draws():
    noise = np.random.default_rng(7).normal(0, 2.0, (60, 8))
    expected = np.mean([stats.wilcoxon(1.5 + row, alternative="greater").pvalue < 0.05 for row in noise])
    assert comparisons.power(1.5, 2.0, 8, draws=60, seed=7) == pytest.approx(expected)
    assert 0 < expected < 1


def test_least_detectable_is_where_power_reaches_four_fifths_and_scales():
    least = comparisons.least_detectable(1.0, 10)
    assert comparisons.power(least, 1.0, 10) >= 0.8 > comparisons.power(least - 0.05, 1.0, 10)
    assert comparisons.least_detectable(3.0, 10) == pytest.approx(3 * least, rel=0.02)
    assert comparisons.least_detectable(1.0, 20) < least
    assert np.isnan(comparisons.least_detectable(1.0, 4))


def test_false_alarms_agree_with_an_independent_count():
    """One more random order is called better when it exceeds most Walsh averages of the others."""
    rng, n, hits = np.random.default_rng(99), 6, 0
    for _ in range(1500):
        row = rng.standard_normal(n + 1)
        gaps = row[0] - row[1:]
        positive = sum((gaps[i] + gaps[j] > 0) for i in range(n) for j in range(i, n))
        hits += positive >= 19  # P(W >= 19) = 3/64 < 0.05 <= P(W >= 18) = 5/64
    assert statistics.false_alarms(n, draws=1500) == pytest.approx(hits / 1500, abs=0.035)
    assert statistics.false_alarms(10, draws=300) > 0.15


def made_node(label, accuracy):
    return SimpleNamespace(removed=parse_label(label), accuracy=accuracy)


def test_order_and_set_separates_spread_within_sets():
    nodes = [made_node(*row) for row in [
        ("", 0.9), ("none", 0.8), ("0", 0.5), ("1", 0.7),
        ("0-1", 0.4), ("1-0", 0.6), ("0-2", 0.1), ("2-0", 0.3),
    ]]  # fmt: skip
    table = comparisons.order_and_set(nodes)
    assert list(table.index) == [1, 2] and list(table["models"]) == [2, 4] and list(table["sets"]) == [2, 2]
    assert np.isnan(table.loc[1, "sd_same_set"])
    assert table.loc[2, "sd_same_set"] == pytest.approx(np.sqrt((2 * 0.1**2 + 2 * 0.1**2) / 2))
    assert table.loc[2, "sd"] == pytest.approx(np.std([0.4, 0.6, 0.1, 0.3], ddof=1))


# All datasets and seeds


def made_results(datasets=("newsgroup", "imdb"), seeds=(0, 1), best=0.75):
    rng, rows = np.random.default_rng(2), []
    for dataset, seed, strategy in itertools.product(datasets, seeds, WALKS):
        peak = best if strategy == "Random-Forest" else rng.integers(90, 150) / 256
        for step, accuracy in enumerate([0.5, peak, peak - 0.1]):
            rows.append({
                "dataset": dataset, "seed": seed, "strategy": strategy, "step": step, "accuracy": accuracy,
                "validation_accuracy": [0.1, 0.2, 0.3][step], "test_size": 256, "size_gb": 1.0, "layers": 2,
                "removed_layer": step - 1 if step else np.nan,
                "removed": "-".join([strategy] * step) if strategy != "Greedy-Ablation" else "Random-Forest",
            })  # fmt: skip
    return Results.from_tables(steps=pd.DataFrame(rows))


def test_rivals_by_hand():
    results = made_results()
    table = comparisons.rivals(results, "Random-Forest")
    steps = results.steps.query("step >= 1").groupby(["strategy", "dataset", "seed"])["accuracy"].max()
    greedy = 75 - 100 * steps["Greedy-Ablation"].groupby("dataset").mean()
    row = table.loc["Greedy-Ablation"]
    assert row["mean"] == pytest.approx(greedy.mean()) and row["datasets"] == 2
    assert row["sem"] == pytest.approx(greedy.std() / np.sqrt(2))
    by_seed = 75 - 100 * steps["Greedy-Ablation"].groupby("seed").mean()
    assert row["seed_error"] == pytest.approx(by_seed.std() / np.sqrt(2))
    means = steps["Greedy-Ablation"].groupby("dataset").mean()
    variance = sum(0.75 * 0.25 / 512 + mean * (1 - mean) / 512 for mean in means)
    assert row["sampling_error"] == pytest.approx(100 * np.sqrt(variance) / 2)
    assert row["error"] == max(row["sem"], row["seed_error"], row["sampling_error"])
    singles = steps.loc[list(SIGNALS)].groupby(["strategy", "dataset"]).mean().groupby("dataset").max()
    assert table.loc[comparisons.BEST_SINGLE, "mean"] == pytest.approx((75 - 100 * singles).mean())
    assert table.loc["Baseline", "mean"] == pytest.approx(25) and table.loc["Baseline", "ahead"] == 2


def test_rivals_verdict_needs_twice_the_largest_error():
    ahead, level = made_results(best=0.9), made_results(best=0.505)
    assert comparisons.rivals(ahead, "Random-Forest").loc["Baseline", "verdict"] == claims.HOLDS
    assert comparisons.rivals(level, "Random-Forest").loc["Baseline", "verdict"] == claims.NOISE
    assert comparisons.rivals(made_results(best=0.2), "Random-Forest").loc["Baseline", "verdict"] == claims.FAILS


def with_orders(orders, accuracies=0.5):
    """Return results in which Random has these orders, by dataset and seed, and these accuracies, by seed."""
    made = made_results(sorted({dataset for dataset, _ in orders}), sorted({seed for _, seed in orders}), best=0.75)
    steps, random = made.steps, made.steps["strategy"] == "Random"
    for (dataset, seed), order in orders.items():
        rows = random & (steps["dataset"] == dataset) & (steps["seed"] == seed)
        steps.loc[rows, "removed"] = ["", order[0], order]
        steps.loc[rows & (steps["step"] > 0), "accuracy"] = accuracies if np.isscalar(accuracies) else accuracies[seed]
    return Results.from_tables(steps=steps)


@pytest.mark.parametrize(("orders", "found"), [
    ({("imdb", 0): "0-1", ("arxiv", 0): "0-1"}, 1),
    ({("imdb", 0): "0-1", ("arxiv", 0): "1-0"}, 0),
    ({("imdb", 0): "0-1", ("arxiv", 0): "0-1", ("imdb", 1): "1-0", ("arxiv", 1): "1-0"}, 2),
    ({("imdb", 0): "0-1", ("imdb", 1): "1-0"}, 0),
], ids=["one for all", "one each", "one a seed", "of one dataset"])  # fmt: skip
def test_datasets_that_share_their_random_orders_are_found(orders, found):
    results = with_orders(orders)
    assert statistics.shared_orders(results.steps) == found
    claim = quantities.against(results, "Random-Forest", "Random")
    assert claim.note == {0: "", 1: "1 random order for all datasets", 2: "2 random orders, one a seed, for all datasets"}[found]
    assert np.isnan(claim.p_greater) == (found == 1 or len({dataset for dataset, _ in orders}) < statistics.MIN_DATASETS)
    told = comparisons.rivals(results, "Random-Forest")["verdict"]
    assert (told["Random"] == claims.UNTESTABLE) == (found == 1) and claims.UNTESTABLE not in set(told.drop("Random"))


def test_two_shared_orders_that_differ_are_no_lead_over_chance():
    """One order loses 2 points, the other 30, on every dataset alike: the datasets do not differ, the orders do."""
    shared = {(dataset, seed): ["0-1", "1-0"][seed] for dataset in ("imdb", "arxiv", "yelp", "agnews", "patent") for seed in (0, 1)}
    row = comparisons.rivals(with_orders(shared, [0.73, 0.45]), "Random-Forest").loc["Random"]
    assert row["mean"] == pytest.approx(16) and row["sem"] == pytest.approx(0, abs=1e-9)
    assert row["error"] == row["seed_error"] == pytest.approx(14) and row["verdict"] == claims.NOISE


def test_random_orders_are_a_rival_together():
    made = made_results()
    drawn = [{"dataset": dataset, "seed": seed, "test": test, "max_accuracy": value}
             for dataset, seed in itertools.product(("newsgroup", "imdb"), (0, 1))
             for test, value in (("Random-All", 0.5), ("Random-All", 0.6), ("Random-Inner", 0.9))]  # fmt: skip
    row = comparisons.rivals(Results.from_tables(steps=made.steps, randomization=pd.DataFrame(drawn)), "Random-Forest").loc[comparisons.MEAN_RANDOM]
    assert row["mean"] == pytest.approx(20) and row["sem"] == row["seed_error"] == pytest.approx(0, abs=1e-9) and row["verdict"] == claims.HOLDS


def test_rivals_says_when_both_maxima_are_of_the_same_model():
    table = comparisons.rivals(made_results(), "Random-Forest")
    assert table.loc["Greedy-Ablation", "same_models"] == 1 and table.loc["Random", "same_models"] == 0
    assert np.isnan(table.loc["Baseline", "same_models"])
    assert table.loc["Greedy-Ablation", "verdict"] == "the same models" != table.loc["Random", "verdict"]


def test_rivals_of_one_dataset_and_seed_leave_out_what_cannot_be_told():
    row = comparisons.rivals(made_results(("imdb",), (0,)), "Random-Forest").loc["Random"]
    assert row[["sem", "seed_error", "p"]].isna().all() and row["error"] == row["sampling_error"] > 0


def test_rivals_spread_over_seeds_needs_seeds_with_all_datasets():
    both, one = made_results(), made_results(("imdb",), (2,))
    mixed = Results.from_tables(steps=pd.concat([both.steps, one.steps]))
    expected = comparisons.rivals(both, "Random-Forest")["seed_error"]
    pd.testing.assert_series_equal(comparisons.rivals(mixed, "Random-Forest")["seed_error"], expected)
    apart = Results.from_tables(steps=pd.concat([made_results(("imdb",), (0,)).steps, made_results(("arxiv",), (1,)).steps]))
    assert apart.whole_seeds == [] and comparisons.rivals(apart, "Random-Forest")["seed_error"].isna().all()


def test_selection_table_takes_the_depth_with_the_highest_validation_accuracy():
    table = comparisons.selection_table(made_results().steps)
    assert np.allclose(table["gap"], 10) and np.allclose(table["maximum"] - table["selected"], 0.1)
    assert table.loc["Random-Forest", "selected"] == pytest.approx(0.65)


def test_results_of_a_profile_without_finished_units_says_what_to_do(tmp_path):
    from paperlib import params as P

    with pytest.raises(UserError, match="make reproduce"):
        comparisons.results_of(P.load("smoke", settings={"output_dir": str(tmp_path)}))


def test_sampling_error_shrinks_with_seeds():
    one, four = (comparisons.rivals(made_results(seeds=range(k)), "Random-Forest") for k in (1, 4))
    ratio = one.loc["Baseline", "sampling_error"] / four.loc["Baseline", "sampling_error"]
    assert ratio == pytest.approx(2, rel=0.02)
    assert statistics.sampling_error(0.5, 256) < 0.032
