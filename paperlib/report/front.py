"""The first screen of the report: what the run shows in four numbers and a sentence, beside the same of the reference."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from paperlib.common.errors import UserError
from paperlib.common.messages import span
from paperlib.common.places import REFERENCE, ROOT
from paperlib.evidence import headline, tables, units
from paperlib.evidence.estimates import Results, Untestable
from paperlib.report import parts
from paperlib.report.reference import account
from paperlib.report.reference.kept import Kept

DEFAULT = "laptop"  # the reference beside a profile that has none of its own
NUMBERS = "no one two three four five six seven eight nine ten".split()


def view(folder: Path, profile: str, compared: Collection[tuple[str, int]] | None = None) -> dict[str, Any]:
    """Return what the first screen shows of a profile's folder (`ours`) and of the kept reference; None for what is missing.

    `compared`: the (dataset, seed) that figures and claims are about; all that are there without it.
    """
    ours = shown(folder, compared)
    kept = next((REFERENCE / name for name in (profile, DEFAULT) if (REFERENCE / name).is_dir()), None)
    known = shown(kept) if kept else None
    if known and ours and set(known["units"]) <= set(ours["units"]) and kept.name == profile:
        known = None  # this is that run, or more
    if known:
        figure = kept / "figures" / "figure1.png"
        near = folder.resolve().is_relative_to(ROOT) and figure.is_file()  # else the link would lead out of what is shared
        texts = re.sub(r"[*`]", "", account.texts(Kept(kept)))
        known |= {"figure": parts.address(figure, folder.resolve()) if near else "", "texts": texts}
    return {"ours": ours, "reference": known}


def shown(folder: Path, wanted: Collection[tuple[str, int]] | None = None) -> dict[str, Any] | None:
    """Return title, rows and sentence of the finished units in a folder; None when they lack what it takes."""
    try:
        found = {name: tables.collect(folder, name, wanted) for name in ("steps", "distillation")}
        table = headline.four(Results.from_tables(**found))
    except (Untestable, UserError, OSError, ValueError, KeyError):  # missing or damaged: the report says so elsewhere
        return None
    summary = headline.summary(table)
    layers = f"{table['layers'].mean():.2g}"
    rows = [
        {"name": headline.NAMES[row.Index], "accuracy": f"{100 * row.accuracy:.1f}", "error": f"{100 * row.error:.1f}",
         "left": f"{row.left:.2g} of {layers} layers"}
        for row in summary.itertuples()
    ]  # fmt: skip
    short = headline.sentence(table)
    return {"title": _title(table), "rows": rows, "short": short, "sentence": f"{short} {headline.teacher(table)}",
            "units": list(table.index), "model": _model(folder)}


def _title(table) -> str:
    datasets = table.index.get_level_values("dataset").unique()
    counts = table.groupby(level="dataset").size().tolist()
    what = datasets[0] if len(datasets) == 1 else f"{_number(len(datasets))} datasets"
    return f"{what}, {span(counts, 'seed', _number)}{' each' if len(datasets) > 1 < max(counts) else ''}"


def _number(n: int) -> str:
    return NUMBERS[n] if n < len(NUMBERS) else str(n)


def _model(folder: Path) -> str:
    models = {str(record.get("parameters", {}).get("model", "")) for record in units.finished(folder).values()}
    return ", ".join(sorted(models - {""}))
