"""Gather what the report shows from the files of a profile; what is missing is never an error."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from PIL import Image

from paperlib.common.places import unit_folders
from paperlib.common.records import read_sealed
from paperlib.evidence import provenance, table1, units
from paperlib.evidence.claims import COLUMNS, UNTESTABLE
from paperlib.names import OURS
from paperlib.params import DATASETS

CAPTIONS = {
    1: "Accuracy against the number of layers removed, one panel per dataset, one line per strategy; "
    "the dashed line is the fine-tuned original model.",
    2: "Rank of each strategy by its maximum accuracy (15 is best): bars are means, dots are datasets.",
    3: "Change of the maximum accuracy against the original model. Wilcoxon signed-rank tests over datasets, "
    "p < 0.05; black asterisk: below zero; red: above Random; green: not different from zero.",
    4: "Improvement of the accuracy-to-size ratio at the maximum accuracy, mean ± s.e.m.; red asterisk: "
    "differs from Random.",
    5: "Accuracy of the original model, the best pruned one, and the pruned one after distillation; the "
    "control trains as long on the labels alone.",
    6: "What the fusers go by: weights of the linear regression and importances of the random forest, "
    "scaled to [−1, 1], mean ± s.e.m.",
    7: "Average step at which each strategy removes each layer.",
    8: "Random-forest fusion against random orders: of all layers, and of all but the first and last.",
}
VERDICTS = {"holds": ("good", "✓"), "within noise": ("near", "≈"), "does not hold": ("bad", "✗")}
CSS_DPI = 96  # CSS pixels in an inch: a picture drawn finer is shown smaller, and sharp on fine screens
WIDE = 1.3  # a figure at least so many times wider than high gets the width of the page
UNIT_FILES = (*(f"{table}.csv" for tables, _ in units.of_unit().values() for table in tables), units.PROVENANCE)


@dataclass(frozen=True)
class Unit:
    """One dataset and seed of a profile, with the provenance found there ({} without any)."""

    folder: Path
    dataset: str
    seed: int
    record: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.dataset}, seed {self.seed}"

    @property
    def model(self) -> str:
        return str(self.record.get("parameters", {}).get("model", provenance.UNKNOWN))


def find_units(folder: Path) -> list[Unit]:
    """List the datasets and seeds that have a folder, in the paper's order of datasets; others follow."""
    found = []
    for path in unit_folders(folder):
        found.append(Unit(path, path.parent.name, int(path.name.removeprefix("seed-")), read_sealed(path / "provenance.json") or {}))
    order = {name: position for position, name in enumerate(DATASETS)}
    return sorted(found, key=lambda unit: (order.get(unit.dataset, len(order)), unit.dataset, unit.seed))


def claims(path: Path) -> dict[str, Any] | None:
    """Return the claims in two groups (the paper's, ours), each tested ones first, the verdicts counted; None without the file."""
    table = read_csv(path)
    if table is None or table.empty or "claim" not in table:
        return None
    table = table.reindex(columns=COLUMNS, fill_value="")
    rows = table.to_dict("records")
    return {
        "total": len(rows),
        "groups": [
            ("paper", "Claims of the paper", *_split(row for row in rows if row["section"] != "ours")),
            ("companion", "Claims of this companion", *_split(row for row in rows if row["section"] == "ours")),
        ],
        "ours": _tally(table["verdict_ours"]),
        "table1": _tally(table["verdict_table1"]),
    }


