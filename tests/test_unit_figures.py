"""Numbers and figures of one dataset and seed: what is drawn equals what was computed another way."""

import itertools
import re
from math import comb

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle
from scipy import stats

matplotlib.use("Agg")

from paperlib.evidence import unit_numbers
from paperlib.figures import explore, signal, subsets, unit  # noqa: E402
from paperlib.names import SIGNALS  # noqa: E402
from paperlib.strategies import Choice  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def made_scores(layers=6, seed=0, flat=()):
    """Random scores (layers, signals); those named in `flat` are the same in every layer, up to rounding."""
    rng = np.random.default_rng(seed)
    scores = pd.DataFrame(rng.normal(3, 1, (layers, 12)), columns=list(SIGNALS))
    for name in flat:
        scores[name] = 1 / 32 + 1e-12 * rng.normal(size=layers)
    return scores.rename_axis("layer")


def made_drops(layers=6, seed=1):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.integers(-8, 60, (layers, 2)) / 256, columns=["test", "validation"])


CROSSED = {  # sorted by their ends, walks of one beginning would be torn apart
    "Random": (0, 1, 2, 3), "Weight-Norm": (1, 0, 2, 3), "Weight-Entropy": (0, 2, 3, 1), "Equal-Training": (None,) * 4,
    "Gradient-Fisher": (1, 2, 3, 0), "Weight-Sparsity": (0, 1, 3, 2),
}  # fmt: skip
ORDERS = {
    "Random": (2, 0, 1), "Weight-Norm": (0, 1, 2), "Weight-Entropy": (2, 1, 0), "Weight-Sparsity": (0, 1, 2),
    "Gradient-Fisher": (0, 2, 1), "Equal-Training": (None, None, None),
}  # fmt: skip


def made_steps(orders=ORDERS, layers=3, seed=3):
    """Rows of steps.csv for these orders of removal; a model has the same numbers in whichever walk it is."""
    rng, models, rows = np.random.default_rng(seed), {}, []
    for strategy, order in orders.items():
        for step in range(len(order) + 1):
            removed = "-".join("none" if layer is None else str(layer) for layer in order[:step])
            accuracy = models.setdefault(removed, rng.integers(60, 160, 2) / 256)
            rows.append({
                "dataset": "imdb", "seed": 0, "strategy": strategy, "step": step, "removed": removed,
                "removed_layer": order[step - 1] if step else None, "layers": layers, "test_size": 256,
                "accuracy": accuracy[0], "validation_accuracy": accuracy[1], "seconds": 1.0 + len(removed),
                "size_gb": 1 - 0.2 * step,
            })  # fmt: skip
    steps = pd.DataFrame(rows)
    return steps.assign(removed_layer=steps["removed_layer"].astype("Int64"))


def cells(ax):
    """Return the values of a heat map, (rows, columns), nan where nothing is drawn."""
    mesh = ax.collections[0]
    return np.ma.filled(mesh.get_array().astype(float), np.nan)


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


