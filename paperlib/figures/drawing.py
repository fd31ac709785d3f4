"""How figures look and are saved: style, a colour and marker per strategy, marks of significance, files."""

import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from PIL import Image

from paperlib.common.files import atomic_write_bytes, atomic_write_text
from paperlib.evidence.statistics import sem
from paperlib.figures.narrow import NARROW_LABEL, NARROW_LINE, NARROW_WIDTH, is_narrow, wrapped
from paperlib.names import CONTROLS, FUSERS, OURS, RIVALS

STYLE = {
    # What an account has in a matplotlibrc (text.usetex, say) must not reach our figures.
    **{name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith(("backend", "interactive", "toolbar"))},
    "figure.constrained_layout.use": True, "figure.constrained_layout.h_pad": 0.06,
    "figure.dpi": 100, "savefig.dpi": 192,
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9, "axes.titlesize": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "legend.frameon": False, "legend.fontsize": 8, "legend.handlelength": 2.6, "svg.fonttype": "path",
    "svg.hashsalt": "paperlib",  # without it the identifiers in an SVG, hence its bytes, differ at every run
}

# A family shares a hue and runs from dark to light; the fusers are the only saturated warm colours, so that
# they stand out to every kind of colour vision. The marker tells apart what print or a screen might blend.
LOOKS = {
    "Random": ("#7f7f7f", "."),
    "Activation-Inhibition": ("#08306b", "^"),
    "Activation-Intensity": ("#2b7bba", "v"),
    "Activation-Energy": ("#84bcdb", "<"),
    "Task-Relevance-MI": ("#00594a", "D"),
    "Flow-Relevance-MI": ("#3db39e", "d"),
    "Gradient-Magnitudes": ("#4a1486", "p"),
    "Gradient-Fisher": ("#9e8ac8", "h"),
    "Weight-Norm": ("#4d3b1f", "P"),
    "Weight-Sparsity": ("#8c7445", "X"),
    "Weight-Entropy": ("#c4ae7c", "*"),
    "Attention-Weight": ("#8a1c64", ">"),
    "Attention-Entropy": ("#dd8fc0", "8"),
    "Linear-Regression": ("#f5a300", "s"),
    "Random-Forest": ("#d63a00", "o"),
    "Equal-Training": ("#000000", "None"),
    "Greedy-Ablation": ("#333333", "x"),
    "Linear-Regression-Validation": ("#666666", "1"),
    "Random-Forest-Validation": ("#999999", "2"),
    "Top-Drop": ("#4b5b2a", 7),
    "Bottom-Drop": ("#66783d", 6),
    "Alternate": ("#83955a", "4"),
    "Middle-Out": ("#a3b37e", "3"),
    "Block-Influence": ("#2f6f7a", "H"),
    "Rank-Mean": ("#5f9aa5", "+"),
    "Exact-Best": ("#1b3f8b", 10),
    "One-Shot": ("#5a5f8a", "_"),
}
COLOURS = {strategy: colour for strategy, (colour, _) in LOOKS.items()}
MARKERS = {strategy: marker for strategy, (_, marker) in LOOKS.items()}
EMPHASISED = (*FUSERS, "Equal-Training")
UNKNOWN_COLOUR = "#555555"  # a strategy a user added

CSS_DPI = 96  # pixels of a page in an inch: pictures are drawn twice as fine, for fine screens
COLOURS_KEPT = 255  # of a picture: charts have few, and a palette halves the file or better
AROUND = ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))  # right above first
ASTERISK = (6, 2, 0)  # matplotlib's six-armed asterisk: centred on its point, unlike the character
DIVERGING = "PuOr_r"  # low is purple, high orange: colour-blind safe, white at zero
BLACK, RED, GREEN, BLUE = "#000000", "#c1121f", "#009e73", "#0072b2"
ALPHA = 0.05
DOT = {"linestyle": "none", "marker": "o", "markersize": 2.8, "color": "white", "markeredgecolor": "black",
       "markeredgewidth": 0.6}  # one dataset, seed or random order


def style() -> None:
    """Set matplotlib's parameters to the project's style, for figures drawn outside this package."""
    plt.rcParams.update(STYLE)


