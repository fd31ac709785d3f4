"""Fixed depth: values by hand; intervals, chances and critical differences against scipy and scikit-posthocs directly."""

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from paperlib import published
from paperlib.evidence import claims, fixed_depth, truth_quantities
from paperlib.evidence.estimates import Results, Untestable
from paperlib.figures import over_datasets
from paperlib.names import SIGNALS


def made_steps(curves, layers=4):
    """Make walks of these accuracies by step, by (strategy, dataset, seed)."""
    rows = [
        {"strategy": strategy, "dataset": dataset, "seed": seed, "step": step, "accuracy": value, "layers": layers,
         "size_gb": 1.0, "validation_accuracy": value}
        for (strategy, dataset, seed), curve in curves.items() for step, value in enumerate(curve)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def random_values(datasets=5, seeds=3, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(shift, 1, (datasets, seeds)), index=[f"d{i}" for i in range(datasets)])


def test_the_mean_over_depths_leaves_out_both_ends():
    steps = made_steps({("Random", "imdb", 0): [0.9, 0.8, 0.6, 0.4, 0.1], ("Random", "imdb", 1): [0.9, 0.5, 0.5, 0.5, 0.1]})
    values = fixed_depth.mean_over_depths(steps, "Random")
    assert values.loc["imdb"].tolist() == pytest.approx([0.6, 0.5])
    table = fixed_depth.by_depth(steps)
    assert table.loc["Random"].tolist() == pytest.approx([0.9, 0.65, 0.55, 0.45, 0.1])


def test_the_stratified_interval_is_scipy_s_with_a_sample_per_dataset():
    values = random_values()

    def mean_of_means(*samples, axis=-1):
        return np.mean([sample.mean(axis=axis) for sample in samples], axis=0)

    expected = stats.bootstrap(
        tuple(values.to_numpy()), mean_of_means, n_resamples=20_000, method="percentile", paired=False, rng=np.random.default_rng(1)
    ).confidence_interval
    found = fixed_depth.interval_over_seeds(values, draws=20_000)
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert np.isnan(fixed_depth.interval_over_seeds(values[[0]])).all(), "one seed has no spread over seeds"


def test_the_two_intervals_speak_of_different_things():
    """Datasets far apart, seeds alike: only other datasets could change the mean; and the other way about."""
    apart = pd.DataFrame([[i, i + 0.01] for i in range(6)], index=list("abcdef"), dtype=float)
    low, high = fixed_depth.interval_over_seeds(apart)
    assert high - low < 0.02 < 1 < np.ptp(fixed_depth.interval_over_datasets(apart))
    alike = pd.DataFrame([[-1.0, 1.0]] * 6, index=list("abcdef"))
    assert np.ptp(fixed_depth.interval_over_datasets(alike)) == 0 < 0.5 < np.ptp(fixed_depth.interval_over_seeds(alike))
    assert np.isnan(fixed_depth.interval_over_datasets(alike.iloc[:1])).all()
    assert np.isnan(fixed_depth.interval_over_datasets(apart.iloc[:4])).all(), "of two datasets it would end at both, whatever they are"
    assert np.isfinite(fixed_depth.interval_over_datasets(apart.iloc[:5])).all()


def test_the_chance_of_improvement_is_that_of_mann_and_whitney():
    first, second = random_values(shift=0.5), random_values(seed=1)
    second.iloc[0, 0] = first.iloc[0, 0]  # a tie
    found = fixed_depth.probability_of_improvement(first, second)
    for dataset in first.index:
        u = stats.mannwhitneyu(first.loc[dataset], second.loc[dataset]).statistic
        assert found[dataset] == pytest.approx(u / 9)
    assert fixed_depth.probability_of_improvement(first, first.iloc[:, [0]])["d0"] == pytest.approx(
        np.mean([0.5 * (1 + np.sign(a - first.iloc[0, 0])) for a in first.iloc[0]]))


def test_critical_differences_and_ranks_are_scikit_posthocs_and_demsar_s():
    assert fixed_depth.critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3)  # Demsar 2006
    maxima = published.maxima()
    p_values = scikit_posthocs.posthoc_nemenyi_friedman(maxima.T.to_numpy())
    difference, ranks = fixed_depth.critical_difference(*maxima.shape), fixed_depth.mean_ranks(maxima)
    pd.testing.assert_frame_equal(
        pd.DataFrame(p_values.to_numpy(), maxima.index, maxima.index), fixed_depth.nemenyi(maxima), check_names=False)
    apart = np.abs(ranks.to_numpy()[:, None] - ranks.to_numpy()) > difference
    ours = pd.DataFrame(apart, ranks.index, ranks.index).loc[maxima.index, maxima.index]
    np.testing.assert_array_equal(ours, p_values < 0.05)
    assert ranks.index[0] == "Random-Forest"


@pytest.mark.parametrize(("accuracies", "said"), [
    ([0.5, 0.4, 0.3], "Mean ranks: a 1.0 is best, c 3.0 worst; critical difference "), ([0.5, 0.5, 0.3], "Mean ranks: a and b 1.5 are best, c 3.0 worst; "),
    ([0.5, 0.4, 0.4], "Mean ranks: a 1.0 is best, b and c 2.5 worst; "), ([0.5, 0.5, 0.5], "Mean ranks: all 3 alike 2.0; critical difference "),
])  # fmt: skip
def test_the_diagram_of_critical_differences_says_ties(accuracies, said):
    maxima = pd.DataFrame({f"d{i}": accuracies for i in range(3)}, index=list("abc"))
    figure, alt = over_datasets.critical_difference(maxima)
    assert over_datasets.critical_difference(maxima, "our run")[1] == f"our run: {alt}"
    assert alt.startswith(said) and alt.endswith(f"critical difference {fixed_depth.critical_difference(3, 3):.2f}.")


def results_of(gap, datasets=6):
    curves = {}
    for number in range(datasets):
        for seed in (0, 1):
            flat = [0.5 + number / 100 + seed / 1000] * 5
            curves["Random", f"d{number}", seed] = flat
            curves["Random-Forest", f"d{number}", seed] = [value + gap * (1 + number / 10) for value in flat]
    return Results.from_tables(steps=made_steps(curves))


def test_claims_at_fixed_depth():
    better = truth_quantities.at_fixed_depth(results_of(0.05), "Random-Forest", "Random")
    assert better.value == pytest.approx(5 * 1.25) and better.p_greater < 0.05 and better.datasets == 6
    assert truth_quantities.probably_improved(results_of(0.05), "Random-Forest", ["Random"]).value == 1
    assert truth_quantities.probably_improved(results_of(-0.05), "Random-Forest", ["Random"]).value == 0
    with pytest.raises(Untestable, match="not measured: Top-Drop"):
        truth_quantities.at_fixed_depth(results_of(0.05), "Random-Forest", "Top-Drop")
    claim = next(claim for claim in claims.load() if claim.id == "fixed-depth-random")
    assert claims._judge(claim, results_of(0.05))[1] == "holds"
    assert claims._judge(claim, Results.from_paper())[1] == "cannot be tested here"


def test_the_paper_s_forest_is_a_critical_difference_above_five_signals():
    estimate = truth_quantities.critically_above(Results.from_paper(), "Random-Forest")
    assert (estimate.value, estimate.of) == (5, len(SIGNALS))
