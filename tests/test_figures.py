"""The eight figures: what is drawn equals what was computed another way, nothing is clipped, bytes repeat."""

import contextlib
import io
import itertools
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

matplotlib.use("Agg")

from paperlib import published
from paperlib.common.errors import UserError  # noqa: E402
from paperlib.evidence import statistics
from paperlib.figures import drawing, paper  # noqa: E402
from paperlib.names import CONTROLS, FUSERS, SIGNALS, STRATEGIES, WALKS  # noqa: E402
from paperlib.params import DATASETS  # noqa: E402

MODELS = ("teacher", "pruned", "distilled", "ce_control")
HOSTILE = r"$\undefined$ <b>&\"x|y"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def made_steps(datasets=DATASETS, seeds=2, depth=6, strategies=WALKS):
    """Random walks of every strategy down to no layer at all; accuracies are counts out of 256."""
    rng, rows = np.random.default_rng(11), []
    for dataset, seed in itertools.product(datasets, range(seeds)):
        start = rng.integers(70, 120)
        for strategy in strategies:
            hits = np.clip(start + np.cumsum(rng.integers(-12, 12, depth)), 5, 250)
            order = rng.permutation(depth)
            keeps = strategy == "Equal-Training"
            for step, correct in enumerate([start, *hits]):
                rows.append({
                    "dataset": dataset, "seed": seed, "strategy": strategy, "step": step,
                    "removed_layer": np.nan if keeps or step == 0 else order[step - 1],
                    "accuracy": correct / 256, "validation_accuracy": correct / 256,
                    "size_gb": 1.0 - (0 if keeps else 0.1 * step), "layers": depth,
                })  # fmt: skip
    return pd.DataFrame(rows)


def made_distillation(datasets=("newsgroup", "imdb"), seeds=3):
    rng = np.random.default_rng(5)
    rows = [
        {"dataset": dataset, "seed": seed, "model": model, "accuracy": rng.uniform(0.3, 0.9), "layers": 12,
         "removed": "" if model == "teacher" else "4-0-7" if dataset == "imdb" else "5"}
        for dataset, seed, model in itertools.product(datasets, range(seeds), MODELS)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def made_fusion(datasets=DATASETS, seeds=2, steps=3):
    rng = np.random.default_rng(8)
    fusers = (*FUSERS, "Random-Forest-Validation")
    index = itertools.product(datasets, range(seeds), fusers, range(1, steps + 1), SIGNALS)
    fusion = pd.DataFrame(list(index), columns=["dataset", "seed", "strategy", "step", "signal"])
    regression = fusion["strategy"] == "Linear-Regression"
    return fusion.assign(weight=np.where(regression, rng.normal(0, 1, len(fusion)), rng.random(len(fusion))))


def made_randomization(datasets=("newsgroup", "imdb"), seeds=1, orders=10, centre=0.3):
    rng = np.random.default_rng(2)
    index = itertools.product(datasets, range(seeds), ("Random-All", "Random-Inner"), range(orders))
    table = pd.DataFrame(list(index), columns=["dataset", "seed", "test", "repeat"])
    return table.assign(max_accuracy=centre + rng.integers(-9, 10, len(table)) / 256)


def axes_of(figure):
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def labels_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def bars_of(ax):
    """Return label -> width of a chart of horizontal bars."""
    names = [text.get_text() for text in ax.get_yticklabels()]
    return dict(zip(names, [bar.get_width() for bar in ax.containers[-1].patches]))


def marked(ax, label):
    """Return the row labels that carry the asterisks called `label`."""
    rows = {round(place, 6): text.get_text() for place, text in zip(ax.get_yticks(), ax.get_yticklabels())}
    lines = [line for line in ax.lines if line.get_label() == label]
    return {rows[round(place, 6)] for line in lines for place in line.get_ydata()}


def table_of_maxima(n, seed=4):
    rng = np.random.default_rng(seed)
    columns = [f"d{i}" for i in range(n)]
    maxima = pd.DataFrame(rng.uniform(0.3, 0.5, (15, n)), index=STRATEGIES, columns=columns)
    return maxima, pd.Series(0.4, index=maxima.columns)


# ---------------------------------------------------------------- Figure 1


@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_curves_have_a_panel_per_dataset_in_the_paper_s_order(n):
    figure, _ = paper.accuracy_curves(made_steps(DATASETS[:n][::-1], seeds=1, depth=3))
    assert [ax.get_title() for ax in figure.axes] == list(DATASETS[:n])


def test_curves_are_means_over_seeds_with_a_band_for_fusers_and_controls_only():
    steps = made_steps(["imdb"], seeds=3)
    figure, alt = paper.accuracy_curves(steps)
    (ax,) = figure.axes
    lines = {line.get_label(): line for line in ax.lines}
    for name in WALKS:
        walks = steps[steps.strategy == name]
        mean = [100 * walks[walks.step == step].accuracy.mean() for step in range(7)]
        np.testing.assert_allclose(lines[name].get_ydata(), mean)
        assert lines[name].get_color() == paper.COLOURS[name]
    assert len(ax.collections) == len(FUSERS + CONTROLS)
    assert lines["Equal-Training"].get_linestyle() == "-."
    baseline = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert baseline[0].get_ydata()[0] == pytest.approx(100 * steps[steps.step == 0].accuracy.mean())
    best = 100 * steps[steps.step > 0].groupby(["strategy", "seed"]).accuracy.max().groupby("strategy").mean()
    assert f"{best.idxmax()} {best.max():.1f} %" in alt


def test_curves_of_one_seed_have_no_band_and_one_legend_outside():
    figure, _ = paper.accuracy_curves(made_steps(["imdb", "yelp"], seeds=1))
    assert all(len(ax.collections) == 0 and ax.get_legend() is None for ax in figure.axes)
    assert len(figure.legends) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()][:15] == list(STRATEGIES)


