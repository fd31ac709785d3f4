"""Read what a finished study says of its own run: how long it took, and how long it trained."""

import json
from calendar import timegm
from dataclasses import dataclass
from pathlib import Path
from time import strptime

from paperlib.evidence import units
from paperlib.params import Params

CLOCK = 2.0  # seconds by which times read from files may be off


@dataclass(frozen=True)
class Run:
    """A study that was run in one go: seconds in all, until its first notebook was done, and of fine-tuning (summed)."""

    seconds: float
    first_result: float
    training: float
    peak_memory_gb: float


def finished(params: Params) -> bool:
    """Say whether the study of these parameters is complete and was made by the present code."""
    return bool(units.provenance(params.unit_dir).get("complete")) and not units.stale(params)


def run_of(params: Params) -> Run | None:
    """Return the run of a finished study; None without one, and when it was resumed: its time is then unknown."""
    record = units.provenance(params.unit_dir)
    done = sorted(path.stat().st_mtime for path in (params.unit_dir / "notebooks").glob("*.ipynb"))
    if not finished(params) or not done:
        return None
    started = timegm(strptime(record["finished"], "%Y-%m-%dT%H:%M:%SZ")) - record["wall_seconds"]
    if done[0] < started - CLOCK:
        return None
    return Run(
        record["wall_seconds"],
        max(0.0, done[0] - started),
        _training(params.unit_dir),
        record["peak_memory_gb"],
    )


def size_gb(folder: Path) -> float:
    """Return the gigabytes (1e9 bytes) of all files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def _training(folder: Path) -> float:
    """Add up the seconds of all fine-tunes, the distillation's included."""
    nodes = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / "nodes").glob("*.json")]
    seconds = [node["seconds"]["fine_tune"] for node in nodes if "seconds" in node]
    distillation = folder / "distillation.json"
    models = json.loads(distillation.read_text(encoding="utf-8"))["models"] if distillation.exists() else []
    return sum(seconds) + sum(model.get("seconds", 0.0) for model in models)
