"""Draw the ablations and walks of one dataset and seed: numbers in, a figure and its alt text out.

Layers count from 0 in what comes in and from 1 in what is shown.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from paperlib.common.messages import count
from paperlib.evidence import statistics
from paperlib.evidence.sentences import leaders
from paperlib.evidence.unit_numbers import shared_models
from paperlib.figures.drawing import (  # fmt: skip
    BLACK,
    COLOURS,
    RED,
    STYLE,
    UNKNOWN_COLOUR,
    label,
    legend_above,
    note_key,
    place_labels,
    row_positions,
)
from paperlib.figures.signal import LAYER_AXIS, NO_ORDER, SPLITS
from paperlib.names import FAMILIES

SHARED, OWN = "#cfe1f2", "#2b7bba"  # layer passes
LIGHT = 0.55  # luminance of a cell above which its text is black
BAND = {"color": "#eeeeee", "zorder": 0}


@plt.rc_context(STYLE)
def prefix_diagram(layers: int) -> tuple[Figure, str]:
    """Draw which layer passes the ablation of each of `layers` layers needs, and which it shares."""
    later = np.sign(np.subtract.outer(-np.arange(layers), -np.arange(layers)))  # of column than of row: 1
    figure, ax = plt.subplots(figsize=(2.8 + 0.42 * layers, 1.6 + 0.3 * layers))
    seaborn.heatmap(later, ax=ax, cmap=ListedColormap([SHARED, "white", OWN]), vmin=-1, vmax=1, cbar=False,
                    linewidths=0.6, linecolor="#888888", annot=np.where(later == 0, "×", ""), fmt="",
                    annot_kws={"color": RED, "fontsize": 11})
    numbers = np.arange(1, layers + 1)
    ax.set_yticks(numbers - 0.5, [f"skip {number}" for number in numbers], rotation=0)
    ax.set_xticks(numbers - 0.5, numbers)
    ax.set_xlabel(LAYER_AXIS)
    ax.tick_params(length=0)
    own = layers * (layers - 1) // 2
    legend_above(ax, [Patch(facecolor=OWN, label=f"run for this row alone ({own} layer passes)"),
                      Patch(facecolor=SHARED, label="taken from the ordinary forward pass"),
                      Line2D([], [], color=RED, marker="x", linestyle="none", label="skipped")])
    return figure, f"Skipping each of {layers} layers takes {own} layer passes of its own, not {2 * own}."


@plt.rc_context(STYLE)
def drop_chart(drops: pd.DataFrame, errors: pd.DataFrame) -> tuple[Figure, str]:
    """Draw the accuracy drop (points) by layer with +- 1 standard error, and one split against the other.

    `drops` and `errors` (layers, test and validation) are fractions.
    """
    points, spread = 100 * drops, 100 * errors
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.2), width_ratios=[1.35, 1])
    for shift, (split, (colour, marker, fill)) in zip((-0.12, 0.12), SPLITS.items()):
        left.errorbar(points.index + 1 + shift, points[split], spread[split], label=split, color=colour,
                      marker=marker, markerfacecolor=fill, linestyle="none", capsize=2)
    left.axhline(0, color="grey", linewidth=0.8)
    left.set(xlabel="layer skipped (1 = next to the embeddings)", ylabel="accuracy drop (points)")
    left.set_xticks(points.index + 1)
    legend_above(left, [*left.containers, note_key("bars: ± 1 standard error")], columns=3)
    _against(right, points, spread)
    on_test, near = points["test"].rename(lambda layer: f"layer {layer + 1}"), int((points["test"].abs() <= 2 * spread["test"]).sum())
    most = f"{on_test.max():.1f} points ({leaders(on_test)})"
    return figure, (f"Accuracy drop when one of {len(points)} layers is skipped, on test at most {most}; "
                    f"{count(near, 'drop')} within two standard errors of zero.")


@plt.rc_context(STYLE)
def walk_tree(steps: pd.DataFrame) -> tuple[Figure, str]:
    """Draw the walks of one dataset and seed as an icicle: one block is one model, as high as its walks.

    The number in a block is the layer removed last. `steps`: rows of steps.csv, of which the families are left out: each
    of their steps ends a walk of its own.
    """
    steps = steps[~steps["strategy"].isin(FAMILIES)]
    paths = _paths(steps)
    depth, layers = max(map(len, paths.values())), int(steps["layers"].max())
    figure, ax = plt.subplots(figsize=(2.6 + 0.5 * depth, 1.3 + 0.27 * len(paths)))
    shades = plt.get_cmap("viridis")(np.linspace(0.05, 0.95, layers))
    for path, first, walks in _blocks(paths):
        text, colour = ("–", to_rgb(NO_ORDER)) if path[-1] < 0 else (path[-1] + 1, shades[path[-1]][:3])
        corner = (len(path) - 0.5, first)
        ax.add_patch(Rectangle(corner, 1, walks, facecolor=colour, edgecolor="white", linewidth=1.5))
        ax.text(len(path), first + walks / 2, text, ha="center", va="center", fontsize=7.5,
                color="black" if np.dot(colour, (0.299, 0.587, 0.114)) > LIGHT else "white")
    ax.set_yticks(np.arange(len(paths)) + 0.5, [label(name) for name in paths])
    ax.set(xlim=(0.5, depth + 0.5), ylim=(len(paths), 0), xlabel="step (in a block: the layer removed)")
    ax.set_xticks(range(1, depth + 1))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    models = shared_models(steps)[["wanted", "distinct"]].sum()
    return figure, (f"{count(len(paths), 'walk')} of up to {count(depth, 'step')} ask for {models['wanted']} "
                    f"models, of which {models['distinct']} are distinct.")


@plt.rc_context(STYLE)
def selection_chart(steps: pd.DataFrame) -> tuple[Figure, str]:
    """Draw, per strategy, the highest test accuracy over depths and that of the depth chosen on validation.

    `steps`: rows of steps.csv of one dataset and seed. Dashed: the baseline, its band +- 1 standard error.
    """
    best = 100 * statistics.maximum_accuracy(steps).iloc[:, 0]
    chosen = 100 * statistics.selected_accuracy(steps).iloc[:, 0]
    baseline = statistics.baseline_accuracy(steps).iloc[0]
    error = statistics.sampling_error(baseline, int(steps["test_size"].iloc[0]))
    figure, ax = plt.subplots(figsize=(6.8, 1.8 + 0.27 * len(best)))
    rows = row_positions(best.index)
    colours = [COLOURS.get(name, UNKNOWN_COLOUR) for name in best.index]
    ax.axvspan(100 * (baseline - error), 100 * (baseline + error), **BAND)
    ax.axvline(100 * baseline, color="grey", linestyle="--", linewidth=1.2)
    ax.hlines(rows, chosen, best, color="#888888", linewidth=1.2, zorder=1)
    ax.scatter(best, rows, facecolor="white", edgecolor=colours, s=40, linewidth=1.4, zorder=2)
    ax.scatter(chosen, rows, color=colours, s=22, zorder=3)
    ax.set_yticks(rows, [label(name) for name in best.index])
    ax.set(ylim=(rows[-1] + 0.6, -0.6), xlabel="test accuracy (%)")
    legend_above(ax, _selection_keys())
    gap = best - chosen
    return figure, (f"Choosing the depth on the test subset itself adds {gap.mean():.1f} points, mean over "
                    f"{len(gap)} strategies, at most {gap.max():.1f} ({leaders(gap)}).")


def _against(ax: Axes, points: pd.DataFrame, spread: pd.DataFrame) -> None:
    """Draw the validation drop against the test drop; layers at the same point share a label."""
    ax.errorbar(points["test"], points["validation"], spread["validation"], spread["test"], linestyle="none",
                marker="o", markersize=4, color=BLACK, ecolor="#bbbbbb", elinewidth=0.8)
    names = {
        place: ", ".join(str(layer + 1) for layer in group.index) if len(group) <= 4 else count(len(group), "layer")
        for place, group in points.groupby(["test", "validation"])
    }
    ax.axline((0, 0), slope=1, color="grey", linewidth=0.8, linestyle=":")
    ax.set(xlabel="drop on test (points)", ylabel="drop on validation (points)")
    ax.set_title("number: layer; dotted: equal drops", loc="left", fontsize=8)
    place_labels(ax, names)


def _paths(steps: pd.DataFrame) -> dict[str, tuple[int, ...]]:
    """Return strategy -> removed layers (-1: none), sorted so that common beginnings stand together."""
    pruned = steps[steps["step"] >= 1].sort_values("step")
    layers = pruned["removed_layer"].astype("Int64").fillna(-1).astype(int)
    paths = {name: tuple(group) for name, group in layers.groupby(pruned["strategy"])}
    return dict(sorted(paths.items(), key=lambda item: (item[1][0] < 0, item[1])))


def _blocks(paths: Mapping[str, tuple[int, ...]]) -> list[tuple[tuple[int, ...], int, int]]:
    """Return (removed layers, first row, number of walks) of every distinct model but the original."""
    rows: dict[tuple[int, ...], list[int]] = {}
    for row, path in enumerate(paths.values()):
        for step in range(1, len(path) + 1):
            rows.setdefault(path[:step], []).append(row)
    return [(path, found[0], len(found)) for path, found in rows.items()]


def _selection_keys() -> list[Line2D]:
    dot = {"linestyle": "none", "marker": "o", "color": "#555555"}
    return [
        Line2D([], [], markerfacecolor="white", label="highest on test over all depths (Table 1)", **dot),
        Line2D([], [], markersize=4.5, label="at the depth with the highest validation accuracy", **dot),
        Line2D([], [], color="grey", linestyle="--", label="baseline (band: ± 1 standard error)"),
    ]