def test_lines_that_coincide_are_named_and_a_control_is_seen_through():
    steps = made_steps(["imdb"], seeds=1)
    twin = steps[steps.strategy == "Random-Forest"].assign(strategy="Greedy-Ablation")
    steps = pd.concat([steps[steps.strategy != "Greedy-Ablation"], twin])
    for narrow in (False, True):
        with paper.small_screen() if narrow else contextlib.nullcontext():
            figure, alt = paper.accuracy_curves(steps)
        notes = [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()][len(WALKS) + 1 :]  # after those of all strategies and of the baseline
        assert notes == ["the same line: Random-Forest, Greedy-Ablation"]
        assert "Lines that coincide, imdb: Random-Forest = Greedy-Ablation." in alt
    order = {line.get_label(): line.get_zorder() for line in figure.axes[0].lines}
    assert order["Greedy-Ablation"] > order["Random-Forest"]
    assert figure.get_figwidth() < 4.5, "drawn for a small screen"
    assert "coincide" not in paper.accuracy_curves(made_steps(["imdb"], seeds=1))[1]


@pytest.mark.parametrize(("seeds", "band"), [(((0,), (1,)), False), (((0,), (0, 1)), True), (((3, 4), (3, 4)), True)])
def test_the_band_is_explained_where_a_dataset_has_several_seeds(seeds, band):
    steps = made_steps(["newsgroup", "imdb"], seeds=5, depth=2)
    kept = [steps[(steps.dataset == name) & steps.seed.isin(some)] for name, some in zip(("newsgroup", "imdb"), seeds)]
    figure, _ = paper.accuracy_curves(pd.concat(kept))
    assert any(len(ax.collections) for ax in figure.axes) is band
    assert ("band: ± s.e.m. over seeds" in [text.get_text() for text in figure.legends[0].get_texts()]) is band


# ---------------------------------------------------------------- Figure 2


@pytest.mark.parametrize(("accuracies", "said"), [
    ([0.5, 0.4, 0.3, 0.2], "Random (4.0) and Weight-Norm (3.0) lead."),
    ([0.2, 0.4, 0.5, 0.4], "Gradient-Fisher (4.0), Weight-Norm (2.5) and Random-Forest (2.5) lead."),
    ([0.5, 0.5, 0.3, 0.2], "Random (3.5) and Weight-Norm (3.5) lead."),
    ([0.5, 0.5, 0.5, 0.2], "Random (3.0), Weight-Norm (3.0) and Gradient-Fisher (3.0) lead."),
    ([0.5, 0.5, 0.5, 0.5], "all 4 alike (2.5)."),
])  # fmt: skip
def test_ranks_name_all_that_are_level_with_the_second(accuracies, said):
    maxima = pd.DataFrame({"imdb": accuracies}, index=["Random", "Weight-Norm", "Gradient-Fisher", "Random-Forest"])
    assert paper.strategy_ranks(maxima)[1] == f"Rank of 4 strategies by maximum accuracy, 4 being best, of one dataset: {said}"


def test_ranks_of_the_published_table_equal_counting():
    maxima = published.maxima()
    controlled = pd.concat([maxima, maxima.tail(1).rename(index={"Random-Forest": "Equal-Training"}) + 0.1])
    ax = axes_of(paper.strategy_ranks(controlled)[0])[0]
    values = maxima.to_numpy()
    below = (values[:, None, :] > values[None, :, :]).sum(axis=1)
    tied = (values[:, None, :] == values[None, :, :]).sum(axis=1)
    expected = below + (tied + 1) / 2  # (strategies, datasets), 15 = best
    widths = bars_of(ax)
    assert list(widths) == list(STRATEGIES)
    np.testing.assert_allclose(list(widths.values()), expected.mean(axis=1))
    dots = np.array([line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 15]).T
    np.testing.assert_allclose(dots, expected)
    assert "15 = best" in ax.get_xlabel()


# ---------------------------------------------------------------- Figure 3


