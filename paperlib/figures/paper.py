"""Figures 1, 2, 3, 4 and 7: the strategies compared. Numbers in, a matplotlib figure and its alt text out.

This is also where to find the other three (`figures.fusion`), the style and `save` (`figures.drawing`), the narrow form (`figures.narrow`).
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from paperlib.common.errors import UserError
from paperlib.evidence import statistics
from paperlib.evidence.sentences import ALIKE, leaders, leading, listed, mean_over
from paperlib.figures.drawing import (  # fmt: skip
    ALPHA,
    BLACK,
    COLOURS,
    EMPHASISED,
    GREEN,
    MARKERS,
    RED,
    STYLE,
    UNKNOWN_COLOUR,
    asterisk_key,
    bar_rows,
    dataset_key,
    label,
    legend_above,
    line_look,
    mark_rows,
    note_key,
    reachable,
    row_positions,
    save,
    style,
    test_note,
    too_small,
)
from paperlib.figures.fusion import distillation_bars, fuser_weights, randomization
from paperlib.figures.narrow import NARROW_WIDTH, fitting, is_narrow, small_screen, x_label
from paperlib.names import CONTROLS, FAMILIES, OURS, RIVALS, STRATEGIES

__all__ = [
    "COLOURS", "MARKERS", "accuracy_curves", "baseline_change", "distillation_bars", "fuser_weights",
    "randomization", "removal_order", "removal_steps", "save",
    "size_improvement", "small_screen", "strategy_ranks", "style",
]  # fmt: skip


@plt.rc_context(STYLE)
def accuracy_curves(steps: pd.DataFrame) -> tuple[Figure, str]:
    """Draw Figure 1: accuracy (%) against layers removed, one panel per dataset, one line per strategy.

    Lines are means over seeds; with several seeds, fusers and controls carry a band of +- s.e.m. The legend, or
    with several datasets the alt text, names the lines that coincide; in the narrow form it stands below.
    """
    maxima = statistics.maximum_accuracy(steps)
    figure, axes = _panels(len(maxima.columns))
    several = bool(steps.groupby("dataset")["seed"].nunique().max() > 1)
    longest = None if len(axes) == 1 else 17 if is_narrow() else 32  # characters of a title that does not meet the next one
    for ax, dataset in zip(axes, maxima.columns):
        _curves(ax, steps[steps["dataset"] == dataset], maxima.index)
        ax.set_title(label(dataset, longest))
    keys = [Line2D([], [], label=label(name), **line_look(name)) for name in maxima.index]
    bands = [Patch(color="grey", alpha=0.3, linewidth=0, label="band: ± s.e.m. over seeds")] * several
    baseline = Line2D([], [], color="grey", linestyle="--", label="Baseline (nothing removed)")
    alike = {dataset: statistics.same_curves(rows) for dataset, rows in steps.groupby("dataset", sort=False)}
    notes = [note_key(textwrap.fill(_one_line(group), 38, break_on_hyphens=False)) for group in alike[maxima.columns[0]]] if len(alike) == 1 else []
    lines = sum(key.get_label().count("\n") + 1.4 for key in notes)
    figure.set_figheight(figure.get_figheight() + 0.16 * (max(0, lines - 2) if is_narrow() else max(0, lines - 6)))
    place = {"loc": "outside lower center", "ncols": 2, "fontsize": 7} if is_narrow() else {"loc": "outside right center"}
    figure.legend(handles=[*keys, baseline, *bands, *notes], handlelength=3.2, **place)
    figure.align_ylabels(axes)
    numbers = _extremes(100 * maxima, "Maximum", ".1f")
    return figure, f"Accuracy against layers removed, one line per strategy. {numbers}.{_alike_text(alike)}"


@plt.rc_context(STYLE)
def strategy_ranks(maxima: pd.DataFrame) -> tuple[Figure, str]:
    """Draw Figure 2: rank by maximum accuracy (highest = best), bars = mean, dots = datasets; none of ours."""
    ranks = statistics.ranks(maxima.loc[[name for name in maxima.index if name not in OURS]])
    figure, ax = _strategy_bars(ranks, errors=False)
    ax.set(xlim=(0, len(ranks) + 0.5), xticks=range(len(ranks), 0, -2))
    x_label(ax, f"rank by maximum accuracy ({len(ranks)} = best)")
    legend_above(ax, [dataset_key(ranks, "bar: mean")])
    return figure, (f"Rank of {len(ranks)} strategies by maximum accuracy, {len(ranks)} being best, "
                    f"{mean_over(ranks.shape[1])}: {_leading_two(ranks.mean(axis=1))}.")


@plt.rc_context(STYLE)
def baseline_change(maxima: pd.DataFrame, baseline: pd.Series) -> tuple[Figure, str]:
    """Draw Figure 3: change of maximum accuracy against the baseline (%), mean +- s.e.m., with the tests.

    Black, red and green asterisks as in the paper; see the legend. None where n cannot reach significance.
    """
    change, tests = statistics.percent_change(maxima, baseline).dropna(axis=1, how="all"), statistics.baseline_tests(maxima, baseline)
    n = change.shape[1]
    figure, ax = _strategy_bars(change)
    x_label(ax, "change of maximum accuracy against the baseline (%)")
    legend_above(ax, [dataset_key(change), *_change_marks(ax, tests, n), test_note(n, "datasets")])
    below = [name for name in change.index if name in STRATEGIES and tests["p_less"][name] < ALPHA]
    verdict = f"significantly below 0: {len(below)} strategies of the paper" if reachable(n) else too_small(n)
    return figure, f"{_extremes(change, 'Change of maximum accuracy against the baseline')}; {verdict}."


@plt.rc_context(STYLE)
def size_improvement(improvement: pd.DataFrame) -> tuple[Figure, str]:
    """Draw Figure 4: accuracy-to-size ratio against the original model's (% gained), mean +- s.e.m.

    A red asterisk marks a two-sided difference from Random. `improvement`: `statistics.accuracy_to_size`.
    """
    improvement = improvement.dropna(axis=1, how="all")  # without an accuracy that could be improved
    n, names = improvement.shape[1], improvement.index
    figure, ax = _strategy_bars(improvement)
    x_label(ax, "improvement of the accuracy-to-size ratio (%)")
    keys = [dataset_key(improvement)]
    if reachable(n, sides=2) and "Random" in names:
        differences = improvement - improvement.loc["Random"]
        p = differences.apply(statistics.wilcoxon_p, axis=1, alternative="two-sided")
        mark_rows(ax, p < ALPHA, names, RED, 0, "differs from Random")
        keys += [asterisk_key(RED, "significantly different from Random (two-sided)")]
    legend_above(ax, [*keys, test_note(n, "datasets", sides=2)])
    what = "Improvement of the accuracy-to-size ratio over the original model"
    return figure, f"{_extremes(improvement, what)}."


def removal_steps(steps: pd.DataFrame) -> pd.DataFrame:
    """Return (strategies, layers from 1): mean step at which each layer is removed, over seeds and then over datasets.

    A layer a walk never reached counts as the mean of the places left. Raises UserError when the number of
    layers differs between datasets.
    """
    depths = steps["layers"].unique()
    if len(depths) != 1:
        found = ", ".join(map(str, sorted(depths)))
        raise UserError(f"Figure 7 needs models of one depth, these have {found} layers")
    order = [name for name in statistics.maximum_accuracy(steps).index if name not in ("Equal-Training", *FAMILIES)]
    removed = steps[(steps["step"] >= 1) & steps["removed_layer"].notna() & steps["strategy"].isin(order)]
    layers = removed["removed_layer"].astype(int) + 1
    places = removed.assign(layer=layers).pivot(index=statistics.WALK, columns="layer", values="step")
    places = places.reindex(columns=range(1, depths[0] + 1))
    left_over = (places.max(axis=1) + 1 + depths[0]) / 2
    by_dataset = places.T.fillna(left_over).T.groupby(["strategy", "dataset"]).mean()
    return by_dataset.groupby("strategy").mean().loc[order]


@plt.rc_context(STYLE)
def removal_order(steps: pd.DataFrame) -> tuple[Figure, str]:
    """Draw Figure 7: heat map (strategies, layers) of the average step of removal; lighter = earlier.

    Raises UserError when the number of layers differs between datasets.
    """
    table = removal_steps(steps)
    rows, columns = table.shape
    figure, ax = plt.subplots(figsize=(fitting(3.2 + 0.46 * columns), 1.4 + 0.27 * rows))
    seaborn.heatmap(table, ax=ax, cmap="Blues", vmin=1, vmax=columns, annot=columns <= (8 if is_narrow() else 16), fmt=".1f",
                    annot_kws={"fontsize": 7}, linewidths=0.4,
                    cbar_kws={"label": "average step of removal", "ticks": MaxNLocator(integer=True),
                              **({"location": "bottom", "shrink": 0.9} if is_narrow() else {})})  # room for the last number
    ax.set_ylabel("")
    x_label(ax, "encoder layer (1 = next to the embeddings)")
    shown = range(0, columns, -(-columns // 12) if is_narrow() else 1)
    ax.set_xticks([place + 0.5 for place in shown], [table.columns[place] for place in shown], rotation=0)
    ax.set_yticks(np.arange(rows) + 0.5, [label(name) for name in table.index], rotation=0)
    ax.tick_params(length=0)
    ax.axhline(sum(name not in OURS for name in table.index), color="black", linewidth=1.2)
    return figure, (f"Average step at which each of {columns} layers is removed by {rows} strategies. "
                    f"Over all of them {_ends(table.mean().rename('layer {}'.format))}.")


def _ends(steps: pd.Series) -> str:
    first, last = leading(-steps), leading(steps)
    if len(first) == len(steps):
        return "no layer goes before another"
    return f"{listed(first)} {'goes' if len(first) == 1 else 'go'} first and {listed(last)} last"


def _leading_two(ranks: pd.Series) -> str:
    """Name the two strategies of the highest mean rank, and whoever is level with the second."""
    ordered = ranks.sort_values(ascending=False, kind="stable")
    named = ordered[ordered >= ordered.iloc[:2].min() - ALIKE]
    if len(leading(ranks)) == len(ranks):
        return f"{leaders(ranks)} ({ranks.max():.1f})"
    return f"{listed([f'{name} ({rank:.1f})' for name, rank in named.items()])} lead"


def _one_line(names: tuple[str, ...]) -> str:
    return f"the same line: {', '.join(names)}"


def _alike_text(alike: dict[str, list[tuple[str, ...]]]) -> str:
    parts = [f"{label(dataset)}: {'; '.join(map(' = '.join, groups))}" for dataset, groups in alike.items() if groups]
    return f" Lines that coincide, {'. '.join(parts)}." if parts else ""


def _panels(n: int) -> tuple[Figure, list[Axes]]:
    columns = min(n, 2) if is_narrow() else {1: 1, 2: 2, 4: 2, 8: 4}.get(n, 3)
    rows = -(-n // columns)
    width, height = (5.2, 6.8) if n == 1 else (3.3 * columns, max(6.4, 2.7 * rows))
    size = (NARROW_WIDTH, (2.6 if n == 1 else 1.7 * rows + 0.6) + 2.0) if is_narrow() else (width + 2.4, height)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in grid.flat[n:]:
        ax.remove()
    for ax in grid.flat[:n]:
        below = ax.get_subplotspec().rowspan.stop * columns + ax.get_subplotspec().colspan.start
        if below >= n:
            ax.set_xlabel("layers removed")
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel("test accuracy (%)")
    return figure, list(grid.flat[:n])


def _curves(ax: Axes, steps: pd.DataFrame, strategies: pd.Index) -> None:
    accuracy = 100 * steps.groupby(["strategy", "step"])["accuracy"].agg(["mean", "sem"])
    baseline = accuracy["mean"].xs(0, level="step").mean()
    ax.axhline(baseline, color="grey", linestyle="--", linewidth=1.2, zorder=1)
    for name in strategies.intersection(steps["strategy"].unique(), sort=False):
        line, look = accuracy.loc[name], line_look(name)
        ax.plot(line.index, line["mean"], label=name, **look)
        if name in EMPHASISED + CONTROLS and line["sem"].notna().any():
            ax.fill_between(line.index, line["mean"] - line["sem"], line["mean"] + line["sem"],
                            color=look["color"], alpha=0.13, linewidth=0)
    ax.xaxis.get_major_locator().set_params(integer=True)


def _strategy_bars(values: pd.DataFrame, errors: bool = True) -> tuple[Figure, Axes]:
    figure, ax = plt.subplots(figsize=(fitting(6.6), 1.6 + 0.25 * len(values)))
    bar_rows(ax, values, [COLOURS.get(name, UNKNOWN_COLOUR) for name in values.index], errors)
    ax.axvline(0, color="black", linewidth=0.8)
    for group in (CONTROLS, RIVALS):
        places = [place for place, name in zip(row_positions(values.index), values.index) if name in group]
        if places:
            ax.axhline(places[0] - 0.8, color="grey", linewidth=0.8)
    return figure, ax


def _change_marks(ax: Axes, tests: pd.DataFrame, n: int) -> list[Line2D]:
    """Put Figure 3's asterisks, one column per question; return the legend entries that explain them.

    `tests`: the p-values of Wilcoxon's signed-rank tests (`statistics.baseline_tests`), each compared with ALPHA = 0.05.
    """
    keys = []
    if reachable(n):
        mark_rows(ax, tests["p_less"] < ALPHA, tests.index, BLACK, 0, "below 0")
        keys += [asterisk_key(BLACK, "left: significantly below 0 (one-sided)")]
    if reachable(n) and "p_greater_random" in tests:
        mark_rows(ax, tests["p_greater_random"] < ALPHA, tests.index, RED, 1, "above Random")
        keys += [asterisk_key(RED, "middle: significantly above Random (one-sided)")]
    if reachable(n, sides=2):
        mark_rows(ax, tests["p_two_sided"] >= ALPHA, tests.index, GREEN, 2, "not different from 0")
        keys += [asterisk_key(GREEN, "right: not significantly different from 0 (two-sided)")]
    elif reachable(n):
        keys += [note_key(f"two-sided: {too_small(n)}")]
    return keys


def _extremes(values: pd.DataFrame, what: str, form: str = "+.1f") -> str:
    """Name the best, the worst and the emphasised strategies with their mean over datasets, of those walked on all, in per cent."""
    values = values.dropna(axis=1, how="all")
    mean = values.mean(axis=1, skipna=False).dropna()
    if mean.empty:
        return f"{what}: not defined, as the baseline is never right"
    shown = dict.fromkeys([mean.idxmax(), *(name for name in EMPHASISED if name in mean), mean.idxmin()])
    numbers = ", ".join(f"{name} {mean[name]:{form}} %" for name in shown)
    return f"{what}, {mean_over(values.shape[1])}: {numbers}"
