"""The narrow form of a figure, for small screens: how wide it is, when it is drawn, where its texts break."""

import contextlib
import contextvars
import re
import textwrap
from collections.abc import Iterator

from matplotlib.axes import Axes

NARROW_WIDTH = 4.2  # inches: a small screen's 400 pixels
NARROW_LINE, NARROW_LABEL = 48, 28  # characters of a legend and of an axis label across them
_narrow = contextvars.ContextVar("narrow", default=False)


@contextlib.contextmanager
def small_screen() -> Iterator[None]:
    """Let Figures 1 to 8 be drawn in their narrow form, with legends that can be read on a telephone."""
    token = _narrow.set(True)
    try:
        yield
    finally:
        _narrow.reset(token)


def is_narrow() -> bool:
    """Say whether figures are drawn in their narrow form."""
    return _narrow.get()


def fitting(width: float) -> float:
    """Return a figure's width in inches, no more than a small screen's in the narrow form."""
    return min(width, NARROW_WIDTH) if is_narrow() else width


def x_label(ax: Axes, text: str) -> None:
    """Name the horizontal axis, on several lines in the narrow form."""
    ax.set_xlabel(wrapped(text, NARROW_LABEL) if is_narrow() else text)


def wrapped(text: str, width: int) -> str:
    """Break a text into lines, but not at a hyphen or beside a sign."""
    return textwrap.fill(re.sub(" ([<=]) ", "\u00a0\\1\u00a0", text), width, break_on_hyphens=False)
