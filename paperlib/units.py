"""Know the notebooks of a study, where each puts its results, and whether those are still fresh."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from paperlib import fingerprint
from paperlib.errors import UserError
from paperlib.files import sha256_file
from paperlib.params import ROOT, RUN_ONLY, Params

NOTEBOOKS = ROOT / "notebooks"
LOCK_FILE = ROOT / "requirements.lock"
PROVENANCE = "provenance.json"

# In reading order; for each, the tables it writes and its usual share (%) of a unit's time, for the progress bar.
UNIT_NOTEBOOKS: dict[str, tuple[tuple[str, ...], int]] = {
    "01_signals": (("signals",), 6),
    "02_ablation": (("ablation",), 5),
    "03_strategies": (("steps", "signals"), 74),
    "04_fusion": (("steps", "signals", "ablation", "fusion", "fusion_fit"), 5),
    "05_distillation": (("distillation", "distillation_curve"), 6),
    "06_randomization": (("randomization",), 4),
}
UNIT_TABLES = sorted({table for tables, _ in UNIT_NOTEBOOKS.values() for table in tables})
BEFORE, AFTER = "00_published", "07_figures"  # once per profile: the paper's own numbers, and ours over all units


def executed(name: str, params: Params) -> Path:
    """Return where the executed copy of a notebook belongs."""
    folder = params.unit_dir if name in UNIT_NOTEBOOKS else params.profile_dir
    return folder / "notebooks" / f"{name}.ipynb"


def expected(name: str, params: Params) -> str:
    """Return the fingerprint of a notebook's run: its cells, the library, parameters, data, model and lock file."""
    parts = {
        "cells": _cells(NOTEBOOKS / f"{name}.ipynb"),
        "library": _library(),
        "params": params.model_dump(exclude=RUN_ONLY - {"profile"}),
        "data": fingerprint.of_data(params),
        "model": fingerprint.of_model(params),
        "lock": sha256_file(LOCK_FILE) if LOCK_FILE.exists() else "none",
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def stale(params: Params) -> list[str]:
    """List what of a unit is not fresh: notebooks to run, and tables that are absent or changed by hand."""
    return [name for name in UNIT_NOTEBOOKS if not is_fresh(name, params)]


def is_fresh(name: str, params: Params) -> bool:
    """Say whether a unit's notebook was run by these cells, parameters, data and code, and its results are unharmed."""
    run = provenance(params.unit_dir).get("notebooks", {}).get(name)
    if not run or run.get("fingerprint") != expected(name, params):
        return False
    tables = provenance(params.unit_dir).get("tables", {})
    files = {params.unit_dir / f"{table}.csv": tables.get(table) for table in UNIT_NOTEBOOKS[name][0]}
    files[executed(name, params)] = run.get("sha256")
    return all(path.exists() and sha256_file(path) == digest for path, digest in files.items())


def provenance(folder: Path) -> dict:
    """Return a unit's provenance, {} when it has none or it cannot be read."""
    try:
        record = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def comparable(params: Params) -> list[tuple[str, int]]:
    """List the finished units (dataset, seed) of the profile that share these parameters, but for dataset and seed.

    Units run with other settings stay on disk and are left out: numbers of different studies are never mixed.
    """
    found = []
    for path in sorted(params.profile_dir.glob(f"*/seed-*/{PROVENANCE}")):
        record = provenance(path.parent)
        if record.get("complete") and record.get("settings") == settings_of(params):
            found.append((record["parameters"]["dataset"], record["parameters"]["seed"]))
    return found


def settings_of(params: Params) -> str:
    """Return the SHA-256 of the parameters that units must share to be shown in one figure, and of the library."""
    own = RUN_ONLY - {"profile"} | {"dataset", "seed", "data_source"} | DATASET_FIELDS
    shared = params.model_dump(exclude=own)
    return hashlib.sha256(json.dumps([shared, _library()], sort_keys=True).encode()).hexdigest()


DATASET_FIELDS = {"hub_id", "hub_config", "hub_revision", "hub_slices", "text_fields", "label_field", "class_names"}


def _cells(path: Path) -> list[tuple[str, str]]:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"notebooks/{path.name}: cannot be read ({type(error).__name__}: {error.args[:1]})") from None


@lru_cache
def _library() -> str:
    """Hash all modules of paperlib, and the published values, once per process."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "paperlib").rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)} {fingerprint.of_code(path)}\n".encode())
    for path in sorted((ROOT / "paperlib" / "published").glob("*.*")):
        if path.suffix != ".py":
            digest.update(sha256_file(path).encode())
    return digest.hexdigest()
