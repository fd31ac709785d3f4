"""Draw several settings side by side: their curves, the difference at each depth, the order in which layers go."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paperlib.common.messages import count
from paperlib.evidence.sentences import leaders
from paperlib.evidence.statistics import same_curves
from paperlib.figures.drawing import STYLE, label, legend_above, line_look, note_key

LINES = ("-", "--", "-.", ":")  # one for each of up to four settings
DRAWN = {"linewidth": 1.5, "markersize": 4.5, "alpha": 1.0}


@plt.rc_context(STYLE)
def settings_curves(tables: Mapping[str, pd.DataFrame], differences: Mapping[str, pd.DataFrame]) -> tuple[Figure, str]:
    """Draw accuracy (%) against layers removed, a colour per strategy and a line per setting; below, against the first setting.

    `tables`: by setting, columns strategy, step, accuracy, error (points). `differences`: by every setting but the first,
    columns strategy, step, points, error, same; a hollow mark stands for a model that both settings share.
    """
    rows = 1 + bool(differences)
    figure, axes = plt.subplots(rows, 1, figsize=(8.0, 3.6 + 2.2 * (rows - 1)), squeeze=False, sharex=True, height_ratios=[2, 1][:rows])
    for style, (name, table) in zip(LINES, tables.items()):
        _curves(axes[0, 0], table, style)
    for style, (name, table) in zip(LINES[1:], differences.items()):
        _gaps(axes[1, 0], table, style)
    axes[0, 0].set_ylabel("test accuracy (%)")
    axes[-1, 0].set_xlabel("rounds after the first (layers removed)")
    axes[-1, 0].xaxis.get_major_locator().set_params(integer=True)
    walked = dict.fromkeys(name for table in tables.values() for name in table["strategy"])
    keys = [Line2D([], [], label=label(name), **{**line_look(name), **DRAWN, "linestyle": "-"}) for name in walked]
    alike = {setting: same_curves(table) for setting, table in tables.items() if len(table)}
    if len(tables) > 1:
        keys += [Line2D([], [], color="dimgrey", linestyle=style, label=label(f"drawn so: {name}", 60)) for style, name in zip(LINES, tables)]
    keys += [note_key(_alike(setting, names, len(tables))) for setting, groups in alike.items() for names in groups]
    legend_above(axes[0, 0], keys, columns=2)
    return figure, _curves_text(tables)


@plt.rc_context(STYLE)
def order_grid(tables: Mapping[str, pd.DataFrame]) -> tuple[Figure, str]:
    """Draw which layer (counted from 1) goes at which step, a row for each setting and strategy; blank where none does."""
    rows = {
        f"{label(setting, 30)} · {name}": walk.set_index("step")["layer"] + 1
        for setting, table in tables.items()
        for name, walk in table[table["step"] > 0].groupby("strategy", sort=False)
        if walk["layer"].notna().any()
    }
    grid = pd.DataFrame(rows).T
    if grid.empty:
        figure, ax = plt.subplots(figsize=(6, 1))
        ax.set_axis_off()
        return figure, "No layer has been removed yet."
    figure, ax = plt.subplots(figsize=(6.0 + 0.5 * grid.shape[1], 1.2 + 0.3 * len(grid)))
    texts = grid.map(lambda layer: "" if np.isnan(layer) else f"{layer:.0f}")
    seaborn.heatmap(grid.astype(float), ax=ax, annot=texts, fmt="", cmap="cividis", cbar=False, linewidths=0.6)
    ax.set(xlabel="step", ylabel="")
    return figure, f"The layer that goes at each step, for {count(len(grid), 'walk')}."


def _curves(ax: Axes, table: pd.DataFrame, style: str) -> None:
    for name, walk in table.groupby("strategy", sort=False):
        look = {**line_look(name), **DRAWN, "linestyle": style}
        ax.plot(walk["step"], walk["accuracy"], **look)
        ax.fill_between(walk["step"], walk["accuracy"] - walk["error"], walk["accuracy"] + walk["error"],
                        color=look["color"], alpha=0.08, linewidth=0)


def _gaps(ax: Axes, table: pd.DataFrame, style: str) -> None:
    ax.axhline(0, color="grey", linewidth=0.8)
    for name, walk in table.groupby("strategy", sort=False):
        look = {**line_look(name), **DRAWN, "linestyle": style}
        ax.errorbar(walk["step"], walk["points"], walk["error"], capsize=2, **look)
        shared = walk[walk["same"]]
        ax.plot(shared["step"], shared["points"], linestyle="none", marker="o", markersize=8, markerfacecolor="none",
                markeredgecolor="black", zorder=5)
    ax.set_ylabel("minus the first setting\n(points, ± s.e.)")


def _alike(setting: str, names: Sequence[str], settings: int) -> str:
    place = f"{label(setting)}: " if settings > 1 else ""
    return textwrap.fill(f"{place}the same line: {', '.join(names)}", 48, break_on_hyphens=False)


def _curves_text(tables: Mapping[str, pd.DataFrame]) -> str:
    said = []
    for setting, table in tables.items():
        pruned = table[table["step"] > 0]
        if len(pruned):
            walked = zip(pruned["strategy"], pruned["step"])
            accuracy = pruned["accuracy"].set_axis([f"{name}, {step:.0f} {'rounds' if name == 'Equal-Training' else 'removed'}" for name, step in walked])
            said.append(f"{setting}: at most {accuracy.max():.1f} % ({leaders(accuracy)})")
    return "Accuracy against layers removed. " + ("; ".join(said) or "No model has been pruned yet") + "."
