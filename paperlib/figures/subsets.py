"""Draw what all sets of layers of one model say: numbers in, a figure and its alt text out.

Layers count from 0 in what comes in and from 1 in what is shown.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from paperlib.evidence.sentences import ALIKE, defined, leaders, leading, listed
from paperlib.figures.drawing import (
    BLUE,
    COLOURS,
    RED,
    STYLE,
    UNKNOWN_COLOUR,
    label,
    legend_above,
    line_look,
    note_key,
)

SHOWN = ("Random-Forest", "Greedy-Ablation", "Block-Influence", "Rank-Mean", "Top-Drop", "Shapley", "Random")


@plt.rc_context(STYLE)
def cloud(subsets: pd.DataFrame, best: dict[int, tuple[int, ...]], split: str = "test") -> tuple[Figure, str]:
    """Draw the accuracy (%) of every set against its size, and the line of the sets best on validation.

    `subsets`: rows of subsets.csv of one dataset and seed; `best`: the best set of every size. Where these are not all
    sets, the figure speaks of those drawn.
    """
    every = len(subsets) == 2 ** int(subsets["size"].max())
    accuracy = 100 * subsets[f"accuracy_{split}"]
    chosen = subsets["removed"].isin({"-".join(map(str, gone)) for gone in best.values()})
    jitter = np.random.default_rng(0).uniform(-0.28, 0.28, len(subsets)) * (subsets.groupby("size")["size"].transform("size") > 1)
    figure, ax = plt.subplots(figsize=(6.4, 3.8))
    ax.plot(subsets["size"] + jitter, accuracy, linestyle="none", marker=".", color="grey", alpha=0.5, label="one set of layers (spread sideways)")
    means = accuracy.groupby(subsets["size"]).mean()
    ax.plot(means.index, means, color="black", linestyle=":", label=f"mean of all sets {'' if every else 'drawn '}of the size (Random)")
    line = accuracy[chosen].groupby(subsets["size"]).first()
    ax.plot(line.index, line, color=BLUE, marker="o", label=f"best {'set on validation' if every else 'on validation of the sets drawn'} (Exact-Best)")
    ax.set(xlabel="layers removed, without fine-tuning", ylabel=f"{split} accuracy (%)", xticks=range(int(subsets["size"].max()) + 1))
    legend_above(ax, ax.get_legend_handles_labels()[0])
    shown = ", ".join(f"{value:.1f} % with {size}" for size, value in line.items())
    return figure, f"Accuracy of the model without each of {len(subsets)} sets of layers{'' if every else ' drawn'}; of the best {'sets' if every else 'of them'} {shown} removed."


@plt.rc_context(STYLE)
def shapley_bars(values: pd.DataFrame, pairs: pd.DataFrame) -> tuple[Figure, str]:
    """Draw each layer's Shapley value on both splits (points of accuracy), and the interactions of pairs.

    `values`: rows of shapley.csv of one dataset and seed; `pairs`: (layers, layers), fractions.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.6))
    places = values["layer"] + 1
    for offset, split, colour in ((-0.2, "validation", BLUE), (0.2, "test", "#b0b0b0")):
        errors = values.get(f"accuracy_{split}_error")
        left.bar(places + offset, 100 * values[f"accuracy_{split}"], 0.38, color=colour, label=split, yerr=None if errors is None else 100 * errors)
    left.axhline(0, color="black", linewidth=0.8)
    left.set(xlabel="encoder layer (1 = next to the embeddings)", ylabel="Shapley value (points of accuracy)", xticks=places)
    left.legend()
    grid = (100 * pairs).set_axis(pairs.index + 1).set_axis(pairs.columns + 1, axis=1)
    widest = np.nanmax(np.abs(grid.to_numpy()), initial=1e-9)
    seaborn.heatmap(grid, ax=right, cmap="RdBu_r", vmin=-widest, vmax=widest, annot=len(grid) <= 8, fmt=".1f", square=True,
                    cbar_kws={"label": "interaction (points)"}, annot_kws={"fontsize": 7})
    right.set(xlabel="layer", ylabel="layer")
    right.tick_params(length=0)
    worth = 100 * values.set_index("layer")["accuracy_validation"].rename(lambda layer: f"layer {layer + 1}")
    highest = leading(worth)
    if len(highest) == len(worth):
        return figure, f"The Shapley value on validation is {worth.max():.1f} points ({leaders(worth)})."
    text = f"{listed(highest).capitalize()} {'has' if len(highest) == 1 else 'have'} the highest Shapley value, {worth.max():.1f} points on validation"
    return figure, f"{text}; {leaders(-worth)} the lowest, {worth.min():.1f}."