def test_change_of_the_published_table_and_its_asterisks():
    figure, alt = paper.baseline_change(published.maxima(), published.baseline())
    ax = axes_of(figure)[0]
    expected = 100 * (published.maxima() / published.baseline() - 1).mean(axis=1)
    assert bars_of(ax) == pytest.approx(expected.to_dict())
    assert bars_of(ax)["Random-Forest"] == pytest.approx(6.60, abs=0.005)
    assert marked(ax, "below 0") == set(STRATEGIES) - {*FUSERS, "Gradient-Fisher"}
    assert marked(ax, "above Random") == {*FUSERS, "Task-Relevance-MI", "Weight-Entropy", "Attention-Weight"}
    assert {*FUSERS, "Gradient-Fisher"} <= marked(ax, "not different from 0")
    assert "Weight-Norm" not in marked(ax, "not different from 0")
    assert "Random-Forest +6.6 %" in alt and "below 0: 12" in alt


def test_change_shows_the_controls_apart_with_whiskers_of_one_sem():
    steps = made_steps(DATASETS[:6])
    maxima, baseline = statistics.maximum_accuracy(steps), statistics.baseline_accuracy(steps)
    ax = axes_of(paper.baseline_change(maxima, baseline)[0])[0]
    places = ax.get_yticks()
    assert places[15] - places[14] > 1.3 and places[14] - places[13] == pytest.approx(1)
    change = 100 * (maxima / baseline - 1)
    whiskers = ax.containers[0].lines[2][0].get_segments()
    lengths = [segment[1][0] - segment[0][0] for segment in whiskers]
    np.testing.assert_allclose(lengths, 2 * change.std(axis=1, ddof=1) / np.sqrt(6))


@pytest.mark.parametrize("n", [1, 4])
def test_too_few_datasets_show_a_note_and_no_asterisk(n):
    maxima, baseline = table_of_maxima(n)
    maxima.loc["Random-Forest"] = 0.9
    note = f"n too small for a test to reach p < 0.05 (n = {n})"
    for figure in (paper.baseline_change(maxima, baseline)[0], paper.size_improvement(maxima)[0]):
        ax = axes_of(figure)[0]
        assert note in labels_of(ax)
        assert not any("significantly" in text for text in labels_of(ax))
        assert not any(line.get_marker() == drawing.ASTERISK for line in ax.lines)
    assert note in paper.baseline_change(maxima, baseline)[1]


def test_five_datasets_allow_one_sided_tests_only():
    maxima, baseline = table_of_maxima(5)
    maxima.loc["Weight-Norm"] = 0.2 + 0.01 * np.arange(5)
    ax = axes_of(paper.baseline_change(maxima, baseline)[0])[0]
    assert "Weight-Norm" in marked(ax, "below 0")  # p = 1/32
    assert not any(line.get_label() == "not different from 0" for line in ax.lines)
    assert "two-sided: n too small for a test to reach p < 0.05 (n = 5)" in labels_of(ax)


# ---------------------------------------------------------------- Figure 4


@pytest.mark.parametrize("datasets", [("imdb",), ("imdb", "yelp")])
def test_a_baseline_that_is_never_right_has_no_per_cent(datasets):
    """The others keep their bars; without any other there is nothing to draw, and nothing dies."""
    steps = made_steps(datasets, seeds=1)
    steps.loc[(steps["dataset"] == "imdb") & (steps["step"] == 0), "accuracy"] = 0.0
    maxima, baseline = statistics.maximum_accuracy(steps), statistics.baseline_accuracy(steps)
    change, improvement = statistics.percent_change(maxima, baseline), statistics.accuracy_to_size(steps)
    assert change["imdb"].isna().all() and improvement["imdb"].isna().all() and len(improvement) == len(maxima)
    for figure, alt in (paper.baseline_change(maxima, baseline), paper.size_improvement(improvement)):
        assert ("not defined, as the baseline is never right" in alt) == (len(datasets) == 1)
        assert "nan" not in alt and "inf" not in alt
        figure.canvas.draw()
    if len(datasets) > 1:
        assert change["yelp"].to_numpy() == pytest.approx(100 * (maxima["yelp"] / baseline["yelp"] - 1).to_numpy())


@pytest.mark.parametrize(("right", "tested"), [(4, False), (5, True), (0, False)])
def test_datasets_that_take_part_in_no_test_are_not_counted(right, tested):
    maxima, baseline = table_of_maxima(7)
    baseline.iloc[right:] = 0.0
    improvement = 100 * (maxima / baseline.where(baseline > 0) - 1)
    change, gain = paper.baseline_change(maxima, baseline), paper.size_improvement(improvement)
    for figure, alt in (change, gain):
        said = " ".join(labels_of(axes_of(figure)[0])).replace("\n", " ")
        assert (f"one of {right} datasets" if right else "no dataset") in said and "7" not in said
        assert f"mean over {right} datasets" in alt or not right
    assert ("significantly below 0" in change[1]) is tested
    assert tested or f"n too small for a test to reach p < 0.05 (n = {right})" in change[1]
    assert f"n too small for a test to reach p < 0.05 (n = {right})" in labels_of(axes_of(gain[0])[0]), "two-sided: six are needed"


