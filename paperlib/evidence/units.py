"""Know the notebooks of a study, where each puts its results, and whether those are still fresh."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file, sha256_folder
from paperlib.common.places import ROOT, unit_folders
from paperlib.common.records import STUDY_FILE, harmed_records, is_of_commit, read_sealed
from paperlib.data import pretrained
from paperlib.evidence import backing
from paperlib.nodes import fingerprint
from paperlib.params import RUN_ONLY, Params

NOTEBOOKS = ROOT / "notebooks"
LOCK_FILE = ROOT / "requirements.lock"
PROVENANCE = "provenance.json"
LAID_OUT = "kept-elsewhere"  # a file that marks a copy of a kept reference, which other code may have computed

# In reading order; for each, the tables that it and no other writes, and its usual share (%) of a unit's time, for the
# progress bar. The third one computes the records of all models.
UNIT_NOTEBOOKS: dict[str, tuple[tuple[str, ...], int]] = {
    "01_signals": ((), 6),
    "02_ablation": ((), 5),
    "03_strategies": (("steps", "signals", "ablation"), 70),
    "04_fusion": (("fusion", "fusion_fit"), 5),
    "05_distillation": (("distillation", "distillation_curve"), 6),
    "06_randomization": (("randomization",), 4),
    "08_subsets": (("subsets", "shapley", "regret"), 4),
}
# The same of those that are run when `training_axis` asks for them (`make epochs`), and from then on are part of the unit.
ON_REQUEST: dict[str, tuple[tuple[str, ...], int]] = {"12_epochs": (("epochs",), 90)}
EPOCHS = "12_epochs"
# Once per profile: the paper's own numbers, then what carries over between datasets, and ours over all units.
BEFORE, TRANSFER, AFTER = OF_PROFILE = "00_published", "09_transfer", "07_figures"
YOURS = "10_your_model"  # last, at small size: it makes no result


def of_unit() -> dict[str, tuple[tuple[str, ...], int]]:
    """Return all notebooks that a unit can have, with their tables and shares."""
    return UNIT_NOTEBOOKS | ON_REQUEST


def notebooks_of(params: Params, record: dict | None = None) -> list[str]:
    """List the notebooks of a unit: all, and those on request where they are asked for, now or ever. `record`: its provenance."""
    before = (provenance(params.unit_dir) if record is None else record).get("asked", [])
    return [*UNIT_NOTEBOOKS, *(name for name in ON_REQUEST if params.training_axis or name in before)]


def executed(name: str, params: Params) -> Path:
    """Return where the executed copy of a notebook belongs."""
    folder = params.unit_dir if name in of_unit() else params.profile_dir
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
    """List the notebooks of a unit that are not fresh."""
    return [name for name in notebooks_of(params) if not is_fresh(name, params)]


def is_fresh(name: str, params: Params, record: dict | None = None) -> bool:
    """Say whether a unit's notebook was run by these cells, parameters, data and code, and its results are unharmed.

    Its results are its executed copy, its tables, and the records of models on which the tables rest (those of epochs.csv
    apart, which are of other studies). `record` stands for the unit's provenance, which is read where it is not given.
    """
    record = provenance(params.unit_dir) if record is None else record
    run = record.get("notebooks", {}).get(name)
    if not run or run.get("fingerprint") != expected(name, params) or not is_of_commit(record, pretrained.commit(params)):
        return False
    records = read_sealed(params.unit_dir / "nodes" / STUDY_FILE)
    if records and records.get("fingerprint") != run.get("study"):  # another study's since, in another precision, say: all is made of one
        return False
    if name == "03_strategies" and _harmed_records(params):  # it computes them again
        return False
    if name == "05_distillation" and not _student_is_whole(params):
        return False
    if not all(_is(path, digest) for path, digest in _written(params, name, record).items()):
        return False
    return backing.are_there(params.unit_dir, of_unit()[name][0], run.get("study"))


def lost(params: Params) -> list[str]:
    """Name the records of models that are gone though tables of a unit, themselves unharmed, rest on them."""
    written = provenance(params.unit_dir).get("tables", {})
    sound = [table for table, digest in written.items() if _is(params.unit_dir / f"{table}.csv", digest)]
    records = backing.records(params.unit_dir, sound)
    return sorted(path.relative_to(params.unit_dir).as_posix() for path in records if not path.exists())


def harmed(params: Params) -> list[str]:
    """Name the files of a unit that are not what was recorded when they were written: changed, or cut short."""
    folder = params.unit_dir
    records = [folder / PROVENANCE, folder / "distillation.json"]
    paths = [path for path in records if path.exists() and not read_sealed(path)] + _harmed_records(params)
    written = {path: digest for name in notebooks_of(params) for path, digest in _written(params, name, provenance(folder)).items()}
    paths += [path for path, digest in written.items() if digest and path.exists() and not _is(path, digest)]
    if read_sealed(records[1]) and not _student_is_whole(params):
        paths.append(folder / "student")
    return [path.relative_to(folder).as_posix() for path in paths]


def harmed_results(params: Params) -> list[str]:
    """Name the figures, tables, pages and notebooks of a profile that are not what was recorded."""
    folder = params.profile_dir
    if (folder / PROVENANCE).exists() and not provenance(folder):
        return [PROVENANCE]
    files = provenance(folder).get("results", {}).get("files", {})
    return [name for name, digest in files.items() if (folder / name).exists() and not _is(folder / name, digest)]


def _is(path: Path, digest: str | None) -> bool:
    return path.exists() and sha256_file(path) == digest


def _written(params: Params, name: str, record: dict) -> dict[Path, str | None]:
    """Return the tables and the executed copy of a notebook, each with the SHA-256 it had when it was written."""
    digests = {params.unit_dir / f"{table}.csv": record.get("tables", {}).get(table) for table in of_unit()[name][0]}
    return {**digests, executed(name, params): record.get("notebooks", {}).get(name, {}).get("sha256")}


def _harmed_records(params: Params) -> list[Path]:
    return harmed_records(params.unit_dir / "nodes")


def _student_is_whole(params: Params) -> bool:
    """Say whether the distilled model is, to the byte, the one that was saved."""
    record = read_sealed(params.unit_dir / "distillation.json") or {}
    return record.get("student_sha256") == sha256_folder(params.unit_dir / "student")


def provenance(folder: Path) -> dict:
    """Return a unit's provenance, {} when it has none or it was changed or cut short."""
    return read_sealed(folder / PROVENANCE) or {}


