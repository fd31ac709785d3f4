"""Draw the maximum accuracies of two runs side by side."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from paperlib.evidence.sentences import ALIKE, leaders, leading
from paperlib.figures.drawing import BLACK, RED, STYLE, legend_above, row_positions


@plt.rc_context(STYLE)
def draw(walks: pd.DataFrame) -> tuple[Figure, str]:
    """Draw two dots for each strategy, its maximum accuracy in either run; return the figure and its alt text."""
    places = row_positions(walks.index)
    figure, ax = plt.subplots(figsize=(6.8, 1.5 + 0.25 * len(walks)))
    ax.hlines(places, walks["one"], walks["other"], color="#bbbbbb", linewidth=2.5, zorder=1)
    (mine,) = ax.plot(walks["one"], places, "o", color=BLACK, markersize=4, label="this run")
    (theirs,) = ax.plot(walks["other"], places, "D", color=RED, markerfacecolor="none", label="the other")
    ax.set_yticks(places, walks.index)
    ax.invert_yaxis()
    ax.set_xlabel("maximum accuracy over 1 to L removed layers, mean over units")
    legend_above(ax, [mine, theirs], columns=2)
    return figure, f"Maximum accuracy of {len(walks)} strategies in two runs: {_gaps_text(walks['difference'])}."


def _gaps_text(gaps: pd.Series) -> str:
    far = gaps[leading(gaps.abs())]
    if far.empty:
        return "the difference is undefined"
    if far.abs().max() <= ALIKE:
        return "the same in both"
    size = f"±{far.max():.1f}" if far.min() < 0 < far.max() else f"{far.iloc[0]:+z.1f}"
    return f"the other differs by {gaps.mean():+z.1f} points on average, at most by {size} ({leaders(gaps.abs())})"
