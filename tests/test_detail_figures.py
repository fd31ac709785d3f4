"""Figures of one dataset and seed: what is drawn is what went in, and the alt text names the main numbers."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")

from paperlib.figures import detail, drawing  # noqa: E402
from paperlib.names import FUSERS, SIGNALS  # noqa: E402

RNG = np.random.default_rng(5)
LAYERS = pd.Index([0, 2, 3, 5], name="layer")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def line(ax, name):
    return next(each for each in ax.get_lines() if each.get_label() == name)


def made_features():
    return pd.DataFrame(RNG.normal(size=(4, 12)), index=LAYERS, columns=list(SIGNALS))


def made_targets():
    drops = {"test": [0.02, -0.01, 0.05, 0.0], "validation": [0.01, 0.0, 0.04, 0.02]}
    return pd.DataFrame(drops, index=LAYERS)


def made_fusion(steps=3):
    rows = [
        {"strategy": fuser, "step": step, "signal": signal, "weight": RNG.normal()}
        for fuser in FUSERS for step in range(1, steps + 1) for signal in SIGNALS
    ]  # fmt: skip
    return pd.DataFrame(rows)


def made_orders(tests=("Random-All", "Random-Inner"), depth=4):
    rows = []
    for test in tests:
        last = depth - 2 if test == "Random-Inner" else depth
        for repeat in range(3):
            accuracies = [0.97, *RNG.integers(50, 90, last) / 100]  # the original model's must not count
            rows += [{"test": test, "repeat": repeat, "step": step, "accuracy": accuracy}
                     for step, accuracy in enumerate(accuracies)]  # fmt: skip
    return pd.DataFrame(rows)


NAMES = {"Random-All": "Random4 (all layers)", "Random-Inner": "Random2 (inner layers)"}


def test_signal_matrix_shows_every_signal_and_target_at_its_layer():
    features, targets = made_features(), made_targets()
    figure, alt = detail.signal_matrix(features, targets)
    heat, bars = figure.axes[:2]
    assert np.allclose(heat.collections[0].get_array().reshape(4, 12), features)
    assert [text.get_text() for text in heat.get_yticklabels()] == ["1", "3", "4", "6"]
    assert [text.get_text() for text in heat.get_xticklabels()] == list(SIGNALS)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([2, -1, 5, 0])
    assert line(bars, "validation").get_xdata() == pytest.approx([1, 0, 4, 2])
    assert line(bars, "validation").get_ydata() == pytest.approx([0.5, 1.5, 2.5, 3.5])
    assert "-1.0 points (layer 3)" in alt and "+5.0 (layer 4)" in alt


@pytest.mark.parametrize(("drops", "text"), [
    ([0.02, 0.02, -0.01, 0.02], "from -1.0 points (layer 4) to +2.0 (layer 1, layer 3 and layer 6)."),
    ([0.0] * 4, "from +0.0 points (all 4 alike) to +0.0 (all 4 alike)."),
    ([np.nan] * 4, "from undefined points (none) to undefined (none)."),
])  # fmt: skip
def test_signal_matrix_names_no_layer_alone_that_others_equal(drops, text):
    features = made_features().assign(**{SIGNALS[0]: np.nan})
    assert detail.signal_matrix(features, made_targets().assign(test=drops))[1].endswith(text)


def test_predictions_in_points_with_errors_in_the_alt_text():
    table = pd.DataFrame({"target": [0.0, 0.02], "fitted": [0.0, 0.02], "left_out": [0.01, 0.0]})
    figure, alt = detail.predictions({"Linear-Regression": table})
    ax = figure.axes[0]
    assert line(ax, "layer seen by the fit").get_ydata() == pytest.approx([0, 2])
    assert line(ax, "layer left out").get_ydata() == pytest.approx([1, 0])
    assert line(ax, "layer left out").get_xdata() == pytest.approx([0, 2])
    assert f"0.00 seen, {np.sqrt((1 + 4) / 2):.2f} left out" in alt
    assert detail.predictions({"Linear-Regression": table.assign(left_out=np.nan)})[1].endswith("0.00 seen, undefined left out.")


def test_fit_quality_draws_both_measures_by_step():
    fits = pd.DataFrame({"strategy": [FUSERS[0]] * 2 + [FUSERS[1]] * 2, "step": [1, 2, 1, 2],
                         "r2": [1.0, 1.0, 0.8, 0.7], "spearman_loo": [0.1, -0.3, 0.5, np.nan]})  # fmt: skip
    figure, alt = detail.fit_quality(fits)
    sample, left_out = figure.axes
    assert list(line(sample, FUSERS[1]).get_ydata()) == [0.8, 0.7]
    assert list(line(left_out, FUSERS[0]).get_ydata()) == [0.1, -0.3]
    assert line(sample, FUSERS[1]).get_color() == drawing.COLOURS[FUSERS[1]]
    assert "Linear-Regression 1.00 and -0.10" in alt and "Random-Forest 0.75 and +0.50" in alt


def test_fit_quality_says_when_nothing_is_defined():
    fits = pd.DataFrame({"strategy": list(FUSERS), "step": [1, 1], "r2": np.nan, "spearman_loo": np.nan})
    figure, alt = detail.fit_quality(fits)
    assert all("undefined" in ax.texts[0].get_text() for ax in figure.axes)
    assert alt.endswith("Linear-Regression undefined and undefined; Random-Forest undefined and undefined.")


def test_weights_are_scaled_by_each_steps_largest():
    fusion = made_fusion()
    one = fusion[fusion["strategy"] == FUSERS[0]]
    table = detail.scaled_by_step(one)
    assert list(table.index) == list(SIGNALS) and np.allclose(table.abs().max(), 1)
    second = one[one["step"] == 2].set_index("signal")["weight"]
    assert np.allclose(table[2], second / second.abs().max())
    figure, alt = detail.weights_by_step(fusion)
    assert np.allclose(figure.axes[0].collections[0].get_array().reshape(12, 3), table)
    leaders = {one[one["step"] == step].set_index("signal")["weight"].abs().idxmax() for step in (1, 2, 3)}
    assert f"{len(leaders)} in {FUSERS[0]}" in alt


def test_weights_of_a_constant_target_stay_zero():
    fusion = made_fusion().assign(weight=0.0)
    assert (detail.scaled_by_step(fusion[fusion["strategy"] == FUSERS[0]]) == 0).all(axis=None)
    assert detail.weights_by_step(fusion)[1].endswith("signals that lead at some step: 0 in Linear-Regression, 0 in Random-Forest.")
    fusion.loc[fusion["signal"].isin(SIGNALS[:2]) & (fusion["step"] == 1), "weight"] = [-1.0, 1.0, 0.5, 0.5]
    assert detail.weights_by_step(fusion)[1].endswith("2 in Linear-Regression, 2 in Random-Forest."), "two of one size lead both"
    assert detail.weights_by_step(fusion.assign(weight=-1.0))[1].endswith("0 in Linear-Regression, 0 in Random-Forest.")


def test_loss_curves_have_a_panel_and_a_scale_each():
    curve = pd.DataFrame({"model": ["distilled"] * 4 + ["ce_control"] * 4, "step": [1, 2, 3, 4] * 2,
                          "loss": [2.0, 1.5, 1.2, 1.0, 0.4, 0.3, 0.2, 0.1]})  # fmt: skip
    figure, alt = detail.loss_curves(curve)
    assert list(line(figure.axes[0], "one batch").get_ydata()) == [2.0, 1.5, 1.2, 1.0]
    assert list(line(figure.axes[1], "one batch").get_ydata()) == [0.4, 0.3, 0.2, 0.1]
    assert figure.axes[0].get_ylim()[1] != figure.axes[1].get_ylim()[1]
    assert "4 steps" in alt and "distilled from 2.00 to 1.00" in alt


@pytest.mark.parametrize(("losses", "limit", "text"), [
    ([np.nan] * 4, 1, "from undefined to undefined"), ([2.0, np.nan, np.inf, 1.0], 2.1, "from 2.00 to 1.00"),
    ([2.0, 1.0, np.nan, np.nan], 2.1, "from 2.00 to undefined"), ([0.0] * 4, 1, "from 0.00 to 0.00"),
])  # fmt: skip
def test_the_loss_of_a_training_that_diverged_is_drawn_as_far_as_it_is_a_number(losses, limit, text):
    curve = pd.DataFrame({"model": ["distilled"] * 4 + ["ce_control"] * 4, "step": [1, 2, 3, 4] * 2, "loss": losses + [0.4, 0.3, 0.2, 0.1]})
    figure, alt = detail.loss_curves(curve)
    figure.canvas.draw()
    assert figure.axes[0].get_ylim() == pytest.approx((0, limit))
    assert [note.get_text() for note in figure.axes[0].texts] == ["undefined: the loss is no number"] * (text == "from undefined to undefined")
    assert f"distilled {text}, ce_control from 0.40 to 0.10;" in alt


def test_model_accuracies_with_binomial_errors():
    models = pd.DataFrame({"model": ["teacher", "distilled"], "accuracy": [0.5, 0.8],
                           "validation_accuracy": [0.6, 0.7]})  # fmt: skip
    figure, alt = detail.model_accuracies(models, {"test": 100, "validation": 400})
    test, validation = figure.axes[0].containers
    assert list(test.lines[0].get_xdata()) == [50, 80] and list(validation.lines[0].get_xdata()) == [60, 70]
    whiskers = [[np.ptp(segment[:, 0]) / 2 for segment in np.array(drawn.lines[2][0].get_segments())]
                for drawn in (test, validation)]  # fmt: skip
    assert whiskers[0] == pytest.approx([5, 4])
    assert whiskers[1] == pytest.approx([100 * np.sqrt(0.24 / 400), 100 * np.sqrt(0.21 / 400)])
    assert alt == "Test accuracy: original 50.0 %, pruned + distilled 80.0 %."


def test_random_orders_draws_every_walk_and_every_maximum():
    orders, informed = made_orders(), pd.Series([0.6, 0.7, 0.95, 0.9, 0.2])
    figure, alt = detail.random_orders(orders, informed, NAMES)
    for ax, test in zip(figure.axes, NAMES):
        grey = [each.get_ydata() for each in ax.get_lines() if each.get_color() == "#8c8c8c"]
        walks = orders[orders["test"] == test].groupby("repeat")["accuracy"]
        wanted = [100 * walk.to_numpy() for _, walk in walks]
        assert len(grey) == 3 and all(map(np.allclose, grey, wanted))
    strip = figure.axes[2]
    maxima = orders.query("step > 0").groupby(["test", "repeat"])["accuracy"].max()
    dots = [each for each in strip.get_lines() if each.get_marker() == "o"]
    for drawn, test in zip(dots, NAMES):
        assert sorted(drawn.get_ydata()) == pytest.approx(sorted(100 * maxima[test]))
    assert any(np.allclose(each.get_ydata(), 95) for each in strip.get_lines())
    assert "Random-Forest 95.0 %" in alt and f"{100 * maxima['Random-All'].mean():.1f} %" in alt


def test_equal_maxima_lie_side_by_side():
    orders = made_orders(("Random-All",)).assign(accuracy=0.5)
    figure, _ = detail.random_orders(orders, pd.Series([0.4, 0.6]), NAMES)
    dots = next(each for each in figure.axes[1].get_lines() if each.get_marker() == "o")
    assert len(set(dots.get_xdata())) == 3 and np.mean(dots.get_xdata()) == pytest.approx(0)


@pytest.mark.parametrize("layers", [4, 12])
def test_nothing_is_cut_off(layers, tmp_path):
    features = pd.DataFrame(RNG.normal(size=(layers, 12)), columns=list(SIGNALS))
    targets = pd.DataFrame({"test": RNG.normal(size=layers) / 50, "validation": RNG.normal(size=layers) / 50})
    informed = pd.Series(np.linspace(0.5, 0.9, layers + 1))
    drawn = [
        detail.signal_matrix(features, targets),
        detail.weights_by_step(made_fusion(layers - 1)),
        detail.random_orders(made_orders(depth=layers), informed, NAMES),
    ]
    for number, (figure, alt) in enumerate(drawn):
        figure.canvas.draw()
        edge = figure.get_tightbbox()
        assert edge.x0 >= -0.02 and edge.y0 >= -0.02, number
        assert edge.x1 <= figure.get_figwidth() + 0.02 and edge.y1 <= figure.get_figheight() + 0.02, number
        drawing.save(figure, tmp_path, f"drawn{number}", alt)
