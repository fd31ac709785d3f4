"""Figures of one dataset and seed, behind Figures 5, 6 and 8: what fusers see, losses, random orders."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paperlib.common.messages import count
from paperlib.evidence.sentences import ALIKE, defined, leaders
from paperlib.evidence.statistics import sampling_error
from paperlib.figures.drawing import (
    COLOURS,
    DIVERGING,
    STYLE,
    UNKNOWN_COLOUR,
    label,
    legend_above,
    line_look,
)
from paperlib.figures.fusion import FOREST, MODELS, ORDERS

GREY = "#8c8c8c"
OPEN = {"markerfacecolor": "white", "linestyle": "none", "marker": "o"}
LOSSES = {
    "distilled": "distilled: $\\alpha L_{CE} + (1-\\alpha) L_{KD}$",
    "ce_control": "control: $L_{CE}$ alone",
}


@plt.rc_context(STYLE)
def signal_matrix(features: pd.DataFrame, targets: pd.DataFrame) -> tuple[Figure, str]:
    """Draw what a fuser sees: standardised signals (layers, 12) as a heat map, beside the accuracy drops.

    `targets` (layers, splits) are fractions, drawn in points; its first column as bars, others as open dots.
    """
    rows = len(features)
    size = (7.6, 2.5 + 0.27 * rows)
    figure, (left, right) = plt.subplots(1, 2, figsize=size, sharey=True, width_ratios=[3, 1.3])
    limit = max(1.0, features.abs().max().max())
    bar = {"location": "left", "label": "standard deviations\nfrom the layers' mean", "aspect": 14}
    seaborn.heatmap(features, ax=left, cmap=DIVERGING, vmin=-limit, vmax=limit, linewidths=0.4, cbar_kws=bar)
    left.set(xlabel="", ylabel="encoder layer", title="signals $X$, standardised over the layers")
    names = [label(name) for name in features]
    left.set_xticks(np.arange(len(names)) + 0.5, names, rotation=45, ha="right")
    left.set_yticks(np.arange(rows) + 0.5, [layer + 1 for layer in features.index], rotation=0)
    _target_bars(right, 100 * targets)
    left.tick_params(length=0)
    drops = 100 * targets.iloc[:, 0].rename(lambda layer: f"layer {layer + 1}")
    return figure, (f"Heat map of {len(names)} standardised signals of {rows} layers, beside the accuracy "
                    f"drop when each is skipped: from {defined(drops.min(), '+.1f')} points ({leaders(-drops)}) "
                    f"to {defined(drops.max(), '+.1f')} ({leaders(drops)}).")


@plt.rc_context(STYLE)
def predictions(tables: dict[str, pd.DataFrame]) -> tuple[Figure, str]:
    """Draw predicted against measured accuracy drop (points), a panel per fuser: layers seen, and left out.

    `tables`: fuser -> columns target, fitted, left_out (`comparisons.guesses`).
    """
    size = (3.7 * len(tables), 3.9)
    figure, axes = plt.subplots(1, len(tables), figsize=size, sharex=True, sharey=True, squeeze=False)
    errors = []
    for ax, (fuser, table) in zip(axes.flat, tables.items()):
        points, colour = 100 * table, COLOURS.get(fuser, UNKNOWN_COLOUR)
        seen = {"linestyle": "none", "marker": "o", "markersize": 4.5, "label": "layer seen by the fit"}
        unseen = {**OPEN, "markersize": 6, "label": "layer left out"}
        ax.plot(points["target"], points["left_out"], color=colour, **unseen)
        ax.plot(points["target"], points["fitted"], color=colour, **seen)
        ax.axline((points["target"].mean(),) * 2, slope=1, color="grey", linewidth=0.8, zorder=1)
        ax.set(xlabel="measured drop (points)", ylabel="predicted drop (points)" if ax is axes[0, 0] else "")
        legend_above(ax, ax.get_legend_handles_labels()[0], title=fuser)
        error = (points[["fitted", "left_out"]].sub(points["target"], axis=0) ** 2).mean() ** 0.5
        errors.append(f"{fuser} {defined(error['fitted'], '.2f')} seen, {defined(error['left_out'], '.2f')} left out")
    return figure, ("Predicted against measured accuracy drop; root mean square error in points: "
                    f"{'; '.join(errors)}.")


@plt.rc_context(STYLE)
def fit_quality(fits: pd.DataFrame) -> tuple[Figure, str]:
    """Draw each fuser's R2 in sample, and rank correlation for layers left out, by step (fusion_fit.csv)."""
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), sharex=True)
    titles = {"r2": "in sample: $R^2$", "spearman_loo": "layer left out: Spearman correlation"}
    for ax, (column, title) in zip(axes, titles.items()):
        for fuser, rows in fits.groupby("strategy", sort=False):
            ax.plot(rows["step"], rows[column], label=fuser, **line_look(fuser))
        ax.axhline(0, color="grey", linewidth=0.8, zorder=1)
        ax.set(xlabel="step (layer chosen by this fit)", title=title)
        ax.xaxis.get_major_locator().set_params(integer=True)
        if fits[column].isna().all():
            text = "undefined: targets are constant,\nor too few layers"
            ax.text(0.5, 0.6, text, transform=ax.transAxes, ha="center")
    axes[0].set_ylim(-0.05, 1.05)
    axes[1].set_ylim(-1.05, 1.05)
    figure.legend(handles=axes[0].get_legend_handles_labels()[0], loc="outside lower center", ncols=2)
    means = fits.groupby("strategy", sort=False)[list(titles)].mean()
    numbers = "; ".join(f"{fuser} {defined(r2, '.2f')} and {defined(rho, '+.2f')}" for fuser, (r2, rho) in means.iterrows())
    return figure, f"R squared in sample, rank correlation of layers left out, mean over steps: {numbers}."