@plt.rc_context(STYLE)
def regret_curves(regret: pd.DataFrame) -> tuple[Figure, str]:
    """Draw regret on test (points) against layers removed for some ways to choose, and each way's mean in bars.

    `regret`: rows of regret.csv of one dataset and seed.
    """
    table = regret.pivot_table(index="method", columns="size", values="regret_test", sort=False)
    means, every = table.mean(axis=1).sort_values(kind="stable"), table.notna().all(axis=None)  # else only some sets were run
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 1.4 + 0.2 * len(means)), width_ratios=(1, 1.1))
    for name in (name for name in SHOWN if name in table.index):
        look = {"color": RED, "linestyle": "--"} if name == "Shapley" else line_look(name)
        left.plot(table.columns, table.loc[name], label=name, **look)
    left.axhline(0, color="grey", linewidth=0.8)
    left.set(xlabel="layers removed, without fine-tuning", ylabel="regret on test (points of accuracy)", xticks=list(table.columns))
    legend_above(left, left.get_legend_handles_labels()[0], columns=2)
    right.barh([label(name) for name in means.index], means, color=[COLOURS.get(name, UNKNOWN_COLOUR) for name in means.index])
    right.invert_yaxis()
    right.axvline(0, color="black", linewidth=0.8)
    sizes = "all sizes" if every else "the sizes of which its set was drawn"
    right.set_xlabel(textwrap.fill(f"mean regret on test over {sizes} (points)", 50))
    legend_above(right, [note_key(f"0: the best {'set' if every else 'of the sets drawn'} of each size on validation")])
    ends = f"least {listed(leading(-means))} {means.min():.1f} points, most {listed(leading(means))} {means.max():.1f}"
    alike = np.ptp(means) <= ALIKE
    return figure, f"Mean regret over {sizes}: {f'{means.max():.1f} points for {leaders(means)}' if alike else ends}."


@plt.rc_context(STYLE)
def before_after(pairs: pd.DataFrame, marked: dict[str, pd.DataFrame]) -> tuple[Figure, str]:
    """Draw each model's accuracy (%) after its rounds of fine-tuning against that of its set without any.

    `pairs`: `subset_numbers.before_and_after` of all models; `marked`: the same of some walks, drawn in their colours.
    """
    figure, ax = plt.subplots(figsize=(5.6, 4.4))
    sizes = pairs["size"].astype(float)
    dots = ax.scatter(100 * pairs["before"], 100 * pairs["after"], c=sizes, cmap="viridis_r", s=16, alpha=0.8)
    figure.colorbar(dots, label="layers removed", ticks=sorted(pairs["size"].unique()))
    for name, rows in marked.items():
        look = line_look(name) | {"linestyle": "none", "markersize": 9, "markerfacecolor": "none", "zorder": 5}
        ax.plot(100 * rows["before"], 100 * rows["after"], label=name, **look)
    ax.set(xlabel="without fine-tuning: test accuracy (%)", ylabel="after its rounds: test accuracy (%)")
    legend_above(ax, ax.get_legend_handles_labels()[0], columns=2)
    rho = pairs[["before", "after"]].corr("spearman").iloc[0, 1] if len(pairs) > 2 else float("nan")
    return figure, f"Accuracy before and after fine-tuning of {len(pairs)} models of the tree; rank correlation {defined(rho, '+.2f')}."