def label(text: object, longest: int | None = None) -> str:
    """Return text on one line, `longest` characters of its ends (40, narrow 28), its dollar signs not read as mathematics."""
    line, longest = " ".join(str(text).split()), longest or (NARROW_LABEL if is_narrow() else 40)
    line = line if len(line) <= longest else line[: longest - longest // 3 - 1] + "…" + line[-(longest // 3) :]  # names of a series differ at their ends
    return line.replace("$", r"\$")


def line_look(strategy: str) -> dict:
    """Return the `Axes.plot` properties of a strategy: fusers and Equal-Training stand out, rivals stand back, dashed."""
    strong, control, rival = strategy in EMPHASISED, strategy in CONTROLS, strategy in RIVALS
    return {
        "color": COLOURS.get(strategy, UNKNOWN_COLOUR), "marker": MARKERS.get(strategy, "|"),
        "linestyle": "-." if strategy == "Equal-Training" else ":" if control else (0, (4, 2)) if rival else "-",
        "linewidth": 2.2 if strong else 1.3 if control else 0.8 if rival else 1.0,
        "markersize": 5 if strong or control else 3.5,
        "alpha": 1.0 if strong or control else 0.7 if rival else 0.8,
        "zorder": 4 if control else 3 if strong else 1.5 if rival else 2,  # through a dotted line one sees what lies under it
    }


def reachable(n: int, sides: int = 1) -> bool:
    """Say whether a signed-rank test of `n` pairs can reach p < 0.05: its smallest p-value is sides / 2^n."""
    return sides / 2**n < ALPHA


def too_small(n: int | str) -> str:
    """Return the note that stands where asterisks would mislead."""
    return f"n too small for a test to reach p < {ALPHA} (n = {n})"


def asterisk_key(colour: str, text: str) -> Line2D:
    """Return a legend entry that explains one colour of asterisk."""
    return Line2D([], [], linestyle="none", marker=ASTERISK, color=colour, markersize=8, label=text)


def note_key(text: str) -> Line2D:
    """Return a legend entry that is text alone."""
    return Line2D([], [], linestyle="none", label=text)


def test_note(n: int, units: str, sides: int = 1, most: int = 0) -> Line2D:
    """Return a legend entry that names the test of `n` (to `most`) units, or says that `n` is too small for it."""
    if not reachable(n, sides):
        return note_key(too_small(n))
    many = f"{n} to {most}" if most > n else n
    return note_key(f"Wilcoxon signed-rank over {many} {units},\np < {ALPHA}, not corrected for multiple tests")


def dot_key(text: str) -> Line2D:
    """Return a legend entry for the small open dots."""
    return Line2D([], [], label=text, **DOT)


def dataset_key(values: pd.DataFrame, bars: str = "bar: mean, whisker: s.e.m.") -> Line2D:
    """Return the legend entry for dots that stand for the columns of `values`."""
    n = values.shape[1]
    return dot_key(f"one of {n} datasets ({bars})" if n > 1 else "one dataset only" if n else "no dataset")


def legend_above(ax: Axes, handles: Sequence, columns: int = 1, title: str | None = None) -> None:
    """Put a legend on top of the axes, where no label or bar can meet it; in fewer columns where they would not fit.

    In the narrow form it stands below the axes, across the figure, which has one axes then.
    """
    if is_narrow():
        for handle in handles:
            handle.set_label(wrapped(handle.get_label(), NARROW_LINE))
        ax.figure.legend(handles=handles, loc="outside lower left")
        ax.set_title(title, fontweight="bold")
        return
    above = ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, title=title,
                      alignment="left", borderaxespad=0.3, columnspacing=1.4)
    above.get_title().set_fontweight("bold")
    if columns > 1 and above.get_window_extent().width > 0.9 * ax.figure.bbox.width:  # it must not squeeze the axes
        legend_above(ax, handles, columns - 1, title)


def place_labels(ax: Axes, names: dict[tuple[float, float], str]) -> None:
    """Put a name beside each point: of eight places around it, near before far, the first that meets no other name or point.

    A place that is nearer to another point comes last, and has a line: there a name would be read as that point's.
    """
    ax.figure.draw_without_rendering()  # before, the layout is not known
    points = ax.transData.transform(list(names))
    taken = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in points]
    for number, (point, name) in enumerate(names.items()):
        for own, far, side in itertools.product((True, False), (1.0, 2.2, 4.0, 6.0), AROUND):
            text = _beside(ax, point, name, far, side)
            box = _extent(text).padded(1)
            nearest = np.hypot(*(points - (box.p0 + box.p1) / 2).T).argmin() == number
            if (nearest or far > 1 and not own) and not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        else:
            text = _beside(ax, point, name, 1.0, AROUND[0])
        taken.append(_extent(text))


def _extent(text: Annotation) -> Bbox:
    text.update_positions(text.figure.canvas.get_renderer())
    return Text.get_window_extent(text)  # an annotation's own holds its arrow, too


def _beside(ax: Axes, point: tuple[float, float], name: str, far: float, side: tuple[int, int]) -> Annotation:
    aligned = {-1: "right", 0: "center", 1: "left"}[side[0]], {-1: "top", 0: "center", 1: "bottom"}[side[1]]
    line = {"arrowprops": {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6}} if far > 1 else {}
    return ax.annotate(name, point, xytext=(5 * far * side[0], 5 * far * side[1]), textcoords="offset points",
                       ha=aligned[0], va=aligned[1], **line)