@plt.rc_context(STYLE)
def weights_by_step(fusion: pd.DataFrame) -> tuple[Figure, str]:
    """Draw the weights of each step's fit as heat maps (signals, steps), a panel per fuser.

    Each step is divided by its largest absolute weight. `fusion`: one row per fuser, step and signal.
    """
    fusers = list(fusion["strategy"].unique())
    steps, leading = fusion["step"].nunique(), {}
    size = (2.6 + len(fusers) * (0.5 + 0.36 * max(steps, 4)), 4.6)
    figure, axes = plt.subplots(1, len(fusers), figsize=size, sharey=True, squeeze=False)
    for ax, fuser in zip(axes.flat, fusers):
        table = scaled_by_step(fusion[fusion["strategy"] == fuser])
        largest = table.abs() >= 1 - ALIKE
        leading[fuser] = largest.loc[:, ~largest.all()].any(axis=1).sum()  # where all are level, nobody leads
        seaborn.heatmap(table, ax=ax, cmap=DIVERGING, vmin=-1, vmax=1, linewidths=0.4,
                        cbar=ax is axes.flat[-1], cbar_kws={"label": "weight / largest of the step"})
        ax.set(title=fuser, xlabel="step", ylabel="")
        ax.set_yticks(np.arange(len(table)) + 0.5, [label(name) for name in table.index], rotation=0)
        ax.tick_params(length=0)
    numbers = ", ".join(f"{number} in {fuser}" for fuser, number in leading.items())
    return figure, (f"Weights of {len(table)} signals at {count(steps, 'step')}; "
                    f"signals that lead at some step: {numbers}.")


def scaled_by_step(fusion: pd.DataFrame) -> pd.DataFrame:
    """Return (signals, steps): one fuser's weights, each step divided by its largest absolute weight."""
    table = fusion.pivot(index="signal", columns="step", values="weight").loc[fusion["signal"].unique()]
    largest = table.abs().max()
    return table / largest.where(largest > 0, 1)


