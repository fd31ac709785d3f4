"""The statistics against hand-computed values, brute force, and what is known of the paper's Table 1."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from paperlib import published
from paperlib.evidence import statistics
from paperlib.names import STRATEGIES
from paperlib.params import DATASETS


def steps_table(rows):
    """Rows: dataset, seed, strategy, step, accuracy, validation_accuracy, size_gb."""
    columns = ["dataset", "seed", "strategy", "step", "accuracy", "validation_accuracy", "size_gb"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def steps():
    """Two strategies and a control on yahoo (two seeds) and newsgroup (one seed), three layers."""
    walks = {
        ("yahoo", 0, "Random-Forest"): [(0.40, 0.5), (0.50, 0.3), (0.60, 0.4), (0.10, 0.4)],
        ("yahoo", 1, "Random-Forest"): [(0.60, 0.5), (0.20, 0.6), (0.40, 0.2), (0.40, 0.2)],
        ("yahoo", 0, "Equal-Training"): [(0.40, 0.5), (0.45, 0.5), (0.55, 0.5), (0.65, 0.6)],
        ("yahoo", 1, "Equal-Training"): [(0.60, 0.5), (0.45, 0.5), (0.45, 0.5), (0.45, 0.4)],
        ("newsgroup", 0, "Random-Forest"): [(0.90, 0.5), (0.80, 0.3), (0.70, 0.4), (0.10, 0.1)],
        ("newsgroup", 0, "Random"): [(0.90, 0.5), (0.30, 0.3), (0.30, 0.4), (0.30, 0.1)],
    }
    rows = [
        (*walk, step, accuracy, validation, 1.0 if walk[2] == "Equal-Training" else (4 - step) / 4)
        for walk, values in walks.items()
        for step, (accuracy, validation) in enumerate(values)
    ]
    return steps_table(rows)


def test_maxima_leave_out_the_original_and_average_over_seeds(steps):
    maxima = statistics.maximum_accuracy(steps)
    assert maxima.loc["Random-Forest", "newsgroup"] == pytest.approx(0.80)  # not the 0.90 of step 0
    assert maxima.loc["Random-Forest", "yahoo"] == pytest.approx((0.60 + 0.40) / 2)
    assert maxima.loc["Equal-Training", "yahoo"] == pytest.approx((0.65 + 0.45) / 2)
    assert np.isnan(maxima.loc["Random", "yahoo"])


def test_order_is_that_of_the_paper_whatever_the_order_of_rows(steps):
    maxima = statistics.maximum_accuracy(steps.sample(frac=1, random_state=0))
    assert list(maxima.index) == ["Random", "Random-Forest", "Equal-Training"]
    assert list(maxima.columns) == ["newsgroup", "yahoo"]
    pd.testing.assert_frame_equal(maxima, statistics.maximum_accuracy(steps))
    own = pd.concat([steps, steps.assign(dataset="reviews")])
    assert list(statistics.maximum_accuracy(own).columns) == ["newsgroup", "yahoo", "reviews"]


def test_selected_accuracy_goes_by_validation_and_ties_to_the_smallest_model(steps):
    selected = statistics.selected_accuracy(steps)
    # seed 0: steps 2 and 3 tie at validation 0.4, so step 3 (0.10); seed 1: step 1 (0.20)
    assert selected.loc["Random-Forest", "yahoo"] == pytest.approx((0.10 + 0.20) / 2)
    assert selected.loc["Random-Forest", "newsgroup"] == pytest.approx(0.70)


def test_baseline_is_step_zero_once_per_seed(steps):
    baseline = statistics.baseline_accuracy(steps)
    assert baseline["yahoo"] == pytest.approx(0.5) and baseline["newsgroup"] == pytest.approx(0.9)
    assert list(baseline.index) == ["newsgroup", "yahoo"]


def test_accuracy_to_size_by_hand(steps):
    improvement = statistics.accuracy_to_size(steps)
    # newsgroup, step 1: 0.80 / 0.75 against 0.90 / 1
    assert improvement.loc["Random-Forest", "newsgroup"] == pytest.approx(100 * (0.80 / 0.75 / 0.90 - 1))
    # Random: three steps tie at 0.30, the smallest model (0.25) counts
    assert improvement.loc["Random", "newsgroup"] == pytest.approx(100 * (0.30 / 0.25 / 0.90 - 1))
    seeds = [0.60 / 0.50 / 0.40, 0.40 / 0.25 / 0.60]
    assert improvement.loc["Random-Forest", "yahoo"] == pytest.approx(100 * (np.mean(seeds) - 1))
    equal = (0.65 / 0.40 + 0.45 / 0.60) / 2  # size never changes
    assert improvement.loc["Equal-Training", "yahoo"] == pytest.approx(100 * (equal - 1))


def test_ranks_and_wins_share_ties():
    maxima = pd.DataFrame({"a": [0.1, 0.3, 0.3], "b": [0.5, 0.4, 0.3]}, index=["x", "y", "z"])
    assert statistics.ranks(maxima)["a"].tolist() == [1.0, 2.5, 2.5]
    assert statistics.ranks(maxima)["b"].tolist() == [3.0, 2.0, 1.0]
    assert statistics.wins(maxima).to_dict() == {"x": 1, "y": 1, "z": 1}


def test_equal_accuracies_tie_whatever_the_float_noise():
    maxima = pd.DataFrame({"a": [0.1 + 0.2, 0.3, 0.2]}, index=["x", "y", "z"])
    assert maxima.loc["x", "a"] != maxima.loc["y", "a"]
    assert statistics.wins(maxima).tolist() == [1, 1, 0]
    assert statistics.ranks(maxima)["a"].tolist() == [2.5, 2.5, 1.0]


def brute_force_wilcoxon(differences, alternative):
    """Enumerate all signs of the ranked non-zero differences."""
    values = np.array([d for d in differences if d != 0])
    rank = stats.rankdata(np.abs(values))
    observed = rank[values > 0].sum()
    all_sums = np.array([rank @ np.array(signs) for signs in itertools.product((0, 1), repeat=len(rank))])
    greater, less = np.mean(all_sums >= observed - 1e-9), np.mean(all_sums <= observed + 1e-9)
    return {"greater": greater, "less": less, "two-sided": min(1, 2 * min(greater, less))}[alternative]


@pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
@pytest.mark.parametrize("differences", [
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, -2, 3, -4, 5, -6, 7, -8, 9],
    [1, 1, -1, 2, 2, -3, 4, 4, 4],
    [0, 0, 1, -2, 3, 5, 5, -7, 8],
    [-1, -2, -3, 4, 0],
])  # fmt: skip
def test_wilcoxon_is_exact_with_ties_and_zeros(differences, alternative):
    p = statistics.wilcoxon_p(differences, alternative)
    assert p == pytest.approx(brute_force_wilcoxon(differences, alternative))
    assert p == pytest.approx(stats.wilcoxon(differences, alternative=alternative).pvalue)


def test_wilcoxon_is_that_of_scipy_for_more_pairs():
    differences = np.random.default_rng(0).normal(0.2, 1, 40)
    for alternative in ("less", "greater", "two-sided"):
        expected = stats.wilcoxon(differences, alternative=alternative, method="exact").pvalue
        assert statistics.wilcoxon_p(differences, alternative) == pytest.approx(expected)


def test_wilcoxon_smallest_possible_values_and_limits():
    assert statistics.wilcoxon_p(range(1, 10), "greater") == pytest.approx(2**-9)
    assert statistics.wilcoxon_p(range(1, 10), "two-sided") == pytest.approx(2**-8)
    assert statistics.wilcoxon_p(range(1, statistics.MIN_DATASETS + 1), "greater") < 0.05
    assert np.isnan(statistics.wilcoxon_p(range(1, statistics.MIN_DATASETS), "greater"))
    assert stats.wilcoxon(range(1, statistics.MIN_DATASETS), alternative="greater").pvalue > 0.05
    assert statistics.wilcoxon_p([0.0] * 9, "less") == 1.0
    assert np.isnan(statistics.wilcoxon_p([1, 2, 3, 4, np.nan, np.nan], "less"))


def test_holm_by_hand():
    adjusted = statistics.holm(pd.Series({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.005}))
    assert adjusted.to_dict() == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06, "d": 0.02})
    with_gap = statistics.holm(pd.Series({"a": 0.6, "b": np.nan, "c": 0.7}))
    assert with_gap["a"] == 1.0 and with_gap["c"] == 1.0 and np.isnan(with_gap["b"])


def test_friedman_is_its_textbook_formula():
    maxima = pd.DataFrame(np.random.default_rng(0).random((4, 6)))
    k, n = maxima.shape
    mean_ranks = statistics.ranks(maxima).mean(axis=1)
    expected = 12 * n / (k * (k + 1)) * ((mean_ranks - (k + 1) / 2) ** 2).sum()
    chi2, p = statistics.friedman(maxima)
    assert chi2 == pytest.approx(expected) and p == pytest.approx(stats.chi2.sf(expected, k - 1))
    assert np.isnan(statistics.friedman(maxima.iloc[:2])[0])


def test_sem_and_percent_change():
    assert statistics.sem([1, 2, 3, 4]) == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2)
    assert np.isnan(statistics.sem([1.0]))
    change = statistics.percent_change(pd.DataFrame({"a": [0.6]}), pd.Series({"b": 0.1, "a": 0.5}))
    assert change.loc[0, "a"] == pytest.approx(20.0)


def test_leave_one_out_by_hand():
    maxima = pd.DataFrame({"a": [0.6], "b": [0.4], "c": [0.5]}, index=["x"])
    left = statistics.leave_one_out(maxima, pd.Series({"a": 0.5, "b": 0.5, "c": 0.5}))
    assert left.loc["x"].to_dict() == pytest.approx({"a": -10.0, "b": 10.0, "c": 0.0})


def test_sampling_error_is_that_of_simulated_accuracies():
    simulated = np.random.default_rng(0).binomial(256, 0.3, 20000) / 256
    assert statistics.sampling_error(0.3) == pytest.approx(simulated.std(), rel=0.02)


def test_inflation_of_independent_models_is_the_mean_of_a_binomial_maximum():
    counts = np.arange(257)
    below = stats.binom.cdf(counts, 256, 0.3) ** 12  # P(maximum <= count)
    expected = (1 - below).sum() / 256 - 0.3
    assert statistics.maximum_inflation(0.3, 256, 12, correlation=0) == pytest.approx(expected, abs=0.001)


def test_inflation_falls_with_correlation_and_vanishes_for_one_model():
    values = [statistics.maximum_inflation(0.32, correlation=c, draws=500) for c in (0, 0.5, 0.8, 0.9)]
    assert values == sorted(values, reverse=True)
    assert abs(statistics.maximum_inflation(0.32, depths=1)) < 0.002
    assert abs(statistics.maximum_inflation(0.32, correlation=1.0)) < 0.002
    assert statistics.maximum_inflation(0.32, draws=50) == statistics.maximum_inflation(0.32, draws=50)


def test_granularity_accepts_every_count_and_little_else():
    printed = np.array([float(f"{k / 256:.3f}") for k in range(257)])
    assert statistics.granularity(printed, 256).all()
    every = np.arange(0, 1001) / 1000
    assert statistics.granularity(every, 256).sum() == len(set(printed)) + 8  # 8 halves may round up
    assert not statistics.granularity([0.705], 256)[0] and statistics.granularity([0.705], 512)[0]


# What is known of Table 1: the acceptance values


@pytest.fixture(scope="module")
def table1():
    return published.maxima(), published.baseline()


def test_table1_wins_and_ranks(table1):
    maxima, _ = table1
    won = statistics.wins(maxima)
    assert won[won > 0].to_dict() == {
        "Gradient-Fisher": 2, "Attention-Entropy": 1, "Linear-Regression": 3, "Random-Forest": 5,
    }  # fmt: skip
    means = statistics.ranks(maxima).mean(axis=1).round(2)
    assert means["Random-Forest"] == 13.83 and means["Linear-Regression"] == 13.06
    assert means["Weight-Sparsity"] == means["Random"]


def test_table1_against_the_baseline(table1):
    tests = statistics.baseline_tests(*table1)
    assert list(tests.index) == list(STRATEGIES)
    singles = tests.loc[list(STRATEGIES[1:13]), "p_less"]
    assert list(singles.index[singles >= 0.05]) == ["Gradient-Fisher"]
    assert round(singles["Gradient-Fisher"], 4) == 0.0645
    assert (tests.loc[list(STRATEGIES[1:13]), "p_less_points"] < 0.05).all()
    fusers = tests.loc[["Linear-Regression", "Random-Forest"]]
    assert fusers["p_two_sided"].round(3).tolist() == [0.910, 0.910]
    assert fusers["mean"].round(2).tolist() == [5.61, 6.60]


def test_table1_against_random(table1):
    tests = statistics.baseline_tests(*table1)
    named = tests.loc[["Task-Relevance-MI", "Weight-Entropy", "Attention-Weight"]]
    assert named["p_greater_random"].round(4).tolist() == [0.0117, 0.0137, 0.0098]
    others = tests["p_greater_random"].drop([*named.index, "Linear-Regression", "Random-Forest"]).dropna()
    assert len(others) == 9 and (others >= 0.05).all()
    survive = tests["p_greater_random_holm"] < 0.05
    assert list(survive.index[survive]) == ["Linear-Regression", "Random-Forest"]
    assert tests["p_greater_random_holm"].count() == 14
    assert tests.loc["Random-Forest", "p_greater_random"] == pytest.approx(2**-9)


def test_table1_without_newsgroup(table1):
    left = statistics.leave_one_out(*table1)
    assert list(left.columns) == list(DATASETS)
    assert left.loc["Random-Forest", "newsgroup"].round(2) == -2.05
    assert (left.loc["Random-Forest"].drop("newsgroup") > 6).all()


def test_table1_friedman_and_granularity(table1):
    chi2, p = statistics.friedman(table1[0])
    assert round(chi2, 1) == 62.1 and p == pytest.approx(5e-8, rel=0.05)
    cells = published.table1()
    fits = pd.DataFrame(statistics.granularity(cells, 256), index=cells.index, columns=cells.columns)
    assert fits.size == 144 and fits.to_numpy().sum() == 143
    assert not fits.loc["Baseline", "imdb"]
    sizes = [n for n in range(20, 512) if statistics.granularity(cells, n).sum() >= 143]
    assert sizes == [256]
