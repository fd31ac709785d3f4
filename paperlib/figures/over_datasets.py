"""Draw what holds over datasets: fixed depth, mean ranks, transfer, training. Numbers in, a figure and its alt text out."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paperlib.common.messages import count
from paperlib.evidence import fixed_depth
from paperlib.evidence.sentences import defined, leaders, leading, listed
from paperlib.figures.drawing import (
    COLOURS,
    RED,
    STYLE,
    UNKNOWN_COLOUR,
    label,
    legend_above,
    line_look,
    note_key,
)
from paperlib.names import SIGNALS

SPREADS = {"datasets": "#333333", "seeds": RED}
FURTHER = [{"linestyle": line, "fillstyle": filling} for line, filling in zip(("-", "--", ":", "-."), ("full", "none", "left", "top"))]


@plt.rc_context(STYLE)
def fixed_depth_curves(steps: pd.DataFrame) -> tuple[Figure, str]:
    """Draw mean test accuracy over datasets and seeds (%) at every depth; the twelve signals as a band, others as lines."""
    table = 100 * fixed_depth.by_depth(steps)
    singles = table.loc[table.index.isin(SIGNALS)]
    figure, ax = plt.subplots(figsize=(7.4, 5.2))
    ax.fill_between(table.columns, singles.min(), singles.max(), color="#b8cfe0", alpha=0.6, linewidth=0, label="the twelve signals, least to most")
    for name in (name for name in table.index if name not in SIGNALS):
        ax.plot(table.columns, table.loc[name], label=label(name), **line_look(name))
    ax.set(xlabel="layers removed (Equal-Training: more rounds)", ylabel="test accuracy (%)", xticks=list(table.columns))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right center")
    middle = table.columns[len(table.columns) // 2]
    shown = ", ".join(f"{name} {defined(table.loc[name, middle], '.1f')} %" for name in ("Random", "Random-Forest", "Equal-Training") if name in table.index)
    return figure, f"Mean accuracy at fixed depth over {count(steps['dataset'].nunique())}; at {middle}: {shown}."


@plt.rc_context(STYLE)
def improvement(table: pd.DataFrame, strategy: str = "Random-Forest") -> tuple[Figure, str]:
    """Draw a strategy's mean difference from each rival at fixed depth with both intervals, and its chance of improvement.

    `table`: `fixed_depth.improvement_table`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 1.6 + 0.3 * len(table)), sharey=True)
    rows = np.arange(len(table))
    for offset, (spread, colour) in zip((-0.15, 0.15), SPREADS.items()):
        left.hlines(rows + offset, table[f"{spread}_low"], table[f"{spread}_high"], color=colour, linewidth=2)
    left.plot(table["mean"], rows, linestyle="none", marker="o", color="black", markersize=5)
    left.axvline(0, color="grey", linewidth=0.8)
    left.set(xlabel=f"{strategy} minus rival (points, at fixed depth)", yticks=rows, ylim=(len(table) - 0.5, -0.5))
    left.set_yticklabels([label(name) for name in table.index])
    drawn = {spread: colour for spread, colour in SPREADS.items() if table[f"{spread}_low"].notna().any()}
    keys = [plt.Line2D([], [], color=colour, label=f"over {spread}") for spread, colour in drawn.items()]
    legend_above(left, [note_key("dot: mean. Bars, 95 % bootstrap:" if drawn else "dot: mean over datasets and seeds"), *keys], columns=3)
    right.hlines(rows, table["chance_low"], table["chance_high"], color=SPREADS["datasets"], linewidth=2)
    right.plot(table["chance"], rows, linestyle="none", marker="o", color="black", markersize=5)
    right.axvline(0.5, color="grey", linewidth=0.8)
    right.set(xlabel="chance that it is better than the rival", xlim=(-0.02, 1.02))
    shown = ", ".join(f"{name} {defined(row['mean'], '+.1f')} points ({defined(row['chance'], '.0%')})" for name, row in table.iterrows())
    return figure, f"{strategy} at fixed depth against: {shown}."