@plt.rc_context(STYLE)
def loss_curves(curve: pd.DataFrame) -> tuple[Figure, str]:
    """Draw the training loss of the distilled model and of the control, each in a panel of its own."""
    models = [model for model in LOSSES if model in set(curve["model"])]
    size = (3.7 * len(models), 3.1)
    figure, axes = plt.subplots(1, len(models), figsize=size, sharex=True, squeeze=False)
    ends = []
    for ax, model in zip(axes.flat, models):
        loss = curve[curve["model"] == model].set_index("step")["loss"]
        smooth = loss.rolling(max(1, len(loss) // 8), min_periods=1, center=True).mean()
        ax.plot(loss, color="#bbbbbb", linewidth=0.9, label="one batch")
        ax.plot(smooth, color=COLOURS[FOREST], linewidth=1.8, label="moving average")
        ax.set(title=LOSSES[model], xlabel="training step", ylabel="loss (nats)")
        finite = loss[np.isfinite(loss)]
        ax.set_ylim(0, 1.05 * finite.max() if finite.gt(0).any() else 1)
        if finite.empty:
            ax.text(0.5, 0.6, "undefined: the loss is no number", transform=ax.transAxes, ha="center")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ends.append(f"{model} from {defined(smooth.iloc[0], '.2f')} to {defined(smooth.iloc[-1], '.2f')}")
    axes[0, -1].legend(loc="best")
    return figure, (f"Training loss over {count(len(loss), 'step')}, its moving average: {', '.join(ends)}; "
                    "the two losses differ in kind.")


@plt.rc_context(STYLE)
def model_accuracies(models: pd.DataFrame, sizes: dict[str, int]) -> tuple[Figure, str]:
    """Draw test (filled) and validation (open) accuracy (%) of the four models, with standard errors.

    `models`: the rows of distillation.csv of one unit; `sizes`: split -> number of examples.
    """
    figure, ax = plt.subplots(figsize=(6.4, 3.2))
    places = np.arange(len(models))
    columns = {"test": ("accuracy", -0.12, "black"), "validation": ("validation_accuracy", 0.12, "white")}
    for split, (column, shift, fill) in columns.items():
        errors = [100 * sampling_error(value, sizes[split]) for value in models[column]]
        ax.errorbar(100 * models[column], places + shift, xerr=errors, color="black", capsize=2.5, fmt="o",
                    markerfacecolor=fill, linewidth=1.2,
                    label=f"{split}, {sizes[split]} examples ± standard error")
    ax.axvline(100 * models["accuracy"].iloc[0], color="grey", linestyle="--", linewidth=1.0, zorder=1)
    ax.set_yticks(places, [textwrap.fill(MODELS[name][0], 24) for name in models["model"]])
    ax.set(xlabel="accuracy (%)", ylim=(len(models) - 0.5, -0.5))
    legend_above(ax, ax.get_legend_handles_labels()[0])
    percent = 100 * models.set_index("model")["accuracy"]
    numbers = ", ".join(f"{MODELS[name][0]} {value:.1f} %" for name, value in percent.items())
    return figure, f"Test accuracy: {numbers}."


@plt.rc_context(STYLE)
def random_orders(orders: pd.DataFrame, informed: pd.Series, names: dict[str, str]) -> tuple[Figure, str]:
    """Draw accuracy (%) against layers removed for random orders and Random-Forest, then all the maxima.

    `orders`: columns test, repeat, step, accuracy; `informed`: Random-Forest's accuracy by step, 0 first;
    `names`: test -> its name in the figure.
    """
    tests = [test for test in ORDERS if test in set(orders["test"])]
    figure, axes = plt.subplots(1, len(tests) + 1, figsize=(3.0 * len(tests) + 3.2, 3.7))
    for ax, test in zip(axes, tests):
        ax.sharey(axes[0])
        walks = orders[orders["test"] == test].pivot(index="step", columns="repeat", values="accuracy")
        ax.plot(100 * walks, color=GREY, linewidth=0.8, alpha=0.7)
        ax.plot(100 * informed, **line_look(FOREST))
        ax.set(title=label(names[test]), xlabel="layers removed")
        ax.xaxis.get_major_locator().set_params(integer=True)
    maxima = orders[orders["step"] >= 1].groupby(["test", "repeat"])["accuracy"].max()
    best = informed[informed.index >= 1].max()
    _maxima_strip(axes[-1], maxima, best, tests, names)
    axes[0].set_ylabel("test accuracy (%)")
    axes[-1].set_ylabel("maximum test accuracy (%)")
    forest_key = Line2D([], [], label=FOREST, **line_look(FOREST))
    random_key = Line2D([], [], color=GREY, label="one random order")
    figure.legend(handles=[random_key, forest_key], loc="outside lower center", ncols=2)
    percent = (100 * maxima).groupby("test").agg(["mean", "min", "max"])
    form = "{} {:.1f} % ({:.1f} to {:.1f})"
    numbers = "; ".join(form.format(names[test], *percent.loc[test]) for test in tests)
    return figure, f"Maximum accuracy: {FOREST} {100 * best:.1f} %; random orders, mean (range): {numbers}."


def _maxima_strip(ax: Axes, maxima: pd.Series, best: float, tests: list[str], names: dict[str, str]) -> None:
    """Put one dot per maximum, in columns; equal ones side by side. A line marks the informed order's."""
    for place, test in enumerate(tests):
        values = maxima[test].round(9).sort_values()
        same = values.groupby(values)
        sideways = 0.09 * (same.cumcount() - (same.transform("size") - 1) / 2)
        ax.plot(place + sideways, 100 * values, "o", color=GREY, markersize=5, markeredgecolor="black",
                markeredgewidth=0.5)
        ax.plot([place - 0.3, place + 0.3], [100 * values.mean()] * 2, color="black", linewidth=1.4)
    ax.axhline(100 * best, color=COLOURS[FOREST], linewidth=2)
    ax.set_xticks(range(len(tests)), [label(names[test]).replace(" (", "\n(") for test in tests])
    ax.set(title="maxima (black line: mean)", xlim=(-0.6, len(tests) - 0.4))
    ax.tick_params(axis="x", length=0)


def _target_bars(ax: Axes, points: pd.DataFrame) -> None:
    """Draw accuracy drops (points) at the rows of a heat map: first column as bars, others as open dots."""
    places = np.arange(len(points)) + 0.5
    ax.barh(places, points.iloc[:, 0], height=0.72, color=GREY, label=label(points.columns[0]))
    for column in points.columns[1:]:
        ax.plot(points[column], places, color="black", markersize=4.5, label=label(column), **OPEN)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(xlabel="accuracy drop $\\Delta A$ (points)")
    ax.tick_params(axis="y", length=0)
    legend_above(ax, ax.get_legend_handles_labels()[0][::-1], title="target, measured on")
