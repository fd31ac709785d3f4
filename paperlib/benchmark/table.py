"""The benchmark's table: one row per comparison, as CSV with every digit and as Markdown to be read."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import pandas as pd

from paperlib.common import escape
from paperlib.common.markdown_table import markdown_table

EMPTY = "–"
NUMBERS = ("ours", "plain", "plain / ours", "difference", "repeats")
# Medians, least and greatest values. `ratio` is plain over ours: above 1, ours is the faster (or smaller) one.
# `difference` is between results, not times. `basis`: measured, extrapolated, counted or skipped.
COLUMNS = [
    "part", "what", "setting", "unit", "ours", "ours_low", "ours_high", "plain", "plain_low", "plain_high",
    "ratio", "ratio_low", "ratio_high", "difference", "repeats", "basis", "note",
]  # fmt: skip
Row = dict[str, Any]  # some of these columns


def row(part: str, what: str, setting="", ours: Sequence[float] = (), plain: Sequence[float] = (), **more) -> Row:
    """Summarise the values of all repeats; those of ours and plain with the same place are a pair of neighbours."""
    values = _summary("ours", ours) | _summary("plain", plain)
    if ours and plain and all(ours):
        values |= _summary("ratio", [p / o for o, p in zip(ours, plain)])
        values["ratio"] = values["plain"] / values["ours"]
    given = {"part": part, "what": what, "setting": setting, "unit": "s", "basis": "measured", "note": ""}
    return {**given, "repeats": max(len(ours), len(plain)), **values, **more}


def skipped(part: str, what: str, setting: str, note: str) -> Row:
    """Return a row that says why something could not be timed."""
    return row(part, what, setting, basis="skipped", note=note)


def to_markdown(table: pd.DataFrame, titles: dict[str, str]) -> str:
    """Return one Markdown table for each part, under its title; columns without a value are left out."""
    parts = {part: table[table["part"] == part] for part in titles}
    return "\n".join(f"## {titles[part]}\n\n{_section(rows)}" for part, rows in parts.items() if len(rows))


def number(value: float) -> str:
    """Write a number with three significant digits, whole numbers from 1000."""
    if not math.isfinite(value):
        return EMPTY
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def spread(middle: float, low: float, high: float) -> str:
    """Write a median with the least and the greatest value, where they differ as written."""
    shown, ends = number(middle), (number(low), number(high))
    return shown if EMPTY in (shown, *ends) or ends == (shown, shown) else f"{shown} ({ends[0]} to {ends[1]})"


def _summary(name: str, values: Sequence[float]) -> Row:
    if not values:
        return {}
    return {name: statistics.median(values), f"{name}_low": min(values), f"{name}_high": max(values)}


def _section(table: pd.DataFrame) -> str:
    cells = table[["what", "setting", "unit"]].copy()
    for name, head in (("ours", "ours"), ("plain", "plain"), ("ratio", "plain / ours")):
        cells[head] = [spread(*values) for values in table[[name, f"{name}_low", f"{name}_high"]].to_numpy(float)]
    cells["difference"] = table["difference"].astype(float).map(number)
    cells = cells.assign(repeats=table["repeats"].map(str), basis=table["basis"], note=table["note"])
    used = [name for name in cells if not cells[name].isin(["", EMPTY]).all()]
    return markdown_table(used, cells[used].map(escape.markdown).to_numpy(), NUMBERS)