def test_size_improvement_marks_what_differs_from_random_in_either_direction():
    rng = np.random.default_rng(1)
    improvement = pd.DataFrame(rng.normal(10, 3, (15, 8)), index=STRATEGIES, columns=list("abcdefgh"))
    noise = np.arange(1, 9)
    improvement.loc["Random-Forest"] = improvement.loc["Random"] + noise  # 8 of 8: p = 2/256
    improvement.loc["Weight-Norm"] = improvement.loc["Random"] - noise
    improvement.loc["Attention-Entropy"] = improvement.loc["Random"] + noise * np.tile([1, -1], 4)
    ax = axes_of(paper.size_improvement(improvement)[0])[0]
    assert {"Random-Forest", "Weight-Norm"} <= marked(ax, "differs from Random")
    assert not {"Random", "Attention-Entropy"} & marked(ax, "differs from Random")
    assert bars_of(ax) == pytest.approx(improvement.mean(axis=1).to_dict())


# ---------------------------------------------------------------- Figure 5


def test_distillation_bars_whiskers_and_removed_layers():
    table = made_distillation()
    figure, alt = paper.distillation_bars(table)
    (ax,) = figure.axes
    for bars, model in zip(ax.containers, MODELS):
        for bar, dataset in zip(bars.patches, ("newsgroup", "imdb")):
            values = table[(table.model == model) & (table.dataset == dataset)].accuracy
            assert bar.get_height() == pytest.approx(100 * values.mean())
            centre = bar.get_x() + bar.get_width() / 2
            (whisker,) = (line for line in ax.lines if np.isclose(np.nanmean(line.get_xdata()), centre))
            low, high = whisker.get_ydata()[[0, -1]]
            assert abs(high - low) == pytest.approx(2 * 100 * values.std(ddof=1) / np.sqrt(3))
    assert ax.containers[3].patches[0].get_hatch() and not ax.containers[2].patches[0].get_hatch()
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    assert ticks == ["newsgroup\n1 of 12\nlayers removed", "imdb\n3 of 12\nlayers removed"]
    assert f"original {100 * table[table.model == 'teacher'].accuracy.mean():.1f} %" in alt


def test_distillation_of_one_seed_has_the_sampling_error_as_whiskers():
    table = made_distillation(seeds=1)
    figure, _ = paper.distillation_bars(table, test_size=100)
    (ax,) = figure.axes
    whiskers = ax.containers[-1].lines[2][0].get_segments()
    lengths = {round(segment[:, 1].mean(), 6): segment[1, 1] - segment[0, 1] for segment in whiskers}
    assert len(lengths) == 8
    for accuracy in table.accuracy:
        error = 100 * np.sqrt(accuracy * (1 - accuracy) / 100)
        assert lengths[round(100 * accuracy, 6)] == pytest.approx(2 * error)
    assert "whisker: standard error on 100 test examples (one seed)" in labels_of(ax)
    assert "one seed" in labels_of(paper.distillation_bars(table)[0].axes[0])


def test_distillation_reads_a_table_that_went_through_csv(tmp_path):
    one = made_distillation(["newsgroup"], seeds=1)
    one.to_csv(tmp_path / "one.csv", index=False)
    read = pd.read_csv(tmp_path / "one.csv")  # "" and "5" come back as nan and 5.0
    ax = paper.distillation_bars(read)[0].axes[0]
    assert ax.get_xticklabels()[0].get_text() == "newsgroup\n1 of 12\nlayers removed"
    assert "one seed" in labels_of(ax)


# ---------------------------------------------------------------- Figure 6


def test_scaled_weights_by_hand():
    rows = [
        (0, "Linear-Regression", 1, "Weight-Norm", 1.0), (0, "Linear-Regression", 2, "Weight-Norm", 3.0),
        (0, "Linear-Regression", 1, "Weight-Entropy", -6.0),
        (0, "Linear-Regression", 2, "Weight-Entropy", -2.0),
        (1, "Linear-Regression", 1, "Weight-Norm", 0.0), (1, "Linear-Regression", 1, "Weight-Entropy", 0.0),
        (0, "Random-Forest", 1, "Weight-Norm", 0.25), (0, "Random-Forest", 1, "Weight-Entropy", 0.75),
        (0, "Random-Forest-Validation", 1, "Weight-Norm", 9.0),
    ]  # fmt: skip
    fusion = pd.DataFrame(rows, columns=["seed", "strategy", "step", "signal", "weight"])
    scaled = statistics.scaled_weights(fusion.assign(dataset="imdb"))
    scaled = scaled.set_index(["strategy", "seed", "signal"])["weight"]
    assert scaled["Linear-Regression", 0].to_dict() == {"Weight-Norm": 0.5, "Weight-Entropy": -1.0}
    assert scaled["Linear-Regression", 1].to_dict() == {"Weight-Norm": 0.0, "Weight-Entropy": 0.0}
    importances = scaled["Random-Forest", 0].to_dict()
    assert importances == pytest.approx({"Weight-Norm": 1 / 3, "Weight-Entropy": 1.0})
    assert "Random-Forest-Validation" not in scaled.index.get_level_values("strategy")


