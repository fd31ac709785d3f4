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


def memory_gb() -> float | str:
    """Return the machine's memory in GB, or a container's limit if that is lower."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return UNKNOWN
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        limit = "max"
    return round((min(total, int(limit)) if limit.isdigit() else total) / 1e9, 1)


def free_memory_gb() -> float:
    """Return the memory in GB that this process can still have: what the machine, or a container's limit, leaves."""
    import psutil  # not of the standard library, and `doctor` may run before it is there

    free, group = psutil.virtual_memory().available, Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # no container, or none with a limit
        limit, taken = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        given_up = re.search(r"^inactive_file (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)  # when asked for
        free = min(free, limit - taken + (int(given_up[1]) if given_up else 0))
    return max(0, free) / 1e9


def peak_memory_gb() -> float:
    """Return the largest memory in GB that this process, or one of its finished children, has held."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kibibytes elsewhere
    return round(peak * unit / 1e9, 2)


def gpu() -> dict[str, str]:
    """Return the name of the GPU that PyTorch can use, "none" without one, and its CUDA version."""
    try:
        import torch

        if not torch.cuda.is_available():
            return {"gpu": "none", "cuda": "none"}
        return {"gpu": torch.cuda.get_device_name(0), "cuda": str(torch.version.cuda)}
    except Exception:  # a missing torch or a broken driver must not stop a finished run
        return {"gpu": UNKNOWN, "cuda": UNKNOWN}
