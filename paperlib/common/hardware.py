"""Describe this machine; whatever cannot be told is "unknown"."""

from __future__ import annotations  # the doctor must run, and complain, on an older Python too

import contextlib
import os
import platform
import re
import resource
import sys
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"
# Where a container's memory stands, in both versions of control groups: limit, taken, and files kept in memory, in `memory.stat`.
CONTROL_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def describe() -> dict[str, Any]:
    """Return processor, cores this process may use, memory in GB, GPU ("none" without one) and CUDA."""
    return {"cpu": cpu_model(), "cores": cores(), "memory_gb": memory_gb(), **gpu()}


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine() or UNKNOWN


def computes(device: str) -> str:
    """Return the name of what computes on a device, "cpu" or "cuda": the processor's, or the GPU's."""
    return gpu()["gpu"] if device == "cuda" else cpu_model()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(limit: str) -> int:
    """Return how many threads a value of OMP_NUM_THREADS allows, "4,2" four, and two in each; 0 where it is no such value."""
    found = re.fullmatch(r"([1-9]\d*)(,[1-9]\d*)*", limit.replace(" ", ""))
    return int(found[1]) if found else 0


def memory_gb() -> float | str:
    """Return the machine's memory in GB, or a container's limit if that is lower."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return UNKNOWN
    return round(min([total, *(limit for limit, _ in _container())]) / 1e9, 1)


def free_memory_gb() -> float:
    """Return the memory in GB that this process can still have: what the machine, or a container's limit, leaves."""
    import psutil  # not of the standard library, and `doctor` may run before it is there

    return max(0, min([psutil.virtual_memory().available, *(limit - taken for limit, taken in _container())])) / 1e9


def _container() -> list[tuple[int, int]]:
    """Return the container's limit and what it has taken of it, in bytes, without files that it would give up; [] where there is none."""
    found = []
    for folder, limit, taken, given_up in CONTROL_GROUPS:
        with contextlib.suppress(OSError, ValueError):  # no such version of control groups, or no limit: "max"
            numbers = [int((folder / name).read_text()) for name in (limit, taken)]
            files = re.search(rf"^{given_up} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
            found.append((numbers[0], numbers[1] - (int(files[1]) if files else 0)))
    return found


def peak_memory_gb() -> float:
    """Return the largest memory in GB that this process, or one of its finished children, has held."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes elsewhere
    return round(peak * unit / 1e9, 2)


def is_gpu_supported() -> bool:
    """Say whether this build of PyTorch has code for the GPU: for its own generation, or for an older one to compile here.

    True where that cannot be known, as of cards that are not NVIDIA's.
    """
    try:
        import torch

        own = torch.cuda.get_device_capability(0)
        built = [(kind, divmod(int(re.match(r"\d+", number)[0]), 10)) for kind, _, number in (arch.partition("_") for arch in torch.cuda.get_arch_list())]
        return any(found <= own and (kind == "compute" or found[0] == own[0]) for kind, found in built)
    except Exception:  # a broken driver, or other names: as in `gpu`
        return True


def gpu() -> dict[str, str]:
    """Return the name of the GPU that PyTorch can use, "none" without one, and its CUDA version."""
    try:
        import torch

        if not torch.cuda.is_available():
            return {"gpu": "none", "cuda": "none"}
        return {"gpu": torch.cuda.get_device_name(0), "cuda": str(torch.version.cuda)}
    except Exception:  # a missing torch or a broken driver must not stop a finished run
        return {"gpu": UNKNOWN, "cuda": UNKNOWN}
