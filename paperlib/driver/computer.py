"""Check what this computer is: Python, cores, memory, disk, GPU."""

from __future__ import annotations  # an older Python must get as far as being told that it is too old

import os
import tempfile
from pathlib import Path

from paperlib.common import hardware
from paperlib.driver.finding import Finding

OLDEST_PYTHON, TOO_NEW_PYTHON = (3, 11), (3, 15)  # for what lies between, all of requirements.lock is to be had
ENVIRONMENT_GB = 6  # measured, with the CUDA build of PyTorch that PyPI has for Linux; 2 with the one for processors
MEMORY_GB, DISK_GB = 6, 4  # a laptop study needs about 3 GB of memory; the rest is for the system and JupyterLab


def python(version: tuple[int, ...]) -> Finding:
    """Check the version of Python."""
    text = "Python " + ".".join(map(str, version))
    if OLDEST_PYTHON <= version < TOO_NEW_PYTHON:
        return Finding("OK", text)
    return Finding("FAIL", text, "3.11 to 3.14 is needed; make env PYTHON=... names another one")


def threads() -> Finding:
    """Say how many cores a study would use."""
    cores = hardware.cores()
    limit = os.environ.get("OMP_NUM_THREADS", str(cores))
    first = hardware.threads(limit)
    if not first:
        return Finding("FAIL", f"OMP_NUM_THREADS={limit!r} is no number of threads", "unset it")
    if first < cores:
        return Finding("NOTE", f"{cores} cores, but OMP_NUM_THREADS={limit}", "unset it to use them all")
    return Finding("OK", f"{cores} core(s)")


def memory(gigabytes: float | str) -> Finding:
    """Check the memory, in GB, or "unknown"."""
    if gigabytes == hardware.UNKNOWN:
        return Finding("NOTE", "memory unknown", f"a study needs {MEMORY_GB} GB")
    text = f"{gigabytes:.1f} GB of memory"
    if gigabytes >= MEMORY_GB:
        return Finding("OK", text)
    return Finding("FAIL", text, f"{MEMORY_GB} GB are needed; make smoke runs with less")


def disk(gigabytes: float, installed: bool = True) -> Finding:
    """Check the free disk space of the project's folder, in GB, and whether packages have room that are not `installed` yet."""
    text = f"{gigabytes:.1f} GB of free disk"
    if gigabytes < DISK_GB:
        return Finding("FAIL", text, f"{DISK_GB} GB are needed; make clean, or lower cache_gb")
    if not installed and gigabytes < DISK_GB + ENVIRONMENT_GB:
        return Finding("NOTE", text, f"make env takes {ENVIRONMENT_GB} GB of it where pip takes PyTorch's CUDA build, as on Linux, else 2")
    return Finding("OK", text)


def gpu() -> Finding:
    """Name the GPU that PyTorch can use."""
    found = hardware.gpu()
    if found["gpu"] == "none":
        return Finding(
            "NOTE", "no GPU", "smoke and laptop run without one; base takes hours, the paper profile would take days"
        )
    if found["gpu"] == hardware.UNKNOWN:
        return Finding("NOTE", "PyTorch cannot be asked for a GPU", "run make env")
    if not hardware.is_gpu_supported():
        return Finding("NOTE", f"this build of PyTorch has no code for the GPU {found['gpu']}", 'say SET="device=cpu", or install a build for it')
    return Finding("OK", f"GPU {found['gpu']}, CUDA {found['cuda']}")


def writable(folder: Path) -> Finding:
    """Check that files can be made in the cache folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return Finding("OK", f"cache folder {folder.name} can be written")
    except OSError as error:
        return Finding(
            "FAIL",
            f"cache folder {folder.name} cannot be written ({error.strerror})",
            'change its permissions, or choose another with SET="cache_dir=..."',
        )