def row_positions(names: Sequence[str]) -> np.ndarray:
    """Return one vertical place per row, with a gap before the first control and before the first rival."""
    return np.arange(len(names)) + 0.6 * np.isin(list(names), OURS) + 0.6 * np.isin(list(names), RIVALS)


def bar_rows(ax: Axes, values: pd.DataFrame, colours: Sequence[str], errors: bool = True) -> None:
    """Draw a horizontal bar (mean, optionally +- s.e.m.) and one dot per column for each row of `values`."""
    rows, several = row_positions(values.index), values.shape[1] > 1
    spread = values.apply(sem, axis=1) if errors and several else None
    ax.barh(rows, values.mean(axis=1), height=0.72, color=colours, alpha=0.85, xerr=spread,
            error_kw={"elinewidth": 1.2, "capsize": 2, "zorder": 4})
    offsets = np.linspace(-0.24, 0.24, values.shape[1]) if several else [0.0]
    for offset, column in zip(offsets, values.columns):  # a dataset has the same height within every bar
        ax.plot(values[column], rows + offset, zorder=3, **DOT)
    ax.set_yticks(rows, [label(name) for name in values.index])
    ax.set_ylim(rows[-1] + 0.6, -0.6)  # first row on top
    ax.tick_params(axis="y", length=0)


def mark_rows(
    ax: Axes, significant: pd.Series, names: Sequence[str], colour: str, column: int, name: str
) -> None:
    """Put asterisks of one colour in their own column right of the axes, at the rows that are significant."""
    rows = row_positions(names)[significant.reindex(names).fillna(False).to_numpy(dtype=bool)]
    if len(rows):  # an empty line outside the axes would upset the layout
        places = np.full(len(rows), 1.03 + (0.06 if is_narrow() else 0.045) * column)  # in widths of the axes
        ax.plot(places, rows, linestyle="none", marker=ASTERISK, markersize=8, color=colour, clip_on=False,
                label=name, transform=ax.get_yaxis_transform())


def mark(figure: Figure, banner: str | None, stamp: str = "") -> None:
    """Draw a banner, if there is one, across the top of a figure, and a stamp at its foot; a second time changes nothing."""
    if stamp:
        figure.supxlabel(label(stamp, 200), x=0.005, ha="left", color="grey", fontsize=6)
    if banner:
        box = {"facecolor": RED, "edgecolor": RED, "boxstyle": "square,pad=0.3"}
        narrow, text = figure.get_figwidth() <= NARROW_WIDTH, label(banner, 100)
        size = 7 if narrow else min(10, 1.55 * figure.get_figwidth())
        figure.suptitle(wrapped(text, NARROW_LINE) if narrow else text, color="white", fontsize=size, fontweight="bold", bbox=box)


def png(figure: Figure, **options) -> tuple[bytes, tuple[int, int]]:
    """Return a figure as a PNG of few colours, and its size in CSS pixels, half of its own; the same bytes every time."""
    drawn, content = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=2 * CSS_DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 1}, **options)
    with Image.open(drawn) as picture:
        size = (picture.width // 2, picture.height // 2)
        # Maximum coverage keeps the colour of a thin line, which the median cut gives to a more frequent neighbour. Every
        # ninth pixel is enough to find the palette, and all of them take ten times as long.
        colours, plain = picture.convert("RGB"), {"dither": Image.Dither.NONE}
        sample = colours.resize((picture.width // 3, picture.height // 3), Image.Resampling.NEAREST)
        palette = sample.quantize(COLOURS_KEPT, Image.Quantize.MAXCOVERAGE, kmeans=2, **plain)
        colours.quantize(palette=palette, **plain).save(content, format="png", optimize=True, dpi=(2 * CSS_DPI, 2 * CSS_DPI))
    return content.getvalue(), size


def save(
    figure: Figure, folder: Path | str, name: str, alt: str, banner: str | None = None, stamp: str = "", svg: bool = True
) -> Path:
    """Write <name>.png, <name>.svg and <name>.alt.txt, close the figure and return the picture's path.

    The bytes depend on what is drawn alone, not on the time. `banner` is drawn across the top, `stamp` in
    small grey print at the foot. Raises UserError when the folder cannot be written.
    """
    mark(figure, banner, stamp)
    with plt.rc_context(STYLE):
        atomic_write_bytes(Path(folder) / f"{name}.png", png(figure)[0])
        if svg:
            content = io.BytesIO()
            figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None, "Title": alt})
            atomic_write_bytes(Path(folder) / f"{name}.svg", content.getvalue())
    atomic_write_text(Path(folder) / f"{name}.alt.txt", alt + "\n")
    plt.close(figure)
    return Path(folder) / f"{name}.png"