def test_fuser_weights_bars_and_asterisks():
    fusion = made_fusion()
    fusion.loc[fusion.signal == "Weight-Entropy", "weight"] = 4.0  # the largest of every walk
    figure, alt = paper.fuser_weights(fusion)
    regression, forest = figure.axes
    mean = fusion[fusion.strategy == "Linear-Regression"].groupby(["dataset", "seed", "signal"]).weight.mean()
    scaled = mean / mean.abs().groupby(["dataset", "seed"]).transform("max")
    expected = scaled.groupby("signal").mean()
    names = [text.get_text() for text in regression.get_yticklabels()]
    assert names == list(SIGNALS)
    widths = [bar.get_width() for bar in regression.containers[-1].patches]
    np.testing.assert_allclose(widths, expected[list(SIGNALS)])
    assert "Weight-Entropy" in marked(regression, "above 0") and len(marked(regression, "above 0")) < 12
    stars = [line for line in forest.lines if line.get_label() == "above the median importance"][0]
    assert SIGNALS.index("Weight-Entropy") in stars.get_ydata()
    assert len(stars.get_ydata()) <= 6  # all importances are above 0, half of them above their median
    assert "Weight-Entropy in Linear-Regression (+1.00)" in alt


def test_weights_that_are_all_zero_have_no_largest():
    alt = paper.fuser_weights(made_fusion().assign(weight=0.0))[1]
    assert alt.endswith("Largest: all 12 alike in Linear-Regression (+0.00) and all 12 alike in Random-Forest (+0.00).")


def test_fuser_weights_of_one_dataset_say_that_n_is_too_small():
    for ax in paper.fuser_weights(made_fusion(["imdb"], seeds=1))[0].axes:
        assert "n too small for a test to reach p < 0.05 (n = 1)" in labels_of(ax)
        assert not any(line.get_marker() == drawing.ASTERISK for line in ax.lines)


# ---------------------------------------------------------------- Figure 7


def walk(dataset, strategy, order, layers):
    table = pd.DataFrame({"step": range(len(order) + 1), "removed_layer": [np.nan, *order]})
    return table.assign(dataset=dataset, seed=0, strategy=strategy, accuracy=0.5, layers=layers)


def test_removal_steps_by_hand():
    steps = pd.concat([
        walk("imdb", "Random", [2, 0, 1], 3), walk("yelp", "Random", [0, 2, 1], 3),
        walk("imdb", "Equal-Training", [np.nan] * 3, 3), walk("imdb", "Greedy-Ablation", [1], 3),
    ])  # fmt: skip
    table = paper.removal_steps(steps)
    assert list(table.index) == ["Random", "Greedy-Ablation"] and list(table.columns) == [1, 2, 3]
    assert table.loc["Random"].tolist() == [1.5, 3.0, 1.5]
    assert table.loc["Greedy-Ablation"].tolist() == [2.5, 1.0, 2.5]  # two layers kept share places 2 and 3
    cells = [text.get_text() for text in paper.removal_order(steps)[0].axes[0].texts]
    assert cells == ["1.5", "3.0", "1.5", "2.5", "1.0", "2.5"]


def test_removal_order_is_lighter_for_earlier_and_names_the_extremes():
    figure, alt = paper.removal_order(pd.concat([walk("imdb", name, [1, 2, 0], 3) for name in FUSERS]))
    mesh = figure.axes[0].collections[0]
    figure.canvas.draw()
    lightness = mesh.get_facecolors()[:3, :3].sum(axis=1)  # of layers 1, 2, 3, removed at steps 3, 1, 2
    assert lightness[1] > lightness[2] > lightness[0]
    assert "layer 2 goes first and layer 1 last" in alt


@pytest.mark.parametrize(("orders", "said"), [
    ([(0, 1, 2), (1, 0, 2)], "layer 1 and layer 2 go first and layer 3 last"), ([(0, 1, 2), (0, 2, 1)], "layer 1 goes first and layer 2 and layer 3 last"),
    ([(0, 1, 2), (2, 1, 0)], "no layer goes before another"), ([(0,)], "no layer goes before another"),
])  # fmt: skip
def test_removal_order_names_no_layer_alone_that_others_equal(orders, said):
    steps = pd.concat([walk("imdb", name, order, len(order)) for name, order in zip(FUSERS, orders)])
    assert paper.removal_order(steps)[1].endswith(f" Over all of them {said}.")


def test_removal_order_of_models_of_different_depth_is_refused():
    steps = pd.concat([walk("imdb", "Random", [0, 1], 2), walk("yelp", "Random", [0, 2, 1], 3)])
    with pytest.raises(UserError, match="one depth, these have 2, 3 layers"):
        paper.removal_order(steps)


# ---------------------------------------------------------------- Figure 8


