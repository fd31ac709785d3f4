"""Signals looked at closely, for the notebooks of one dataset and seed: tables, figures and their alt texts.

Layers count from 0 in what comes in and from 1 in what is shown. `scores` is always (layers, signals): the
signals with the sign by which a strategy chooses, so that the least is removed first.
"""

from collections.abc import Collection, Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from paperlib.common.messages import count
from paperlib.evidence.sentences import leading, listed
from paperlib.evidence.unit_numbers import effective_number
from paperlib.figures.drawing import BLACK, BLUE, DIVERGING, RED, STYLE, legend_above
from paperlib.fusers import standardise
from paperlib.signals import TIE_TOLERANCE, degenerate
from paperlib.strategies import Choice

NO_ORDER = "#e6e6e6"  # fills what a signal that is the same in every layer leaves open
LAYER_AXIS = "encoder layer (1 = next to the embeddings)"
SPLITS = {"test": (BLACK, "o", BLACK), "validation": (BLUE, "s", "white")}  # colour, marker, fill
EDGE = 1.08  # of an axis of correlations


def signal_table(signals: pd.DataFrame, choices: Mapping[str, Choice]) -> pd.DataFrame:
    """Return one row of text per signal: its value in each layer, spread, the layer to remove first.

    `spread` is (largest - smallest) / largest absolute value; `choices` were made at the same model.
    """
    table = signals.T.apply(_distinct, axis=1)
    table.columns = [f"layer {layer + 1}" for layer in signals.index]
    largest = signals.abs().max()
    spread = (signals.max() - signals.min()) / largest.where(largest > 0, 1)
    table["spread"] = spread.map("{:.2%}".format)
    table["first out"] = [_first_out(choices[name]) for name in table.index]
    return table.rename_axis(None)


@plt.rc_context(STYLE)
def signal_map(scores: pd.DataFrame, reversed_: Collection[str], firsts: Mapping[str, int]) -> tuple[Figure, str]:
    """Draw a heat map (signals, layers): colour = standardised score, number = place in order of removal.

    `reversed_`: the signals whose sign the scores have turned (`strategies.highest_first`); `firsts`: signal -> the layer
    that it removes, drawn where several tie. What is not a number stays blank.
    """
    flat = degenerate(scores)
    places = scores.rank().T
    figure, ax = _heat_map(standardise(scores).where(scores.notna()).T, places.map("{:g}".format), flat, 2.5)
    figure.axes[-1].set_ylabel("importance (standard deviations)")
    ax.set(xlabel=LAYER_AXIS)
    ax.set_xticks(np.arange(len(scores)) + 0.5, [layer + 1 for layer in scores.index])
    ax.set_yticks(np.arange(len(places)) + 0.5, _signed(places.index, reversed_), rotation=0)
    votes = pd.Series([firsts[name] + 1 for name in places.index.drop(flat) if name in firsts], dtype=int).value_counts()
    return figure, f"Importance of {len(scores)} layers by {len(places)} signals.{_first_text(votes)}{_flat_text(flat)}"


@plt.rc_context(STYLE)
def correlation_map(correlation: pd.DataFrame) -> tuple[Figure, str]:
    """Draw the lower triangle of `unit_numbers.rank_correlation`; signals without an order are grey."""
    flat = list(correlation.columns[correlation.isna().all()])
    lower = correlation.where(np.tri(len(correlation), k=-1, dtype=bool)).iloc[1:, :-1]
    figure, ax = _heat_map(lower, lower.map("{:+.2f}".format), [], 1.0)
    figure.axes[-1].set_ylabel("Spearman rank correlation")
    of_flat = np.logical_or.outer(lower.index.isin(flat), lower.columns.isin(flat))
    for row, column in np.argwhere(of_flat & np.tri(*lower.shape, dtype=bool)):
        ax.add_patch(Rectangle((column, row), 1, 1, facecolor=NO_ORDER, edgecolor="white"))
    pairs, orders = lower.stack().dropna(), effective_number(correlation)
    low, middle, high = pairs.quantile([0, 0.5, 1])
    numbers = f", {low:+z.2f} to {high:+z.2f}, median {middle:+z.2f}" if len(pairs) else ""
    amount = "the number of independent orders is undefined" if np.isnan(orders) else f"they amount to {orders:.1f} independent orders"
    return figure, f"Rank correlations of {count(len(pairs), 'pair')} of signals{numbers}; {amount}.{_flat_text(flat)}"


