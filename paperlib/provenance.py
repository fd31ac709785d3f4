"""Say where a number comes from: parameters, code, versions, machine, time. What cannot be told is "unknown"."""

import hashlib
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperlib.files import atomic_write_json
from paperlib.params import ROOT, RUN_ONLY, Params

if TYPE_CHECKING:
    from IPython.display import Markdown

UNKNOWN = "unknown"
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "datasets", "numpy", "scipy", "pandas",
            "scikit-learn", "matplotlib", "seaborn", "papermill", "nbconvert", "jupyterlab")
FOREIGN_PATH = re.compile(r"(?<![\w./:<~)])/(?:[\w.@+-]+/)+([\w.@+-]+)")  # absolute, outside the known folders
STARTED = time.time()  # used when the system does not tell when the process began


def collect(params: Params, **extra: Any) -> dict[str, Any]:
    """Return the record of this run, ready for JSON; `extra` adds entries or replaces those found here.

    Times are in seconds, memory in GB (1e9 bytes).
    """
    record = {
        "parameters": {name: scrub(value) if isinstance(value, str) else value
                       for name, value in params.model_dump().items()},
        "fingerprint": fingerprint(params),
        "seeds": [params.seed],
        **git_state(),
        "command": command_line(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "wall_seconds": round(wall_seconds(), 1),
        "peak_memory_gb": peak_memory_gb(),
        **hardware(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
    }
    return {**record, **extra}


def write(path: Path | str, record: Mapping[str, Any]) -> Path:
    """Write a record as JSON, whole or not at all; values that JSON lacks (paths, say) become text."""
    return atomic_write_json(path, json.loads(json.dumps(record, default=str)))


def fingerprint(params: Params) -> str:
    """Return the SHA-256 of the parameters that can change a number: not of where or how fast a study runs."""
    study = params.model_dump(exclude=RUN_ONLY)
    return hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()


def stamp(params: Params) -> str:
    """Return one line for the foot of a figure; without clock times, so that a redrawn figure keeps its bytes."""
    commit = git_state()["commit"]
    short = commit if commit == UNKNOWN else commit[:7]
    return f"profile {params.profile} · commit {short} · parameters {fingerprint(params)[:8]}"


def footer(params: Params, **extra: Any) -> "Markdown":
    """Return the main lines of the record as a table that a notebook displays."""
    from IPython.display import Markdown

    rows = summary(collect(params, **extra))
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows]
    return Markdown("\n".join(["| Provenance | |", "|---|---|", *lines]))


def summary(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of a record that a reader looks for first, as (name, value); entries may be missing."""
    parameters = record.get("parameters", {})
    packages = record.get("packages", {})
    study = " · ".join(str(parameters.get(name, UNKNOWN)) for name in ("profile", "dataset"))
    return [
        ("Study", f"{study} · seed {parameters.get('seed', UNKNOWN)}"),
        ("Model", str(parameters.get("model", UNKNOWN))),
        ("Parameters (fingerprint)", str(record.get("fingerprint", UNKNOWN))[:12]),
        ("Commit", _commit_line(record)),
        ("Command", str(record.get("command", UNKNOWN))),
        ("Software", f"Python {record.get('python', UNKNOWN)}, "
                     + ", ".join(f"{name} {packages.get(name, UNKNOWN)}" for name in ("torch", "transformers"))),
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
    """Shorten absolute paths, so that none is published: project ".", environment, home "~", the rest "…/name"."""
    for folder, name in _private_folders():
        text = re.sub(re.escape(folder) + r"(?=$|[^\w.-])", name, text)
    return FOREIGN_PATH.sub(r"…/\1", text)


def command_line() -> str:
    """Return the command that started this process, paths relative to the project; "notebook" inside a kernel."""
    if "ipykernel" in Path(sys.argv[0]).parent.name or Path(sys.argv[0]).stem == "ipykernel_launcher":
        return "notebook"
    program, *arguments = sys.argv
    if Path(program).name == "__main__.py":  # `python -m paperlib`
        program = f"python -m {Path(program).parent.name}"
    return scrub(" ".join([program, *arguments]))


def git_state() -> dict[str, Any]:
    """Return the commit and whether the working tree had no change; "unknown" outside the project's repository."""
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


def hardware() -> dict[str, Any]:
    """Return processor, cores this process may use, memory in GB, GPU ("none" without one) and CUDA version."""
    return {"cpu": cpu_model(), "cores": cores(), "memory_gb": memory_gb(), **_gpu()}


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine() or UNKNOWN


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gb() -> float | str:
    """Return the machine's memory in GB."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    except (AttributeError, OSError, ValueError):
        return UNKNOWN


def peak_memory_gb() -> float:
    """Return the largest memory in GB that this process, or one of its finished children, has held."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes elsewhere
    return round(peak * unit / 1e9, 2)


def wall_seconds() -> float:
    """Return the seconds since this process began."""
    try:
        import psutil

        return time.time() - psutil.Process().create_time()
    except Exception:  # a container may hide the process table; the import time is close enough
        return time.time() - STARTED


def _gpu() -> dict[str, str]:
    try:
        import torch

        if not torch.cuda.is_available():
            return {"gpu": "none", "cuda": "none"}
        return {"gpu": torch.cuda.get_device_name(0), "cuda": str(torch.version.cuda)}
    except Exception:  # a missing torch or a broken driver must not stop a finished run
        return {"gpu": UNKNOWN, "cuda": UNKNOWN}


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
    return (f"{record.get('cpu', UNKNOWN)}, {record.get('cores', UNKNOWN)} cores, "
            f"{_gb(record.get('memory_gb'))}, GPU: {gpu}")


def _gb(value: Any) -> str:
    return f"{value} GB" if isinstance(value, (int, float)) else UNKNOWN


def _cell(text: str) -> str:
    """Escape what would end a cell of a Markdown table or start markup."""
    return re.sub(r"([\\|`*_<>\[\]$])", r"\\\1", " ".join(str(text).split()))