def _split(rows: Iterable[dict[str, str]]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Part the claims that this run could test from the others."""
    rows = list(rows)
    return tuple([row for row in rows if (row["verdict_ours"] == UNTESTABLE) == open_] for open_ in (False, True))


def look(verdict: str) -> tuple[str, str]:
    """Return the style class and the mark of a verdict; one that is unknown or open is neutral."""
    return VERDICTS.get(verdict.strip().lower(), ("open", "–"))


def _tally(verdicts: pd.Series) -> list[tuple[str, int]]:
    """Count the verdicts, in the order of VERDICTS."""
    order = list(VERDICTS)
    known = Counter(verdict for verdict in verdicts if verdict)
    return sorted(known.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order))


def figure(folder: Path, number: int) -> dict[str, Any]:
    """Return a figure's caption and, where it was drawn, its size in CSS pixels, alt text and files."""
    image, alt = (folder / "figures" / f"figure{number}{kind}" for kind in (".png", ".alt.txt"))
    view = {"number": number, "caption": CAPTIONS[number], "found": False}
    if not (size := css_size(image)):
        return view
    width, height = size
    return {
        **view,
        "found": True,
        "width": width,
        "height": height,
        "narrow": css_size(image.with_name(f"{image.stem}-narrow.png")),  # for small screens
        "wide": width >= WIDE * height,
        "alt": alt.read_text(encoding="utf-8").strip() if alt.is_file() else CAPTIONS[number],
        "files": files(folder, [image, image.with_suffix(".svg")]),
    }


def css_size(image: Path) -> tuple[int, int] | None:
    """Return the size of a picture on a page, in CSS pixels; None when it is missing or damaged."""
    try:
        with Image.open(image) as opened:
            scale = CSS_DPI / opened.info.get("dpi", (CSS_DPI,))[0]
            return tuple(round(size * scale) for size in opened.size)
    except OSError:
        return None


def table(path: Path) -> dict[str, Any] | None:
    """Return Table 1 as headings and rows of (three decimals, is best); None if missing or damaged."""
    try:
        numbers = pd.read_csv(path, index_col=0).astype(float)
    except (OSError, ValueError):
        return None
    texts = numbers.map(lambda value: "–" if pd.isna(value) else f"{value:.3f}")
    best = table1.best(numbers)
    rows = [
        {"name": name, "control": name in OURS, "cells": list(zip(texts.loc[name], best.loc[name]))}
        for name in numbers.index
    ]
    return {"headings": ["Strategy", *numbers.columns], "rows": rows}


def unit_view(unit: Unit, folder: Path) -> dict[str, Any]:
    """Return what the report shows of a unit, but for its notebooks."""
    student = [path for path in sorted((unit.folder / "student").glob("*")) if path.is_file()]
    parameters = unit.record.get("parameters", {})
    sizes = (str(parameters.get(f"{split}_size", "?")) for split in ("train", "validation", "test"))
    return {
        "name": unit.name,
        "dataset": unit.dataset,
        "seed": unit.seed,
        "model": unit.model,
        "examples": " / ".join(sizes),
        **accuracies(unit),
        "time": provenance.duration(unit.record.get("wall_seconds")),
        "memory": unit.record.get("peak_memory_gb", provenance.UNKNOWN),
        "files": files(folder, [unit.folder / name for name in UNIT_FILES]),
        "student": files(folder, student),
        "provenance": provenance.summary(unit.record) if unit.record else [],
        "packages": unit.record.get("packages", {}),
    }


def accuracies(unit: Unit) -> dict[str, str]:
    """Return the accuracies of the original model and of the best one that random-forest fusion pruned."""
    answer = {"original": "missing", "pruned": "missing"}
    steps = _steps(unit)
    if len(original := steps[steps["step"] == 0]):
        answer["original"] = f"{original['accuracy'].iloc[0]:.3f}"
    forest = steps[(steps["strategy"] == "Random-Forest") & (steps["step"] > 0)]
    if len(forest):
        best = forest.sort_values(["accuracy", "step"]).iloc[-1]  # of equals, the smallest model
        answer["pruned"] = f"{best['accuracy']:.3f} with {best['step']:.0f} removed"
    return answer


def studied(unit: Unit) -> str:
    """Name what a unit prunes: "12 layers of all-mpnet-base-v2"; the model alone where there are no steps yet."""
    layers = sorted(_steps(unit)["layers"].dropna().unique())
    return f"{layers[0]:.0f} layers of {unit.model}" if layers else unit.model


def diverged(unit: Unit) -> str | None:
    """Say that some models of a unit failed to train, if so."""
    models = _steps(unit).drop_duplicates("removed")
    bad = models["diverged"].astype(str).eq("True").sum()
    if not bad:
        return None
    return f"{unit.name}: training diverged for {bad} of {len(models)} models; do not rely on its numbers."


def _steps(unit: Unit) -> pd.DataFrame:
    """Read a unit's steps; the columns used here are there even if the table is missing or damaged."""
    columns = ["strategy", "step", "removed", "accuracy", "diverged", "layers"]
    table = read_csv(unit.folder / "steps.csv")
    table = pd.DataFrame(columns=columns) if table is None else table.reindex(columns=columns)
    numbers = table[["step", "accuracy", "layers"]].apply(pd.to_numeric, errors="coerce")
    return table.assign(**numbers)


def files(folder: Path, paths: list[Path]) -> list[dict[str, str]]:
    """List those of the paths that exist, with their size and their address relative to a folder."""
    return [
        {"name": path.name, "address": address(path, folder), "size": file_size(path.stat().st_size)}
        for path in paths
        if path.is_file()
    ]


def file_size(size: int) -> str:
    """Write a number of bytes with the unit that suits it."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"


def address(path: Path, here: Path) -> str:
    """Return the relative address of a file for a page in the folder `here`, quoted for HTML."""
    return quote(Path(os.path.relpath(path, here)).as_posix())


def read_csv(path: Path) -> pd.DataFrame | None:
    """Read a table as text, exactly as written; None when it is missing or no table."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError):  # pandas' parser errors are ValueErrors
        return None