def rectangles(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---------------------------------------------------------------- paired differences


@pytest.mark.parametrize("seed", range(4))
def test_paired_difference_by_its_definition(seed):
    first, second = np.random.default_rng(seed).random((2, 50)) < [[0.7], [0.5]]
    values = unit_numbers.paired_difference(first, second)
    each = first.astype(int) - second.astype(int)
    lost, gained = (each == 1).sum(), (each == -1).sum()
    changed = lost + gained
    tail = sum(comb(changed, i) for i in range(min(lost, gained) + 1)) / 2**changed
    assert values["difference"] == pytest.approx(each.mean())
    assert values["standard_error"] == pytest.approx(each.std() / np.sqrt(50))
    assert (values["lost"], values["gained"]) == (lost, gained)
    assert values["p"] == pytest.approx(min(1, 2 * tail))


def test_paired_difference_of_equal_models_is_no_difference():
    values = unit_numbers.paired_difference([True, False, True], [True, False, True])
    assert values.tolist() == [0, 0, 0, 0, 1]


# ---------------------------------------------------------------- orders


def test_rank_correlation_leaves_out_signals_without_an_order():
    scores = made_scores(flat=["Attention-Weight"])
    correlation = unit_numbers.rank_correlation(scores)
    assert correlation["Attention-Weight"].isna().all() and correlation.loc["Attention-Weight"].isna().all()
    for a, b in itertools.combinations(scores.columns.drop("Attention-Weight"), 2):
        assert correlation.loc[a, b] == pytest.approx(stats.spearmanr(scores[a], scores[b]).statistic)


def test_agreement_is_signed_and_undefined_without_an_order():
    drops = pd.Series([0.1, 0.0, 0.0, 0.3, 0.2, 0.4])
    scores = made_scores(flat=["Weight-Sparsity"]).assign(**{"Weight-Norm": drops**3, "Weight-Entropy": -drops})
    agreement = unit_numbers.agreement(scores, drops)
    assert agreement["Weight-Norm"] == pytest.approx(1) and agreement["Weight-Entropy"] == pytest.approx(-1)
    expected = stats.spearmanr(scores["Gradient-Fisher"], drops).statistic  # with a tie in the target
    assert agreement["Gradient-Fisher"] == pytest.approx(expected)
    assert np.isnan(agreement["Weight-Sparsity"])
    assert unit_numbers.agreement(scores, drops * 0).isna().all()


def test_the_limit_of_chance_is_that_of_the_tables_of_spearman_s_rho():
    six = pd.Series([0.3, 0.1, 0.9, 0.4, 0.2, 0.5])
    limit = unit_numbers.chance_limit(six)
    assert limit == pytest.approx(0.886, abs=5e-4)  # critical values, two-sided 0.05
    assert unit_numbers.chance_limit(pd.Series(range(7))) == pytest.approx(0.786, abs=5e-4)
    assert unit_numbers.chance_limit(pd.Series(range(12))) == pytest.approx(0.587, abs=0.015)
    ranks = six.rank()
    almost = ranks.replace({1: 3, 2: 1, 3: 2})  # sum of squared differences 6: 1 - 36 / 210 = 0.829
    reached = ranks.replace({1: 2, 2: 1, 3: 4, 4: 3})  # 4: 0.886
    agreement = unit_numbers.agreement(pd.DataFrame({"almost": almost, "reached": reached}), six)
    assert agreement["almost"] < limit <= agreement["reached"]  # at the limit counts, whatever the rounding


def test_four_layers_allow_no_conclusion_and_equal_drops_no_limit():
    assert unit_numbers.chance_limit(pd.Series([1, 2, 3, 4])) == np.inf
    assert unit_numbers.chance_limit(pd.Series([1, 2, 3, 4]), level=0.1) == pytest.approx(1)
    assert np.isnan(unit_numbers.chance_limit(pd.Series([0.2, 0.2, 0.2, 0.2, 0.2])))


def test_the_limit_of_chance_is_kept_by_random_orders():
    target = made_drops(8)["test"].round(2)  # with ties
    limit = unit_numbers.chance_limit(target)
    rng = np.random.default_rng(99)
    reached = [abs(stats.spearmanr(rng.random(8), target).statistic) >= limit for _ in range(1500)]
    assert 0.02 < np.mean(reached) < 0.07


def test_effective_number_counts_independent_orders():
    same = pd.DataFrame(np.ones((5, 5)))
    assert unit_numbers.effective_number(same) == pytest.approx(1)
    signs = np.array([1, -1, 1, -1, 1])
    assert unit_numbers.effective_number(pd.DataFrame(np.outer(signs, signs))) == pytest.approx(1)
    assert unit_numbers.effective_number(pd.DataFrame(np.eye(7))) == pytest.approx(7)
    correlation = unit_numbers.rank_correlation(made_scores(4, flat=["Weight-Norm"]))
    kept = correlation.drop(index="Weight-Norm", columns="Weight-Norm")
    eigenvalues = np.linalg.eigvalsh(kept)
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert unit_numbers.effective_number(correlation) == pytest.approx(expected)
    assert expected <= 3


def test_shared_models_by_hand():
    shared = unit_numbers.shared_models(made_steps())
    assert shared["wanted"].tolist() == [6, 6, 6]
    assert shared["distinct"].tolist() == [3, 5, 5]  # {0, 2, none}, {20, 01, 21, 02, none}, the same
    assert shared.loc[1, "seconds_wanted"] == 5 * 2 + 5 and shared.loc[1, "seconds_distinct"] == 2 * 2 + 5


# ---------------------------------------------------------------- signals


def test_signal_table_says_values_spread_and_first_out():
    signals = pd.DataFrame({"Weight-Norm": [2.0, 4.0], "Activation-Inhibition": [-0.5, 0.125]}, index=[0, 3])
    choices = {"Weight-Norm": Choice(0, ties=1), "Activation-Inhibition": Choice(3, ties=2)}
    table = signal.signal_table(signals, choices)
    assert list(table.columns) == ["layer 1", "layer 4", "spread", "first out"]
    assert table.loc["Weight-Norm"].tolist() == ["2", "4", "50.00%", "layer 1"]
    assert table.loc["Activation-Inhibition"].tolist() == ["-0.5", "0.125", "125.00%", "layer 4 (drawn from 2)"]


def test_signal_map_has_standardised_colours_and_places():
    flat = ["Weight-Sparsity", "Attention-Weight"]
    scores = made_scores(flat=flat)
    figure, alt = signal.signal_map(scores, ("Weight-Sparsity", "Activation-Inhibition"), scores.idxmin())
    ax = figure.axes[0]
    values = cells(ax)
    texts = [text.get_text() for text in ax.texts if text.get_text().isdigit()]
    kept = [name for name in SIGNALS if name not in flat]
    for row, name in enumerate(SIGNALS):
        if name in flat:
            assert np.isnan(values[row]).all()
        else:
            np.testing.assert_allclose(values[row], stats.zscore(scores[name]))
    places = [stats.rankdata(scores[name]).astype(int) for name in kept]
    assert texts == [str(place) for row in places for place in row]
    assert [patch.get_y() for patch in rectangles(ax)] == [SIGNALS.index(name) for name in flat]
    assert sum(text.get_text() == "the same in every layer" for text in ax.texts) == 2
    reversed_ = {"Weight-Sparsity": "Weight-Sparsity (reversed)", "Activation-Inhibition": "Activation-Inhibition (reversed)"}
    assert ticks(ax.yaxis) == [reversed_.get(name, name) for name in SIGNALS] and ticks(ax.xaxis) == list("123456")
    votes = scores[kept].idxmin().value_counts()
    assert f"first out for {votes.max()} of 10" in alt and "No order: Weight-Sparsity, Attention-Weight." in alt


@pytest.mark.parametrize(("firsts", "said"), [
    ([2, 2, 0], " Layer 3 is first out for 2 of 3."), ([2, 1, 0], " Layers 1, 2 and 3 are each first out for 1 of 3."),
    ([1, 1, 1], " Layer 2 is first out for 3 of 3."),
])  # fmt: skip
def test_signal_map_counts_the_layers_that_go_where_scores_tie(firsts, said):
    scores = pd.DataFrame({"Weight-Norm": [0.0, 0.0, 0.0, 1.0], "Weight-Entropy": [1.0, 1.0, 1.0, 2.0], "Gradient-Fisher": [0.0, 0.0, 0.0, 5.0]})
    alt = signal.signal_map(scores, (), dict(zip(scores, firsts)))[1]
    assert alt == f"Importance of 4 layers by 3 signals.{said}"
    assert signal.signal_map(scores, (), {})[1] == "Importance of 4 layers by 3 signals.", "a walk that ends there removes nothing"


def test_signal_map_leaves_blank_what_is_not_a_number():
    scores = made_scores()
    scores["Weight-Norm"], scores.loc[3:, "Weight-Entropy"] = np.nan, np.nan
    figure, alt = signal.signal_map(scores, (), scores.fillna(9).idxmin())
    figure.canvas.draw()
    (ax, _), row = figure.axes, {name: place for place, name in enumerate(SIGNALS)}
    assert np.isnan(cells(ax)[row["Weight-Norm"]]).all() and np.isnan(cells(ax)[row["Weight-Entropy"]]).tolist() == [False] * 3 + [True] * 3
    texts = [text.get_text() for text in ax.texts]
    assert "nan" not in texts and texts.count("not a number in any layer") == 1 and len(texts) == 10 * 6 + 3 + 1
    assert alt.endswith(" of 11. No order: Weight-Norm.")
    assert signal.signal_map(scores * np.nan, (), {})[1] == f"Importance of 6 layers by 12 signals. No order: {', '.join(SIGNALS)}."


def test_signals_without_an_order_amount_to_an_undefined_number_of_orders():
    correlation = unit_numbers.rank_correlation(made_scores() * np.nan)
    alt = signal.correlation_map(correlation)[1]
    assert alt.startswith("Rank correlations of 0 pairs of signals; the number of independent orders is undefined. No order: ")


def test_correlation_map_is_the_lower_triangle_with_grey_where_there_is_no_order():
    scores = made_scores(flat=["Task-Relevance-MI"])
    correlation = unit_numbers.rank_correlation(scores)
    figure, alt = signal.correlation_map(correlation)
    ax = figure.axes[0]
    values = cells(ax)
    assert ticks(ax.yaxis) == list(SIGNALS[1:]) and ticks(ax.xaxis) == list(SIGNALS[:-1])
    for row, column in np.ndindex(values.shape):
        a, b = SIGNALS[row + 1], SIGNALS[column]
        if column > row or "Task-Relevance-MI" in (a, b):
            assert np.isnan(values[row, column])
        else:
            assert values[row, column] == pytest.approx(stats.spearmanr(scores[a], scores[b]).statistic)
    grey = {(SIGNALS[int(patch.get_y()) + 1], SIGNALS[int(patch.get_x())]) for patch in rectangles(ax)}
    assert grey == {pair[::-1] for pair in itertools.combinations(SIGNALS, 2) if "Task-Relevance-MI" in pair}
    number = unit_numbers.effective_number(correlation)
    assert "55 pairs" in alt and f"{number:.1f} independent orders" in alt


def test_agreement_chart_shows_both_splits_chance_and_ceiling():
    agreement = pd.DataFrame(np.linspace(-0.95, 0.95, 24).reshape(12, 2), SIGNALS, ["test", "validation"])
    figure, alt = signal.agreement_chart(agreement, 0.886, 0.7, 6, ["Attention-Entropy"])
    (ax,) = figure.axes
    lines = {line.get_label(): line for line in ax.lines}
    for split in agreement:
        np.testing.assert_allclose(lines[f"drop on {split}"].get_xdata(), agreement[split])
        beside = {"test": -0.16, "validation": 0.16}[split]  # lest one hides the other where both are equal
        np.testing.assert_allclose(lines[f"drop on {split}"].get_ydata(), np.arange(12) + beside)
    assert [name for name in ticks(ax.yaxis) if "reversed" in name] == ["Attention-Entropy (reversed)"]
    (band,) = rectangles(ax)
    assert (band.get_x(), band.get_width()) == pytest.approx((-0.886, 2 * 0.886))
    ceiling = next(line for line in ax.lines if line.get_linestyle() == "--")
    assert ceiling.get_xdata()[0] == 0.7
    assert legend(ax)[2] == "chance: 95 % of random orders" and "n = 6 layers" in ax.get_xlabel()
    assert alt.endswith("Beyond chance on test: Activation-Inhibition.")


@pytest.mark.parametrize(("limit", "text", "width"), [
    (np.inf, "chance: with 4 layers even ±1 has p > 0.05", 2 * signal.EDGE),
    (np.nan, "all drops are equal: no order to agree with", 0),
])  # fmt: skip
def test_agreement_chart_says_when_nothing_can_be_concluded(limit, text, width):
    agreement = pd.DataFrame(1.0, SIGNALS, ["test", "validation"])
    figure, alt = signal.agreement_chart(agreement, limit, np.nan, 4, [])
    (ax,) = figure.axes
    assert text in legend(ax) and rectangles(ax)[0].get_width() == pytest.approx(width)
    assert not any(line.get_linestyle() == "--" for line in ax.lines)
    assert alt.endswith("Beyond chance on test: none.")


# ---------------------------------------------------------------- ablation


@pytest.mark.parametrize("layers", [4, 6, 12])
def test_prefix_diagram_runs_each_layer_above_the_skipped_one(layers):
    figure, alt = unit.prefix_diagram(layers)
    ax = figure.axes[0]
    figure.canvas.draw()
    colours = [to_hex(colour) for colour in ax.collections[0].get_facecolors()]
    own = {divmod(place, layers) for place, colour in enumerate(colours) if colour == unit.OWN}
    assert own == {(skipped, layer) for skipped in range(layers) for layer in range(skipped + 1, layers)}
    assert colours.count(unit.SHARED) == len(own) == layers * (layers - 1) / 2
    assert f"takes {len(own)} layer passes of its own, not {layers * (layers - 1)}." in alt


def test_drop_chart_counts_many_layers_at_one_point():
    drops = pd.DataFrame(0.0, range(12), ["test", "validation"])
    drops.loc[7] = 0.25
    figure, _ = unit.drop_chart(drops, drops + 0.01)
    assert sorted(text.get_text() for text in figure.axes[1].texts) == ["11 layers", "8"]


@pytest.mark.parametrize(("drops", "said"), [
    ([0.1, 0.3, 0.2], "30.0 points (layer 2)"), ([0.3, 0.3, 0.2], "30.0 points (layer 1 and layer 2)"), ([0.0] * 3, "0.0 points (all 3 alike)"),
])  # fmt: skip
def test_drop_chart_names_all_layers_of_the_largest_drop(drops, said):
    table = pd.DataFrame({"test": drops, "validation": drops})
    assert f"on test at most {said};" in unit.drop_chart(table, 0 * table)[1]


def test_drop_chart_has_points_and_standard_errors_in_accuracy_points():
    drops = made_drops()
    drops.loc[4] = drops.loc[1]
    drops.loc[2, "test"] = -0.5  # a large gain is not near zero either
    errors = pd.DataFrame(np.linspace(0.01, 0.06, 12).reshape(6, 2), columns=drops.columns)
    figure, alt = unit.drop_chart(drops, errors)
    left, right = figure.axes
    for bars, split, shift in zip(left.containers, drops, (-0.12, 0.12)):
        points, _, (segments,) = bars
        np.testing.assert_allclose(points.get_xydata()[:, 0], np.arange(1, 7) + shift)
        np.testing.assert_allclose(points.get_xydata()[:, 1], 100 * drops[split])
        lengths = [segment[1][1] - segment[0][1] for segment in segments.get_segments()]
        np.testing.assert_allclose(lengths, 200 * errors[split])
    points, _, whiskers = right.containers[0]
    np.testing.assert_allclose(points.get_xydata(), 100 * drops)
    for segments, split in zip(whiskers, drops):  # along x, then along y
        lengths = [np.abs(np.subtract(*segment)).max() for segment in segments.get_segments()]
        np.testing.assert_allclose(lengths, 200 * errors[split])
    assert sorted(text.get_text() for text in right.texts) == ["1", "2, 5", "3", "4", "6"]
    near = (drops["test"].abs() <= 2 * errors["test"]).sum()
    assert f"(layer {drops['test'].argmax() + 1}); {near} drops" in alt


# ---------------------------------------------------------------- walks


@pytest.mark.parametrize(("orders", "models"), [(ORDERS, 13), (CROSSED, 3 + 5 + 6 + 6)])
def test_walk_tree_has_one_block_per_model_as_high_as_its_walks(orders, models):
    depth = len(orders["Random"])
    figure, alt = unit.walk_tree(made_steps(orders, layers=depth))
    (ax,) = figure.axes
    rows = ticks(ax.yaxis)
    drawn = {}
    for patch, text in zip(rectangles(ax), ax.texts):
        step, first = round(patch.get_x() + 0.5), int(patch.get_y())
        walks = frozenset(rows[first:first + int(patch.get_height())])
        drawn[step, walks] = text.get_text()
        assert text.get_position() == (step, first + len(walks) / 2)
    expected = {}
    for step in range(1, depth + 1):
        for path in {order[:step] for order in orders.values()}:
            walks = frozenset(name for name, order in orders.items() if order[:step] == path)
            expected[step, walks] = "–" if path[-1] is None else str(path[-1] + 1)
    assert drawn == expected
    assert rows[-1] == "Equal-Training"
    assert alt == f"6 walks of up to {depth} steps ask for {6 * depth} models, of which {models} are distinct."


def test_walk_tree_leaves_out_the_families():
    steps = made_steps()
    family = steps[steps["strategy"] == "Weight-Norm"].assign(strategy="One-Shot", removed_layer=None)
    figure, alt = unit.walk_tree(pd.concat([steps, family, family.assign(strategy="Exact-Best")]))
    assert sorted(ticks(figure.axes[0].yaxis)) == sorted(ORDERS)
    assert alt == unit.walk_tree(steps)[1]


def test_walk_tree_writes_readable_numbers_and_gives_a_layer_one_colour():
    orders = {"Weight-Norm": tuple(range(12)), "Weight-Entropy": tuple(reversed(range(12)))}
    figure, _ = unit.walk_tree(made_steps(orders, layers=12))
    (ax,) = figure.axes
    colours = {}
    for patch, text in zip(rectangles(ax), ax.texts):
        colours.setdefault(text.get_text(), set()).add(patch.get_facecolor())
        background, ink = (np.dot(to_rgb(c), (0.2126, 0.7152, 0.0722)) for c in (patch.get_facecolor(), text.get_color()))
        assert abs(background - ink) > 0.35
    assert len(colours) == 12 and all(len(used) == 1 for used in colours.values())
    assert len({next(iter(used)) for used in colours.values()}) == 12


def test_selection_chart_shows_the_maximum_and_the_depth_chosen_on_validation():
    steps = made_steps()
    figure, alt = unit.selection_chart(steps)
    (ax,) = figure.axes
    best, chosen = (np.ma.getdata(points.get_offsets()) for points in ax.collections[1:3])
    rows = dict(zip(ticks(ax.yaxis), ax.get_yticks()))
    gaps = {}
    for name, row in rows.items():
        walk = steps[(steps["strategy"] == name) & (steps["step"] > 0)].sort_values("step", ascending=False)
        maximum = 100 * walk["accuracy"].max()
        honest = 100 * walk["accuracy"].iloc[walk["validation_accuracy"].argmax()]
        assert best[best[:, 1] == row][0, 0] == pytest.approx(maximum)
        assert chosen[chosen[:, 1] == row][0, 0] == pytest.approx(honest)
        gaps[name] = maximum - honest
    original = steps.loc[steps["step"] == 0, "accuracy"].iloc[0]
    error = np.sqrt(original * (1 - original) / 256)
    (band,) = rectangles(ax)
    assert (band.get_x(), band.get_width()) == pytest.approx((100 * (original - error), 200 * error))
    assert f"adds {np.mean(list(gaps.values())):.1f} points" in alt
    assert f"at most {max(gaps.values()):.1f} ({max(gaps, key=gaps.get)})" in alt


def test_where_no_depth_was_luck_no_strategy_had_most_of_it():
    steps = made_steps()
    alt = unit.selection_chart(steps.assign(validation_accuracy=steps["accuracy"]))[1]
    assert alt.endswith("adds 0.0 points, mean over 6 strategies, at most 0.0 (all 6 alike).")


# ---------------------------------------------------------------- several settings


@pytest.mark.parametrize(("accuracies", "said"), [
    ([50.0, 60.0, 55.0], "at most 60.0 % (Random-Forest, 2 removed)"), ([60.0, 60.0, 55.0], "at most 60.0 % (Random, 1 removed and Random-Forest, 2 removed)"),
    ([60.0, np.nan, 60.0], "at most 60.0 % (Random, 1 removed and Random-Forest, 3 removed)"), ([50.0] * 3, "at most 50.0 % (all 3 alike)"),
])  # fmt: skip
def test_curves_of_a_setting_name_all_models_of_the_highest_accuracy(accuracies, said):
    table = pd.DataFrame({"strategy": ["Random", "Random-Forest", "Random-Forest"], "step": [1, 2, 3], "accuracy": accuracies, "error": 1.0})
    assert explore.settings_curves({"this": table}, {})[1] == f"Accuracy against layers removed. this: {said}."
    control = table.replace({"strategy": {"Random-Forest": "Equal-Training"}})  # it loses no layer
    as_control = re.sub(r"Random-Forest, (.) removed", r"Equal-Training, \1 rounds", said)
    assert explore.settings_curves({"this": control}, {})[1] == f"Accuracy against layers removed. this: {as_control}."


# ---------------------------------------------------------------- all sets


def made_subsets(layers, drawn):
    sets = [gone for size in range(layers + 1) for gone in itertools.combinations(range(layers), size)][:drawn - 1] + [tuple(range(layers))]
    rows = pd.DataFrame({"removed": ["-".join(map(str, gone)) for gone in sets], "size": list(map(len, sets))})
    return rows.assign(accuracy_test=np.linspace(0.9, 0.1, len(sets))), {len(gone): gone for gone in sets[::-1]}


@pytest.mark.parametrize("drawn", [8, 7, 4])
def test_the_cloud_speaks_of_all_sets_where_all_were_run(drawn):
    figure, alt = subsets.cloud(*made_subsets(3, drawn))
    said = " ".join(legend(figure.axes[0]))
    assert ("mean of all sets of the size (Random)" in said) == ("best set on validation (Exact-Best)" in said) == (drawn == 8)
    assert ("mean of all sets drawn of the size (Random)" in said) == ("best on validation of the sets drawn (Exact-Best)" in said) == (drawn < 8)
    assert alt.startswith(f"Accuracy of the model without each of {drawn} sets of layers{'' if drawn == 8 else ' drawn'}; of the best ")


@pytest.mark.parametrize(("regret", "said"), [
    ([[1.0, 3.0], [0.0, 0.5]], "all sizes: least b 0.2 points, most a 2.0."), ([[0.0, 0.0], [0.0, 0.0]], "all sizes: 0.0 points for all 2 alike."),
    ([[1.0, 3.0], [1.0, 3.0], [0.0, 1.0]], "all sizes: least c 0.5 points, most a and b 2.0."),
    ([[1.0, np.nan], [0.0, 0.5]], "the sizes of which its set was drawn: least b 0.2 points, most a 1.0."),
])  # fmt: skip
def test_regret_curves_say_ties_and_which_sizes(regret, said):
    table = pd.DataFrame(regret, index=list("abc")[: len(regret)], columns=[1, 2]).rename_axis("method").rename_axis(columns="size")
    figure, alt = subsets.regret_curves(table.stack().dropna().rename("regret_test").reset_index())
    assert alt == f"Mean regret over {said}"
    assert ("over all sizes" in figure.axes[1].get_xlabel()) == ("all sizes" in said) == ("the best set of each size" in legend(figure.axes[1])[0])


@pytest.mark.parametrize(("values", "said"), [
    ([0.1, 0.3, -0.2], "Layer 2 has the highest Shapley value, 30.0 points on validation; layer 3 the lowest, -20.0."),
    ([0.3, 0.3, -0.2], "Layer 1 and layer 2 have the highest Shapley value, 30.0 points on validation; layer 3 the lowest, -20.0."),
    ([0.3, 0.1, 0.1], "Layer 1 has the highest Shapley value, 30.0 points on validation; layer 2 and layer 3 the lowest, 10.0."),
    ([0.1] * 3, "The Shapley value on validation is 10.0 points (all 3 alike)."), ([0.1], "The Shapley value on validation is 10.0 points (layer 1)."),
])  # fmt: skip
def test_shapley_bars_name_all_of_the_highest_value(values, said):
    pairs = pd.DataFrame(np.where(np.eye(len(values)), np.nan, 0.01))
    table = pd.DataFrame({"layer": range(len(values)), "accuracy_validation": values, "accuracy_test": values})
    assert subsets.shapley_bars(table, pairs)[1] == said


@pytest.mark.parametrize(("after", "said"), [([0.5, 0.6, 0.9], "rank correlation +1.00."), ([0.5] * 3, "rank correlation undefined."), ([0.5], "rank correlation undefined.")])
def test_before_and_after_of_too_few_or_equal_models_have_no_correlation(after, said):
    pairs = pd.DataFrame({"size": 1, "before": [0.1, 0.2, 0.3][: len(after)], "after": after})
    assert subsets.before_after(pairs, {})[1].endswith(said)


# ---------------------------------------------------------------- looks


@pytest.mark.parametrize("layers", [4, 12])
def test_nothing_is_clipped_and_every_figure_has_its_alt_text(layers):
    scores, drops = made_scores(layers, flat=["Weight-Sparsity"]), made_drops(layers)
    agreement = pd.DataFrame({split: unit_numbers.agreement(scores, drops[split]) for split in drops})
    rng = np.random.default_rng(5)
    steps = made_steps({name: tuple(rng.permutation(layers)) for name in ("Random", *SIGNALS)}, layers)
    shown = [
        signal.signal_map(scores, SIGNALS, scores.idxmin()), signal.correlation_map(unit_numbers.rank_correlation(scores)),
        signal.agreement_chart(agreement, 0.6, 0.5, layers, SIGNALS), unit.prefix_diagram(layers),
        unit.drop_chart(drops, drops.abs() / 3), unit.walk_tree(steps),
        unit.selection_chart(steps),
    ]  # fmt: skip
    for figure, alt in shown:
        figure.draw_without_rendering()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(box.x0, box.y0) > -0.01 and box.x1 < width + 0.01 and box.y1 < height + 0.01, alt
        assert alt.endswith(".") and any(digit.isdigit() for digit in alt)


def test_the_pairs_that_are_most_alike_and_most_opposed():
    scores = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 30.0], "c": [3.0, 1.0, 2.0]})
    said = unit_numbers.most_alike(unit_numbers.rank_correlation(scores), 3)
    assert said == "Most alike: a–b (+1.00); most opposed: a–c and b–c (-0.50)."
    assert unit_numbers.most_alike(unit_numbers.rank_correlation(scores[:1]), 1) == "No correlation is possible with 1 layer."


def test_the_energy_of_a_layers_last_norm():
    layer = torch.nn.Sequential(torch.nn.LayerNorm(2), torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    with torch.no_grad():
        layer[2].weight.copy_(torch.tensor([1.0, 3.0]))
        layer[2].bias.copy_(torch.tensor([0.0, 2.0]))
    assert unit_numbers.norm_energy(layer) == 5.0 + 2.0
    assert unit_numbers.norm_energy(torch.nn.Sequential(torch.nn.LayerNorm(2, bias=False))) == 1.0
