"""Say where a number comes from: parameters, code, versions, machine, time; or "unknown"."""

import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperlib.common import escape, hardware
from paperlib.common.files import atomic_write_json
from paperlib.common.hardware import UNKNOWN
from paperlib.common.places import ROOT
from paperlib.common.records import seal
from paperlib.data import pretrained
from paperlib.params import RUN_ONLY, Params

if TYPE_CHECKING:
    from IPython.display import Markdown

PACKAGES = (
    "torch", "transformers", "tokenizers", "safetensors", "datasets", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib",
    "seaborn", "papermill", "nbconvert", "jupyterlab",
)  # fmt: skip
SMOKE_BANNER = "SMOKE RUN: random weights and made-up sentences; not a result"
FOREIGN_PATH = re.compile(r"(?<![\w./:<~)])/(?:[\w.@+-]+/)+([\w.@+-]+)")  # absolute, outside the known folders
STARTED = time.time()  # used when the system does not tell when the process began
_clock: dict[str, float] = {}  # when the notebook that runs now began; one kernel runs several


def collect(params: Params, **extra: Any) -> dict[str, Any]:
    """Return the record of this run, ready for JSON; `extra` adds entries or replaces those found here.

    Times are in seconds, memory in GB (1e9 bytes).
    """
    record = {
        "parameters": {
            name: scrub(value) if isinstance(value, str) else value for name, value in params.model_dump().items()
        },
        **({"model_commit": commit} if (commit := pretrained.commit(params)) else {}),
        "fingerprint": fingerprint(params),
        "seeds": [params.seed],
        **git_state(),
        "command": command_line(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "wall_seconds": round(wall_seconds(), 1),
        "peak_memory_gb": hardware.peak_memory_gb(),
        **hardware.describe(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
    }
    return {**record, **extra}


def write(path: Path | str, record: Mapping[str, Any]) -> Path:
    """Write a record as JSON, sealed, whole or not at all; values that JSON lacks (paths, say) become text."""
    return atomic_write_json(path, seal(json.loads(json.dumps(record, default=str))))


def fingerprint(params: Params) -> str:
    """Return the SHA-256 of the parameters that can change a number, not of where or how fast it is made."""
    study = params.model_dump(exclude=RUN_ONLY)
    return hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()


def stamp(params: Params) -> str:
    """Return one line for the foot of a figure; no clock times, so that a redrawn figure keeps its bytes."""
    commit = git_state()["commit"]
    short = commit if commit == UNKNOWN else commit[:7]
    return f"profile {params.profile} · commit {short} · parameters {fingerprint(params)[:8]}"


def banner(params: Params) -> str:
    """Return the line that stands on every page and figure of a smoke run, "" where runs are results."""
    return SMOKE_BANNER if params.profile == "smoke" else ""


def footer(params: Params, **extra: Any) -> "Markdown":
    """Return the main lines of the record as a table that a notebook displays; its time is that since `start_clock`."""
    from IPython.display import Markdown

    own = {"wall_seconds": round(time.time() - _clock["began"], 1)} if "began" in _clock else {}
    rows = summary(collect(params, **own, **extra))
    lines = [f"| {escape.markdown(name)} | {escape.markdown(value)} |" for name, value in rows]
    return Markdown("\n".join(["| Provenance | |", "|---|---|", *lines]))


def start_clock() -> None:
    """Note that a notebook begins."""
    _clock["began"] = time.time()


def summary(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a reader of a record looks for first, as (name, value); entries may be missing."""
    parameters = record.get("parameters", {})
    packages = record.get("packages", {})
    study = " · ".join(str(parameters.get(name, UNKNOWN)) for name in ("profile", "dataset"))
    return [
        ("Study", f"{study} · seed {parameters.get('seed', UNKNOWN)}"),
        ("Model", str(parameters.get("model", UNKNOWN))),
        ("Parameters (fingerprint)", str(record.get("fingerprint", UNKNOWN))[:12]),
        ("Commit", _commit_line(record)),
        ("Command", str(record.get("command", UNKNOWN))),
        (
            "Software",
            f"Python {record.get('python', UNKNOWN)}, "
            + ", ".join(f"{name} {packages.get(name, UNKNOWN)}" for name in ("torch", "transformers")),
        ),
        ("Hardware", _hardware_line(record)),
        ("Finished", str(record.get("finished", UNKNOWN))),
        ("Wall time, peak memory", f"{duration(record.get('wall_seconds'))}, {_gb(record.get('peak_memory_gb'))}"),
    ]


def duration(seconds: Any) -> str:
    """Write a number of seconds as a person would: "42 s", "7 min 05 s", "3 h 12 min"."""
    if not isinstance(seconds, (int, float)):
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def scrub(text: str) -> str:
    """Shorten absolute paths, so that none is published: the project is ".", others end as "…/name"."""
    for folder, name in _private_folders():
        text = re.sub(re.escape(folder) + r"(?=$|[^\w.-])", name, text)
    return FOREIGN_PATH.sub(r"…/\1", text)


def command_line() -> str:
    """Return the command that started this process, paths shortened; "notebook" inside a kernel."""
    if "ipykernel" in Path(sys.argv[0]).parent.name or Path(sys.argv[0]).stem == "ipykernel_launcher":
        return "notebook"
    program, *arguments = sys.argv
    if Path(program).name == "__main__.py":  # `python -m paperlib`
        program = f"python -m {Path(program).parent.name}"
    return scrub(" ".join([program, shlex.join(arguments)]).strip())


def git_state() -> dict[str, Any]:
    """Return the commit and whether the tree was unchanged; "unknown" outside the project's repository."""
    top = _output("git", "rev-parse", "--show-toplevel")
    if top == UNKNOWN or Path(top).resolve() != ROOT:
        return {"commit": UNKNOWN, "clean": UNKNOWN}
    changes = _output("git", "status", "--porcelain")
    return {
        "commit": _output("git", "rev-parse", "--verify", "HEAD"),
        "clean": changes if changes == UNKNOWN else changes == "",
    }


def version(package: str) -> str:
    """Return the installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return UNKNOWN


def wall_seconds() -> float:
    """Return the seconds since this process began."""
    try:
        import psutil

        return time.time() - psutil.Process().create_time()
    except Exception:  # a container may hide the process table; the import time is close enough
        return time.time() - STARTED


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    return done.stdout.strip() if done.returncode == 0 else UNKNOWN


def _private_folders() -> list[tuple[str, str]]:
    """List (folder, short name), the longest folder first, as one may lie inside another."""
    standard_library = str(Path(os.__file__).parent)
    pairs = [(str(ROOT), "."), (sys.prefix, "(environment)"), (standard_library, "(python)"), (str(Path.home()), "~")]
    return sorted(((folder, name) for folder, name in pairs if len(folder) > 1), key=lambda pair: -len(pair[0]))


def _commit_line(record: Mapping[str, Any]) -> str:
    commit = str(record.get("commit", UNKNOWN))
    changed = {True: "", False: ", with uncommitted changes"}.get(record.get("clean"), "")
    return (commit if commit == UNKNOWN else commit[:12]) + changed


def _hardware_line(record: Mapping[str, Any]) -> str:
    gpu = record.get("gpu", UNKNOWN)
    precision = f", in {record['computed']['precision']}" if "computed" in record else ""  # of what was trained
    return (
        f"{record.get('cpu', UNKNOWN)}, {record.get('cores', UNKNOWN)} cores, "
        f"{_gb(record.get('memory_gb'))}, GPU: {gpu}{precision}"
    )


def _gb(value: Any) -> str:
    return f"{value} GB" if isinstance(value, (int, float)) else UNKNOWN