@plt.rc_context(STYLE)
def critical_difference(maxima: pd.DataFrame, whose: str = "") -> tuple[Figure, str]:
    """Draw the mean ranks (1 = best) of strategies by maximum accuracy; bars join those that Nemenyi cannot tell apart.

    `maxima`: (strategies, datasets), the paper's fifteen or more; `whose` they are begins the title. Drawn by scikit-posthocs.
    """
    import scikit_posthocs

    kept = maxima.dropna(axis=1)
    ranks, n = fixed_depth.mean_ranks(kept), kept.shape[1]
    p_values = fixed_depth.nemenyi(kept)
    difference = fixed_depth.critical_difference(len(ranks), n)
    figure, ax = plt.subplots(figsize=(8.4, 1.2 + 0.16 * len(ranks)))
    looks = {name: COLOURS.get(name, UNKNOWN_COLOUR) for name in ranks.index}
    scikit_posthocs.critical_difference_diagram(
        ranks, p_values, ax=ax, label_props={"fontsize": 8}, color_palette=looks, text_h_margin=0.3,
        crossbar_props={"color": "black", "linewidth": 2.5}, label_fmt_left="{label} ({rank:.1f})", label_fmt_right="({rank:.1f}) {label}",
    )  # fmt: skip
    for text in ax.texts:  # the marks have the colours: a pale name could not be read
        text.set_color("black")
    apart = f"critical difference {defined(difference, '.2f')}"
    head = f"{whose}: " * bool(whose)
    ax.set_title(f"{head}mean rank by maximum accuracy over {count(n)} (1 = best); {apart}")
    best, worst = leading(-ranks), leading(ranks)
    ends = f"{listed(best)} {ranks.min():.1f} {'is' if len(best) == 1 else 'are'} best, {listed(worst)} {ranks.max():.1f} worst"
    return figure, f"{head}Mean ranks: {f'{leaders(ranks)} {ranks.max():.1f}' if len(best) == len(ranks) else ends}; {apart}."


@plt.rc_context(STYLE)
def transfer_regret(originals: pd.DataFrame, every: pd.DataFrame, shown: list[str]) -> tuple[Figure, str]:
    """Draw the regret (points) of ways to choose without ablation, at the original models and at all; spreads apart.

    Both: `transfer.summary`. Thick black: s.e.m. over datasets; thin red: standard deviation over seeds.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 1.7 + 0.28 * len(shown)), sharey=True)
    for ax, table, what in zip(axes, (originals, every), ("the original models", "all models")):
        rows, values = np.arange(len(shown)), table.reindex(shown)
        ax.barh(rows, values["regret"], color=["#9ebcda" if name not in ("Forest", "Ridge", "Forest-Both") else "#d6743a" for name in shown])
        ax.errorbar(values["regret"], rows - 0.12, xerr=values["sem_datasets"].fillna(0), fmt="none", color="black", linewidth=2)
        ax.errorbar(values["regret"], rows + 0.18, xerr=values["sd_seeds"].fillna(0), fmt="none", color=RED, linewidth=1.2)
        ax.set(xlabel="regret of the next removal (points)", yticks=rows, ylim=(len(shown) - 0.5, -0.5), xlim=(0, None))
        ax.set_title(f"{what} ({int(values['models'].max())})")
        ax.set_yticklabels([label(name) for name in shown])
    axes[0].plot([], [], color="black", linewidth=2, label="s.e.m. over datasets")
    axes[0].plot([], [], color=RED, linewidth=1.2, label="s.d. over seeds")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    numbers = ", ".join(f"{name} {originals.loc[name, 'regret']:.1f}" for name in shown if name in originals.index)
    return figure, f"Mean regret in points at the original models: {numbers}."


@plt.rc_context(STYLE)
def training_gain(rows: pd.DataFrame) -> tuple[Figure, str]:
    """Draw what the best pruned model gains (points) against how well the original is trained (its accuracy, %).

    `rows`: epochs.csv of any units; a line joins the runs of one dataset and learning rate, fewest epochs first. Every
    learning rate has a mark of its own; of more than ten datasets, the next ten have another line and filling.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.8), sharey=True)
    datasets = list(dict.fromkeys(rows["dataset"]))
    looks = {name: {"color": plt.cm.tab10.colors[place % 10], **FURTHER[place // 10 % len(FURTHER)]} for place, name in enumerate(datasets)}
    marks = dict(zip(rows["learning_rate"].value_counts(sort=True).index, "ov^sDP" * len(rows)))
    means = rows.groupby(["dataset", "learning_rate", "epochs"])[["baseline", "gain_once", "gain_equal"]].mean()
    for ax, column, rival in zip(axes, ("gain_once", "gain_equal"), ("trained once", "trained as many rounds")):
        for dataset, rate in dict.fromkeys((d, r) for d, r, _ in means.index):
            line = means.loc[(dataset, rate)].sort_index()
            ax.plot(line["baseline"], line[column], marker=marks[rate], **looks[dataset])
            for epochs, point in line.iterrows():
                ax.annotate(f" {epochs}", (point["baseline"], point[column]), fontsize=7)
        ax.axhline(0, color="grey", linewidth=0.8)
        ax.set(xlabel="accuracy of the original (%)")
        ax.set_title(f"over the original {rival}")
    axes[0].set_ylabel("gain of the best pruned model (points)")
    keys = [plt.Line2D([], [], **looks[name], linewidth=3, marker="o" * (place >= 10), label=label(name)) for place, name in enumerate(datasets)]
    keys += [plt.Line2D([], [], marker=mark, color="grey", linestyle="none", label=f"learning rate {rate:g}") for rate, mark in marks.items()]
    figure.legend(handles=[*keys, note_key("number: epochs a round")], loc="outside right center")
    spread = f"{rows['gain_once'].min():+.1f} to {rows['gain_once'].max():+.1f}"
    return figure, f"Gain of the best pruned model in {count(len(rows), 'run')}: {spread} points over the original trained once."