def test_randomization_bars_dots_and_exact_p_values():
    datasets = ["newsgroup", "imdb"]
    steps, orders = made_steps(datasets, seeds=1), made_randomization(datasets)
    forest = steps[(steps.strategy == "Random-Forest") & (steps.step > 0)].groupby("dataset").accuracy.max()
    below = orders.dataset == "newsgroup"  # where the forest beats every order, each by another margin
    orders.loc[below, "max_accuracy"] = forest["newsgroup"] - (1 + np.arange(20)) / 256
    both_ways = np.tile([1, -1], 10) * (1 + np.arange(20) // 2)
    orders.loc[~below, "max_accuracy"] = forest["imdb"] + both_ways / 256
    tests = statistics.randomization_tests(steps, orders)
    assert tests.loc[("newsgroup", "Random-All"), "p"] == pytest.approx(1 / 1024)
    assert tests.loc[("imdb", "Random-Inner"), "p"] > 0.05
    assert tests["n"].tolist() == [10] * 4
    figure, alt = paper.randomization(steps, orders)
    (ax,) = figure.axes
    assert labels_of(ax)[:3] == ["Random-Forest", "Random6", "Random4"]
    deep, _ = paper.randomization(steps.assign(layers=12), orders)
    assert labels_of(deep.axes[0])[1:3] == ["Random12", "Random10"], "with twelve layers, the paper's names"
    heights = [[bar.get_height() for bar in bars.patches] for bars in ax.containers]
    mean = 100 * orders.groupby(["test", "dataset"]).max_accuracy.mean().unstack()[datasets]
    np.testing.assert_allclose(heights, [100 * forest[datasets], *mean.to_numpy()])
    red, green = ([x for line in ax.lines if line.get_label() == f"above {name}" for x in line.get_xdata()]
                  for name in ("Random6", "Random4"))
    bar = ax.containers[0].patches[0]
    assert len(red) == len(green) == 1 and bar.get_x() < red[0] < green[0] < bar.get_x() + bar.get_width()
    dots = {round(y, 6) for line in ax.lines if line.get_marker() == "o" for y in line.get_ydata()}
    assert dots == {round(100 * y, 6) for y in [*orders.max_accuracy, *forest]}
    assert "above its mean on 1 of 2, significantly on 1" in alt


def test_randomization_pairs_every_order_with_the_forest_of_its_own_seed():
    steps, orders = made_steps(["imdb"], seeds=2), made_randomization(["imdb"], seeds=2)
    forest = steps[(steps.strategy == "Random-Forest") & (steps.step > 0)].groupby("seed").accuracy.max()
    orders["max_accuracy"] = orders["seed"].map(forest) - 1 / 256 * (1 + orders["repeat"])
    tests = statistics.randomization_tests(steps, orders)
    assert tests["n"].tolist() == [20, 20] and (tests["p"] < 0.001).all()
    assert tests["informed"].iloc[0] - tests["random"].iloc[0] == pytest.approx(5.5 / 256)


def test_few_random_orders_say_that_n_is_too_small():
    orders = made_randomization(["imdb"], orders=3, centre=0.1)
    (ax,) = paper.randomization(made_steps(["imdb"], seeds=1), orders)[0].axes
    assert labels_of(ax)[-1] == "n too small for a test to reach p < 0.05 (n = 3)"
    assert not any(len(line.get_xdata()) for line in ax.lines if line.get_marker() == drawing.ASTERISK)


# ---------------------------------------------------------------- looks


LONG = [("customer-comments-" * 4)[:63] + last for last in "abcdefghi"]


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("names", [LONG, LONG[:4], LONG[:2], [f"{last} Movies And GAMES With {last * 40}" for last in "ABCDEFGHI"]])
def test_long_names_of_datasets_do_not_meet(names, narrow):
    steps = made_steps(names, seeds=1, depth=2, strategies=STRATEGIES)
    with paper.small_screen() if narrow else contextlib.nullcontext():
        figures = [paper.accuracy_curves(steps)[0], paper.distillation_bars(made_distillation(names, 1))[0]]
        figures.append(paper.randomization(steps, made_randomization(names))[0])
    for figure in figures:
        figure.draw_without_rendering()
        texts = [ax.title for ax in figure.axes] if len(figure.axes) > 1 else figure.axes[0].get_xticklabels()
        boxes = [text.get_window_extent() for text in texts]
        assert len({text.get_text() for text in texts}) == len(boxes) == len(names), "each can be told from the others"
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        assert min(box.x0 for box in boxes) > 0 and max(box.x1 for box in boxes) < figure.bbox.x1


def all_figures(datasets, seeds, orders=10, layers=6):
    steps = made_steps(datasets, seeds, layers)
    maxima, baseline = statistics.maximum_accuracy(steps), statistics.baseline_accuracy(steps)
    return {
        "figure1": paper.accuracy_curves(steps), "figure2": paper.strategy_ranks(maxima),
        "figure3": paper.baseline_change(maxima, baseline),
        "figure4": paper.size_improvement(statistics.accuracy_to_size(steps)),
        "figure5": paper.distillation_bars(made_distillation(datasets, seeds)),
        "figure6": paper.fuser_weights(made_fusion(datasets, seeds)),
        "figure7": paper.removal_order(steps),
        "figure8": paper.randomization(steps, made_randomization(datasets, seeds, orders)),
    }  # fmt: skip


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(("datasets", "seeds", "layers"), [([HOSTILE], 1, 6), (DATASETS, 2, 6), (DATASETS, 1, 12), (DATASETS, 1, 24)])
def test_nothing_is_clipped_and_every_figure_has_its_alt_text(datasets, seeds, layers, narrow, tmp_path):
    with paper.small_screen() if narrow else contextlib.nullcontext():
        drawn = all_figures(datasets, seeds, layers=layers)
    for name, (figure, alt) in drawn.items():
        saved = drawing.save(figure, tmp_path, name, alt, "A banner across the top", "a stamp at the foot", svg=False)
        with Image.open(saved) as picture:
            pixels = np.asarray(picture.convert("L"))
        edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert np.ptp(edges) == 0, f"{name}: something is cut off at an edge"
        figure.draw_without_rendering()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 > -0.01 and box.y0 > -0.01, name
        assert box.x1 < width + 0.01 and box.y1 < height + 0.01, name
        assert alt.endswith(".") and any(digit.isdigit() for digit in alt), name
        if narrow:
            assert width * drawing.CSS_DPI < 405, f"{name}: shrunk on a screen of 400 pixels"
            small = [text for text in figure.findobj(Text) if text.get_text() and text.get_fontsize() < 7]
            assert [text.get_text() for text in small] == ["a stamp at the foot"], name
            banner, legends = figure._suptitle.get_window_extent(), [*figure.legends, *(part for sub in figure.subfigs for part in sub.legends)]
            assert not any(banner.overlaps(legend.get_window_extent()) for legend in legends), f"{name}: banner over legend"


def test_every_strategy_has_a_colour_and_a_marker_of_its_own():
    assert set(paper.COLOURS) == set(paper.MARKERS) == set(WALKS)
    assert len({paper.MARKERS[name] for name in WALKS}) == len(WALKS)
    for name in CONTROLS:  # black or grey
        assert len(set(to_rgb(paper.COLOURS[name]))) == 1


# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as a dichromat sees it
VISION = {
    "normal": np.eye(3),
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def lab(colour, vision):
    """Return CIE L*a*b* of a colour as seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(VISION[vision]) @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colours_differ_to_every_kind_of_colour_vision(vision):
    seen = {name: lab(paper.COLOURS[name], vision) for name in STRATEGIES}
    for a, b in itertools.combinations(STRATEGIES, 2):
        least = 16 if {a, b} & set(FUSERS) else 9  # 2.3 is just noticeable
        assert np.linalg.norm(seen[a] - seen[b]) > least, (a, b)


# ---------------------------------------------------------------- files


def written(folder, **options):
    steps = made_steps([HOSTILE, "imdb"], seeds=2)
    figure, alt = paper.accuracy_curves(steps)
    path = paper.save(figure, folder, "figure1", alt + " <b>&", **options)
    return path, {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_second_save_gives_identical_bytes(tmp_path):
    options = {"banner": "SMOKE: not a result", "stamp": "laptop | 2 seeds $x$"}
    path, first = written(tmp_path / "one", **options)
    assert path == tmp_path / "one" / "figure1.png"
    assert set(first) == {"figure1.png", "figure1.svg", "figure1.alt.txt"}
    assert written(tmp_path / "two", **options)[1] == first
    assert b"Software" not in first["figure1.png"] and b"<dc:date>" not in first["figure1.svg"]
    assert not plt.get_fignums()  # closed: a notebook does not show it a second time


def test_the_svg_is_well_formed_and_carries_the_alt_text_escaped(tmp_path):
    _, files = written(tmp_path)
    svg = files["figure1.svg"].decode()
    title = ElementTree.fromstring(svg).find("{http://www.w3.org/2000/svg}title").text
    assert title + "\n" == files["figure1.alt.txt"].decode() and title.endswith("<b>&")
    assert "<b>" not in svg and r"$\undefined$" in svg  # the label's text, drawn literally


def test_the_banner_and_the_stamp_are_on_the_picture(tmp_path):
    plain = written(tmp_path / "a")[1]
    marked_up = written(tmp_path / "b", banner="SMOKE: not a result", stamp="seed 0")[1]
    for text in (b"SMOKE: not a result", b"seed 0"):
        assert text in marked_up["figure1.svg"] and text not in plain["figure1.svg"]
    assert plain["figure1.png"] != marked_up["figure1.png"]


def test_saving_where_a_file_stands_is_one_clear_line(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        paper.save(plt.figure(), tmp_path / "taken", "figure1", "alt")


def test_style_is_set_by_hand_only():
    before = plt.rcParams["axes.spines.top"]
    paper.strategy_ranks(published.maxima())
    assert plt.rcParams["axes.spines.top"] is before
    with plt.rc_context():
        paper.style()
        assert plt.rcParams["axes.spines.top"] is False


def test_drawing_does_not_import_torch():
    code = "import sys, paperlib.figures.paper, paperlib.evidence.table1; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pictures_are_drawn_twice_as_fine_with_few_colours(tmp_path):
    figure, ax = plt.subplots(figsize=(3, 2))
    for place, colour in enumerate(paper.COLOURS.values()):
        ax.axvline(place, color=colour, linewidth=1.5)
    content, size = drawing.png(figure)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.mode == "P" and picture.size == (576, 384) and size == (288, 192)
        assert [round(value) for value in picture.info["dpi"]] == [192, 192]
        colours = {colour for _, colour in picture.convert("RGB").getcolors()}
    kept = np.array(list(colours))
    assert len(kept) < 256
    for colour in paper.COLOURS.values():  # every strategy keeps its own, to the eye
        assert abs(kept - 255 * np.array(to_rgb(colour))).max(axis=1).min() < 20, colour
    assert drawing.png(figure)[0] == content


def test_a_legend_too_wide_for_its_figure_takes_fewer_columns():
    for width, columns in ((3, 1), (12, 3)):
        figure, ax = plt.subplots(figsize=(width, 2))
        drawing.legend_above(ax, [drawing.note_key("a legend of some length")] * 3, columns=3)
        assert ax.get_legend()._ncols == columns


@pytest.mark.parametrize(("text", "longest", "shown"), [
    ("newsgroup", 14, "newsgroup"), ("customer-reviews-of-2024", 14, "customer-…2024"), ("a $ b\nc", None, r"a \$ b c"),
    ("x" * 40, None, "x" * 40), ("x" * 41, None, "x" * 26 + "…" + "x" * 13),
])  # fmt: skip
def test_a_long_label_keeps_both_ends(text, longest, shown):
    assert drawing.label(text, longest) == shown


def test_labels_of_crowded_points_do_not_meet():
    figure, ax = plt.subplots(figsize=(4, 4))
    points = {(x / 20, y / 20): "10" for x in range(3) for y in range(3)}
    ax.set(xlim=(-1, 1), ylim=(-1, 1))
    drawing.place_labels(ax, points)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in ax.texts]
    assert len(boxes) == 9
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_a_label_stands_nearest_to_its_own_point_where_it_can():
    rng = np.random.default_rng(7)
    for _ in range(20):
        figure, ax = plt.subplots(figsize=(4, 4))
        points = [tuple(point) for point in rng.normal(scale=0.25, size=(12, 2))]
        ax.set(xlim=(-1, 1), ylim=(-1, 1))
        drawing.place_labels(ax, {point: str(number + 1) for number, point in enumerate(points)})
        figure.draw_without_rendering()
        at = ax.transData.transform(points)
        for number, text in enumerate(ax.texts):
            box = Text.get_window_extent(text)
            nearest = np.hypot(*(at - (box.p0 + box.p1) / 2).T).argmin()
            assert nearest == number or text.arrow_patch is not None, "far from its point, it has a line to it"
        plt.close(figure)


def test_figure_8_says_how_often_its_test_is_fooled():
    steps = made_steps(["newsgroup", "imdb"], seeds=1)
    ax = axes_of(paper.randomization(steps, made_randomization())[0])[0]
    rate = statistics.false_alarms(10)
    assert 0.2 < rate < 0.4
    assert any(f"an asterisk\nin {rate:.0%} of studies" in text for text in labels_of(ax))
    assert statistics.false_alarms(20, seeds=2) < statistics.false_alarms(20), "two walks can be lucky less easily than one"


@pytest.mark.parametrize(("orders", "seeds", "n", "few"), [
    (10, (1, 2), "10 to 20", ""), (5, (1, 6), "5 to 30", ""), (10, (2, 2), "20", ""),
    (3, (1, 2), "6", "1 dataset: n too small for a test to reach p < 0.05 (n = 3)"),
    (2, (1, 2), "", "n too small for a test to reach p < 0.05 (n = 2 to 4)"),
])  # fmt: skip
def test_figure_8_speaks_of_each_dataset_s_own_orders_and_seeds(orders, seeds, n, few):
    names = ("newsgroup", "imdb")
    steps = pd.concat([made_steps([name], seeds=some) for name, some in zip(names, seeds)])
    drawn = pd.concat([made_randomization([name], seeds=some, orders=orders) for name, some in zip(names, seeds)])
    said = labels_of(axes_of(paper.randomization(steps, drawn)[0])[0])
    rates = {statistics.false_alarms(orders * some, seeds=some) for some in seeds if orders * some >= 5}
    texts = dict.fromkeys(f"{rate:.0%}" for rate in sorted(rates))
    assert [text.split("\n")[0].split("over ")[1] for text in said if "Wilcoxon" in text] == [f"{n} random orders,"] * bool(n)
    assert [text.split("\nin ")[1] for text in said if "simulated" in text] == [f"{' to '.join(texts)} of studies (simulated), not in 5%"] * bool(n)
    assert [text for text in said if "too small" in text] == [few] * bool(few)
    assert sum("significantly above" in text for text in said) == 2 * bool(n)
    if (orders, seeds) == (10, (1, 2)):
        assert list(texts) == ["25%", "28%"], "20 orders of two seeds, 10 of one"