def is_laid_out(params: Params) -> bool:
    """Say whether a profile's folder is a copy of a kept reference, to be drawn and nothing else."""
    return (params.profile_dir / LAID_OUT).exists()


def finished(profile_dir: Path) -> dict[Path, dict]:
    """Return the provenance of every finished unit of a profile's folder, by the unit's folder."""
    found = {folder: provenance(folder) for folder in unit_folders(profile_dir)}
    return {folder: record for folder, record in found.items() if record.get("complete")}


def is_sound(folder: Path, record: dict) -> bool:
    """Say whether a unit's tables are, to the byte, those that were recorded."""
    return all(_is(folder / f"{table}.csv", digest) for table, digest in record.get("tables", {}).items())


def settings_of(params: Params) -> str:
    """Return the SHA-256 of the parameters that units must share to be shown in one figure, and of the library."""
    shared = params.model_dump(exclude=RUN_ONLY - {"profile"} | UNIT_FIELDS)
    return hashlib.sha256(json.dumps([shared, _library()], sort_keys=True).encode()).hexdigest()


# Parameters in which units of one study may differ.
UNIT_FIELDS = {
    "dataset", "seed", "data_source", "hub_id", "hub_config", "hub_revision", "hub_slices", "text_fields", "label_field", "class_names",
}  # fmt: skip


BESIDE = (  # no result of a study goes through them
    "benchmark", "compression", "definitions.py", "driver", "evidence/two_runs.py", "explore", "figures/compare.py",
    "report/compare.py", "report/parameters.py", "report/reference",
)  # fmt: skip


def _cells(path: Path) -> list[tuple[str, str]]:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"notebooks/{path.name}: cannot be read ({type(error).__name__}: {error.args[:1]})") from None


@lru_cache
def _library() -> str:
    """Hash all modules of paperlib but those beside a study, and the published values, once per process."""
    digest = hashlib.sha256(fingerprint.of_code("", without=BESIDE).encode())
    for path in sorted((ROOT / "paperlib" / "published").glob("*.*")):
        if path.suffix != ".py":
            digest.update(sha256_file(path).encode())
    return digest.hexdigest()
