"""Show a figure in a notebook, with its alt text and, where numbers are no results, the banner that says so."""

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from paperlib.common.messages import shown
from paperlib.evidence import provenance
from paperlib.figures.drawing import mark, png
from paperlib.params import Params

WHOLE = ("display.max_rows", "display.max_columns", "display.max_colwidth")  # pandas would leave out the middle of a long table
_banner = {"text": ""}  # what `begin` was told; like the display options of pandas, it holds for the whole notebook


def begin(params: Params, started: bool = False) -> None:
    """Open a notebook: start its clock, if it is not `started`; where its numbers are no results, say so here and on its figures.

    Its tables are shown whole.
    """
    if not started:
        provenance.start_clock()
    for limit in WHOLE:
        pd.set_option(limit, None)
    _banner["text"] = provenance.banner(params)
    if params.is_apart:
        display(Markdown(f"**Experiment** `{params.experiment}`: tables are written to `{shown(params.profile_dir)}`."))
    if _banner["text"]:
        display(Markdown(f"**{_banner['text']}**"))


def show(figure: Figure, alt: str) -> None:
    """Display a figure with its alt text, once, in a notebook and in the page made of it; then close it."""
    mark(figure, _banner["text"])
    image, (width, height) = png(figure, bbox_inches="tight")
    plt.close(figure)  # or the kernel shows it a second time, without alt text
    data = {"image/png": image, "text/plain": alt}
    display(data, metadata={"image/png": {"alt": alt, "width": width, "height": height}}, raw=True)