@plt.rc_context(STYLE)
def agreement_chart(
    agreement: pd.DataFrame, limit: float, ceiling: float, layers: int, reversed_: Collection[str]
) -> tuple[Figure, str]:
    """Draw the rank correlation of each signal with the measured accuracy drop.

    `agreement`: (signals, test and validation); `limit`: that of `unit_numbers.chance_limit`; `ceiling`: what a
    perfect signal could reach, nan if unknown; `reversed_`: as for `signal_map`.
    """
    figure, ax = plt.subplots(figsize=(6.8, 1.9 + 0.26 * len(agreement)))
    rows, within = np.arange(len(agreement)), 0 if np.isnan(limit) else min(limit, EDGE)
    ax.axvspan(-within, within, color="#eeeeee", zorder=0)
    ax.axvline(0, color="grey", linewidth=0.8)
    for shift, (split, (colour, marker, fill)) in zip((-0.16, 0.16), SPLITS.items()):  # equal values side by side
        ax.plot(agreement[split], rows + shift, linestyle="none", marker=marker, color=colour, markerfacecolor=fill,
                label=f"drop on {split}")
    keys = [*ax.lines[1:], Patch(color="#eeeeee", label=_chance_text(limit, layers))]
    if np.isfinite(ceiling):
        text = "a perfect signal, given the noise of the drop"
        keys.append(ax.axvline(ceiling, color=RED, linestyle="--", linewidth=1.2, label=text))
    ax.set_yticks(rows, _signed(agreement.index, reversed_))
    ax.set(xlim=(-EDGE, EDGE), ylim=(len(rows) - 0.4, -0.6))
    ax.set_xlabel(f"Spearman correlation of importance and drop (n = {count(layers, 'layer')})")
    legend_above(ax, keys, columns=2)
    beyond = ", ".join(agreement.index[agreement["test"].abs() >= limit]) or "none"
    return figure, (f"Rank correlation of {len(agreement)} signals with the accuracy drop over "
                    f"{count(layers, 'layer')}. Beyond chance on test: {beyond}.")


def _heat_map(values: pd.DataFrame, texts: pd.DataFrame, flat: list[str], most: float) -> tuple[Figure, Axes]:
    """Draw a heat map with a text in each cell; rows named in `flat` are grey and say why they have no order."""
    rows, columns = values.shape
    figure, ax = plt.subplots(figsize=(3.6 + 0.5 * columns, 1.5 + 0.3 * rows))
    drawn = values.astype(float)
    drawn.loc[flat] = np.nan
    seaborn.heatmap(drawn, ax=ax, cmap=DIVERGING, vmin=-most, vmax=most, annot=texts, fmt="", linewidths=0.6,
                    annot_kws={"fontsize": 7.5}, cbar_kws={"shrink": 0.8})
    ax.set(xlabel="", ylabel="")
    for name in flat:
        row = values.index.get_loc(name)
        ax.add_patch(Rectangle((0, row), columns, 1, facecolor=NO_ORDER, edgecolor="white"))
        why = "not a number in any layer" if values.loc[name].isna().all() else "the same in every layer"
        ax.text(columns / 2, row + 0.5, why, ha="center", va="center", fontsize=7.5)
    ax.tick_params(length=0)
    return figure, ax


def _distinct(values: pd.Series) -> pd.Series:
    """Write numbers with four digits, or with as many as it takes (up to 8) to tell the two lowest and the two highest apart."""
    ordered = np.sort(values.to_numpy(dtype=float))
    neighbours = [pair for pair in (ordered[:2], ordered[-2:]) if not np.isclose(*pair, rtol=TIE_TOLERANCE, atol=0)]
    texts = {digits: f"{{:.{digits}g}}".format for digits in range(4, 9)}
    digits = next((n for n, text in texts.items() if all(text(low) != text(high) for low, high in neighbours)), 8)
    return values.map(texts[digits])


def _first_text(votes: pd.Series) -> str:
    if votes.empty:
        return ""
    most, of = [str(layer) for layer in sorted(leading(votes))], f"first out for {votes.max()} of {votes.sum()}"
    return f" Layer {most[0]} is {of}." if len(most) == 1 else f" Layers {listed(most)} are each {of}."


def _first_out(choice: Choice) -> str:
    tie = f" (drawn from {choice.ties})" if choice.ties > 1 else ""
    return f"layer {choice.layer + 1}{tie}"


def _signed(names: Iterable[str], reversed_: Collection[str]) -> list[str]:
    return [f"{name} (reversed)" if name in reversed_ else name for name in names]


def _chance_text(limit: float, layers: int) -> str:
    if np.isnan(limit):
        return "all drops are equal: no order to agree with"
    if np.isinf(limit):
        return f"chance: with {count(layers, 'layer')} even ±1 has p > 0.05"
    return "chance: 95 % of random orders"


def _flat_text(flat: list[str]) -> str:
    return f" No order: {', '.join(flat)}." if flat else ""
