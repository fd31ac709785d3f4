"""Figures 5, 6 and 8: the fusers looked at closely. Numbers in, a matplotlib figure and its alt text out."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paperlib.common.messages import count
from paperlib.evidence import statistics
from paperlib.evidence.sentences import leaders, mean_over
from paperlib.figures.drawing import (  # fmt: skip
    ALPHA,
    ASTERISK,
    BLUE,
    COLOURS,
    DOT,
    GREEN,
    RED,
    STYLE,
    asterisk_key,
    bar_rows,
    dataset_key,
    dot_key,
    label,
    legend_above,
    mark_rows,
    note_key,
    reachable,
    test_note,
    too_small,
)
from paperlib.figures.narrow import NARROW_WIDTH, fitting, is_narrow
from paperlib.names import FUSERS, STRATEGIES
from paperlib.params import DATASETS

FOREST = "Random-Forest"
WHISKER = {"linewidth": 1.2, "color": "black"}
HATCHED = {"facecolor": "white", "hatch": "/////", "linewidth": 1.0}
MODELS = {  # model in distillation.csv -> name and look of its bar
    "teacher": ("original", {"color": "#555555"}),
    "pruned": ("pruned", {"color": "#f3ab92"}),
    "distilled": ("pruned + distilled", {"color": COLOURS[FOREST]}),
    "ce_control": (
        "control: pruned + as much training without teacher", {"edgecolor": COLOURS[FOREST], **HATCHED}),
}
ORDERS = {  # test in randomization.csv -> look of its bar, name and colour of its asterisk
    "Random-All": ({"color": "#a6a6a6"}, "left", RED),
    "Random-Inner": ({"edgecolor": "#8c8c8c", **HATCHED}, "right", GREEN),
}


@plt.rc_context(STYLE)
def distillation_bars(distillation: pd.DataFrame, test_size: int | None = None) -> tuple[Figure, str]:
    """Draw Figure 5: test accuracy (%) of the original, pruned, distilled and cross-entropy-only models.

    One group per dataset, labelled with the layers removed. Error bars = s.e.m. over seeds; of a dataset with one seed
    the sampling error on `test_size` examples, if given.
    """
    rows = distillation.rename(columns={"model": "bar"})
    kinds = {model: look for model, look in MODELS.items() if model in set(rows["bar"])}
    figure, ax, names = _grouped_bars(rows, kinds, errorbar="se")
    handles = list(ax.containers)
    _name_groups(ax, [f"{_group_name(name, len(names))}\n{_removed(rows[rows['dataset'] == name])}" for name in names])
    seeds = rows.groupby("dataset")["seed"].nunique()
    single = [name for name in names if seeds[name] == 1]
    several = sorted(set(seeds) - {1})
    notes = [f"s.e.m. over {' or '.join(map(str, several))} seeds"] if several else []
    if single and test_size:
        _sampling_whiskers(ax, rows[rows["dataset"].isin(single)], names, list(kinds), test_size)
        whose = f"{count(len(single))} with one seed" if several else "one seed"
        notes.append(f"standard error on {test_size} test examples ({whose})")
    legend_above(ax, [*handles, note_key(f"whisker: {'; '.join(notes)}" if notes else "one seed")], columns=2)
    return figure, _distillation_text(rows)


@plt.rc_context(STYLE)
def fuser_weights(fusion: pd.DataFrame) -> tuple[Figure, str]:
    """Draw Figure 6: scaled weights (LR) and importances (RF) of the signals, mean +- s.e.m. over datasets.

    Asterisks (one-sided Wilcoxon over datasets): blue, LR weight above 0; red, RF importance above the
    median importance of the same dataset.
    """
    weights = statistics.scaled_weights(fusion)
    fusers = [fuser for fuser in FUSERS if fuser in set(weights["strategy"])]
    if is_narrow():  # one below the other, each with its legend
        figure = plt.figure(figsize=(NARROW_WIDTH, 4.4 * len(fusers)))
        axes = np.array([part.subplots() for part in figure.subfigures(len(fusers), squeeze=False).flat])
    else:
        figure, axes = plt.subplots(1, len(fusers), figsize=(1.6 + 3.7 * len(fusers), 5.0), sharey=True, squeeze=False)
    largest = []
    for ax, fuser in zip(axes.flat, fusers):
        table = _signal_table(weights[weights["strategy"] == fuser])
        _weight_bars(ax, table, fuser)
        mean = table.mean(axis=1)
        largest.append(f"{leaders(mean)} in {fuser} ({mean.max():+.2f})")
    return figure, (f"Scaled weights of {len(table)} signals, {mean_over(table.shape[1])}. "
                    f"Largest: {' and '.join(largest)}.")


@plt.rc_context(STYLE)
def randomization(steps: pd.DataFrame, randomization: pd.DataFrame) -> tuple[Figure, str]:
    """Draw Figure 8: Random-Forest's maximum accuracy (%) against those of random orders, per dataset.

    Bars are means, dots the single orders (or seeds). Red asterisk: significantly above random orders of all
    layers; green: above random orders that never remove the first or last layer. The legend says how often the test
    is fooled (`statistics.false_alarms`).
    """
    tests, orders = statistics.randomization_tests(steps, randomization), _order_names(steps, randomization)
    kinds = {FOREST: (FOREST, {"color": COLOURS[FOREST]})} | {
        test: (name, ORDERS[test][0]) for test, name in orders.items()}
    drawn = randomization.rename(columns={"test": "bar", "max_accuracy": "accuracy"})
    informed = statistics.forest_maxima(steps).reset_index(name="accuracy").assign(bar=FOREST)
    informed = informed[informed["dataset"].isin(drawn["dataset"])]
    figure, ax, names = _grouped_bars(pd.concat([informed, drawn]), kinds, errorbar=None)
    _dots(ax, pd.concat([informed, drawn]), names, list(kinds))
    keys = [*ax.containers, dot_key("one random order (or one seed)")]
    highest = informed.groupby("dataset")["accuracy"].max().reindex(names)  # of the dots, which asterisks would hide
    legend_above(ax, keys + _random_marks(ax, tests, 100 * highest, orders), columns=2)
    return figure, _randomization_text(tests, orders)


def _grouped_bars(rows: pd.DataFrame, kinds: dict, errorbar: str | None) -> tuple[Figure, Axes, list[str]]:
    """Draw accuracy (%), a group of bars per dataset; return figure, axes and the datasets in order."""
    place = {name: rank for rank, name in enumerate(DATASETS)}
    names = sorted(rows["dataset"].unique(), key=lambda name: (place.get(name, len(place)), name))
    figure, ax = plt.subplots(figsize=(fitting(max(6.8, 1.4 + 1.15 * len(names))), 5.2 if is_narrow() else 4.3))
    data = rows.assign(percent=100 * rows["accuracy"]).reset_index(drop=True)
    seaborn.barplot(data, x="dataset", y="percent", hue="bar", order=names, hue_order=list(kinds), ax=ax,
                    errorbar=errorbar, capsize=0.25, err_kws=WHISKER, legend=False)
    for bars, (text, look) in zip(ax.containers, kinds.values()):
        bars.set_label(text)
        plt.setp(bars.patches, **look)
    margin = max(0.55, 1.5 - len(names) / 2)  # or a single group would fill the page
    ax.set(xlabel="", ylabel="test accuracy (%)", xlim=(-margin, len(names) - 1 + margin))
    _name_groups(ax, [_group_name(name, len(names)) for name in names])
    ax.tick_params(axis="x", length=0)
    return figure, ax, names


def _group_name(name: str, groups: int) -> str:
    """Cut a name to what stands below a group without meeting the next; of many groups in the narrow form, upright."""
    return label(name, 14 if groups > 4 and not is_narrow() else 18)


def _name_groups(ax: Axes, names: list[str]) -> None:
    ax.set_xticks(range(len(names)), names, rotation=90 if is_narrow() and len(names) > 2 else 0)


def _bar_places(groups: int, bars: int) -> np.ndarray:
    """Return where seaborn puts the centres of grouped bars, shape (bars, groups)."""
    width = 0.8 / bars
    return np.arange(groups) + width * (np.arange(bars) - (bars - 1) / 2)[:, None]


def _dots(ax: Axes, rows: pd.DataFrame, names: list[str], kinds: list[str]) -> None:
    """Put one dot per row of `rows` on its bar, side by side in the order of the rows."""
    places = pd.DataFrame(_bar_places(len(names), len(kinds)), index=kinds, columns=names)
    for (kind, dataset), cell in rows.groupby(["bar", "dataset"]):
        reach = 0.38 * (1 - 1 / len(cell)) * 0.8 / len(kinds)  # 0 for a single dot, within the bar for many
        spread = np.linspace(-reach, reach, len(cell))
        ax.plot(places.loc[kind, dataset] + spread, 100 * cell["accuracy"], **DOT)


def _sampling_whiskers(ax: Axes, rows: pd.DataFrame, names: list[str], kinds: list[str], test_size: int) -> None:
    """Put the sampling error of each accuracy on its bar."""
    heights = rows.pivot_table(index="bar", columns="dataset", values="accuracy").reindex(index=kinds, columns=names)
    errors = 100 * heights.map(lambda accuracy: statistics.sampling_error(accuracy, test_size))
    places = _bar_places(len(names), len(kinds))
    ax.errorbar(places.ravel(), 100 * heights.to_numpy().ravel(), errors.to_numpy().ravel(), fmt="none", capsize=3,
                ecolor="black", elinewidth=1.2)


def _removed(rows: pd.DataFrame) -> str:
    pruned = rows.loc[rows["bar"] == "pruned", "removed"].astype(object).fillna("")  # read as missing
    counts = pruned.map(lambda removed: len(str(removed).split("-")) if removed != "" else 0)
    between = " " if is_narrow() else "\n"
    return f"{counts.mean():.3g} of {rows['layers'].iloc[0]}{between}layers removed"


def _distillation_text(rows: pd.DataFrame) -> str:
    mean = 100 * rows.groupby(["dataset", "bar"])["accuracy"].mean().unstack()
    numbers = ", ".join(f"{MODELS[model][0]} {mean[model].mean():.1f} %" for model in MODELS if model in mean)
    text = f"Test accuracy, {mean_over(len(mean))}: {numbers}."
    if {"distilled", "teacher"} <= set(mean):
        text += f" Distilled above original on {(mean['distilled'] > mean['teacher']).sum()} of {len(mean)}."
    return text


def _signal_table(weights: pd.DataFrame) -> pd.DataFrame:
    """Return (signals, datasets): mean weight over seeds, signals in the order of Table 1."""
    table = weights.groupby(["signal", "dataset"])["weight"].mean().unstack()
    return table.loc[[name for name in STRATEGIES if name in table.index]]


def _weight_bars(ax: Axes, table: pd.DataFrame, fuser: str) -> None:
    n, forest = table.shape[1], fuser == FOREST
    bar_rows(ax, table, [COLOURS[name] for name in table.index])
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("scaled importance" if forest else "scaled weight")
    ax.xaxis.get_major_locator().set_params(nbins=5)
    keys = [dataset_key(table)]
    if reachable(n):
        colour, name = (RED, "above the median importance") if forest else (BLUE, "above 0")
        above = table - table.median() if forest else table
        p = above.apply(statistics.wilcoxon_p, axis=1, alternative="greater")
        mark_rows(ax, p < ALPHA, table.index, colour, 0, name)
        keys += [asterisk_key(colour, f"significantly {name} (one-sided)")]
    legend_above(ax, [*keys, test_note(n, "datasets")], title=fuser)


def _order_names(steps: pd.DataFrame, randomization: pd.DataFrame) -> dict[str, str]:
    """Return test -> the paper's name, which counts the layers that may be removed (Random12, Random10)."""
    depths, run = steps["layers"].unique(), set(randomization["test"])
    return {test: f"Random{depths[0] - kept}" if len(depths) == 1 else test
            for test, kept in (("Random-All", 0), ("Random-Inner", 2)) if test in run}


