"""The benchmark's table: one row per comparison, as CSV with every digit and as Markdown to be read."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd

from paperlib.common import escape
from paperlib.common.markdown_table import markdown_table

EMPTY = "–"


@dataclass(frozen=True)
class Row:
    """What was timed (or counted, or compared), ours and the plain version's: medians, least and greatest value.

    `ratio` is plain over ours: above 1, ours is the faster (or smaller) one. `difference` is between results, not times.
    `basis` says where the numbers are from: measured, extrapolated, counted, stored, compared or skipped.
    """

    part: str
    what: str
    setting: str = ""
    unit: str = "s"
    ours: float | None = None
    ours_low: float | None = None
    ours_high: float | None = None
    plain: float | None = None
    plain_low: float | None = None
    plain_high: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    difference: float | None = None
    repeats: int = 0
    basis: str = "measured"
    note: str = ""


COLUMNS = [column.name for column in fields(Row)]


def row(
    part: str,
    what: str,
    setting: str = "",
    *,
    ours: Sequence[float] = (),
    plain: Sequence[float] = (),
    **more: Any,
) -> Row:
    """Summarise the values of all repeats; those of ours and plain with the same place are a pair of neighbours."""
    values = {**_summary("ours", ours), **_summary("plain", plain)}
    if ours and plain and all(ours):
        pairs = [p / o for o, p in zip(ours, plain)]
        values |= {"ratio": statistics.median(plain) / statistics.median(ours)}
        values |= {"ratio_low": min(pairs), "ratio_high": max(pairs)}
    return Row(part, what, setting, **{"repeats": max(len(ours), len(plain)), **values, **more})


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows as a table, columns as the fields of `Row`."""
    return pd.DataFrame([asdict(each) for each in rows], columns=COLUMNS)


def to_csv(table: pd.DataFrame) -> str:
    """Return the table with every digit."""
    return table.to_csv(index=False, lineterminator="\n")


def to_markdown(table: pd.DataFrame, titles: dict[str, str]) -> str:
    """Return one Markdown table for each part, under its title; columns without a value are left out."""
    return "\n".join(
        f"## {title}\n\n{_section(table[table['part'] == part])}"
        for part, title in titles.items()
        if (table["part"] == part).any()
    )


def number(value: float | None) -> str:
    """Write a number with three significant digits, whole numbers from 1000."""
    if value is None or not math.isfinite(value):
        return EMPTY
    if value == int(value) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"


def spread(middle: float | None, low: float | None, high: float | None) -> str:
    """Write a median with the least and the greatest value, where they differ as written."""
    shown, ends = number(middle), (number(low), number(high))
    return shown if EMPTY in (shown, *ends) or ends == (shown, shown) else f"{shown} ({ends[0]} to {ends[1]})"


def count(n: int, unit: str) -> str:
    """Write a number with its unit, in the plural where it needs one."""
    return f"{n} {unit}{'' if n == 1 else 's'}"


def _summary(name: str, values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {name: statistics.median(values), f"{name}_low": min(values), f"{name}_high": max(values)}


def _section(table: pd.DataFrame) -> str:
    cells = pd.DataFrame({"what": table["what"], "setting": table["setting"], "unit": table["unit"]})
    for name in ("ours", "plain", "ratio"):
        cells[name] = [spread(*values) for values in table[[name, f"{name}_low", f"{name}_high"]].to_numpy()]
    cells["difference"] = table["difference"].map(number)
    cells["repeats"] = table["repeats"].map(lambda n: str(n) if n else EMPTY)
    cells = cells.assign(basis=table["basis"], note=table["note"]).rename(columns={"ratio": "plain / ours"})
    used = [name for name in cells if cells[name].isin(["", EMPTY]).sum() < len(cells)]
    return markdown_table(used, cells[used].map(escape.markdown).to_numpy(), NUMBERS)


NUMBERS = ("ours", "plain", "plain / ours", "difference", "repeats")
