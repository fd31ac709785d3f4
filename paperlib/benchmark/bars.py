"""Draw the benchmark's ratios as bars."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paperlib.benchmark.table import number
from paperlib.figures.drawing import STYLE, label

COLOURS = {
    "unit": "#2b7bba",
    "study": "#d63a00",
    "growth": "#84bcdb",
    "subsets": "#f5a300",
    "hardware": "#8c7445",
}
SHOWN = ("unit", "study", "subsets")


@plt.rc_context(STYLE)
def draw(table: pd.DataFrame) -> tuple[Figure, str]:
    """Draw how many times as long the plain version takes, one bar a row; return the figure and its alt text."""
    timed = table[table["ratio"].notna() & table["unit"].eq("s")]
    rows = timed[timed["part"].isin(SHOWN)] if timed["part"].isin(SHOWN).any() else timed
    rows = rows.drop_duplicates(["part", "what", "setting"])
    names = [
        "\n".join(label(text, 90) for text in (each.what, each.setting) if text) for each in rows.itertuples()
    ]
    figure, ax = plt.subplots(figsize=(9.5, 1.2 + 0.4 * len(rows)))
    errors = [
        (rows["ratio"] - rows["ratio_low"]).clip(lower=0),
        (rows["ratio_high"] - rows["ratio"]).clip(lower=0),
    ]
    places = range(len(rows))
    ax.barh(places, rows["ratio"] - 1, left=1, xerr=errors, color=[COLOURS.get(part, "#555555") for part in rows["part"]],
            error_kw={"elinewidth": 1.0, "capsize": 2})  # fmt: skip
    for place, (ratio, high) in enumerate(zip(rows["ratio"], rows["ratio_high"])):
        ax.annotate(number(ratio), (high, place), (6, 0), textcoords="offset points", va="center", fontsize=7)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_yticks(places, names, fontsize=7)
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlabel("time of the plain version / time of ours\nwhisker: least and greatest of the repeats")
    ax.xaxis.set_major_formatter("{x:g}")
    shown = "; ".join(
        f"{' '.join(name.split())}: {number(ratio)}" for name, ratio in zip(names, rows["ratio"])
    )
    return figure, f"Bars: how many times as long the plain version takes. {shown}."