def _random_marks(ax: Axes, tests: pd.DataFrame, highest: pd.Series, orders: dict[str, str]) -> list:
    """Put asterisks above Random-Forest's bars and dots, as high as `highest` (%) of the datasets; return the legend entries that explain them."""
    few = ~tests["n"].map(reachable)
    keys, margin = [], 0.05 * ax.get_ylim()[1]
    forest_bars = _bar_places(len(highest), 1 + len(orders))[0]
    for test, name in orders.items():
        _, side, colour = ORDERS[test]
        rows = tests.xs(test, level="test").reindex(highest.index)
        marked = (rows["p"] < ALPHA).to_numpy()
        shift = 0.07 if side == "right" else -0.07
        ax.plot(forest_bars[marked] + shift, (highest + margin)[marked], linestyle="none",
                marker=ASTERISK, color=colour, markersize=7, label=f"above {name}")
        if not few.all():
            keys += [asterisk_key(colour, f"{side}: significantly above {name} (one-sided)")]
    if not few.all():
        n = tests.loc[~few, "n"]
        keys += [test_note(n.min(), "random orders", most=n.max()), note_key(_fooled(tests[~few]))]
    if few.any():
        whose = "" if few.all() else f"{count(tests[few].index.unique('dataset').size)}: "
        keys.append(note_key(whose + too_small(_span(tests.loc[few, "n"]))))
    return keys


def _fooled(tests: pd.DataFrame) -> str:
    """Say how often one more random order would get an asterisk: each dataset has its own number of orders and seeds."""
    rates = [statistics.false_alarms(n, seeds=seeds) for n, seeds in set(zip(tests["n"], tests["seeds"]))]
    return f"one more random order, too, would get an asterisk\nin {_span(rates, '.0%')} of studies (simulated), not in {ALPHA:.0%}"


def _span(values: Iterable[float], form: str = "d") -> str:
    return " to ".join(dict.fromkeys(format(value, form) for value in (min(values), max(values))))


def _randomization_text(tests: pd.DataFrame, orders: dict[str, str]) -> str:
    parts = []
    for test, name in orders.items():
        rows = tests.xs(test, level="test")
        gain = 100 * (rows["informed"] - rows["random"])
        parts.append(f"{gain.mean():+.1f} points against {name} (above its mean on {(gain > 0).sum()} "
                     f"of {len(gain)}, significantly on {(rows['p'] < ALPHA).sum()})")
    return f"Maximum accuracy of {FOREST}, {mean_over(len(gain))}: {' and '.join(parts)}."
