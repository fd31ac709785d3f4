"""Check this computer before a run, one OK, NOTE or FAIL line each, and say what to do about the last two."""

from __future__ import annotations  # an older Python must get as far as being told that it is too old

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from paperlib.common import hardware
from paperlib.common.places import ROOT
from paperlib.driver import computer, supplies
from paperlib.driver.finding import Finding


def main() -> int:
    """Print every finding; return 1 if anything would stop a run, else 0."""
    failures = 0
    for finding in findings():
        print(finding, flush=True)
        failures += finding.status == "FAIL"
    print(
        f"\n{failures} problem(s) to solve first."
        if failures
        else "\nReady: make smoke, then make reproduce."
    )
    return 1 if failures else 0


def findings() -> Iterator[Finding]:
    """Run the checks one by one; the slow ones, of the network, come last."""
    wanted, cache = supplies.locked(supplies.LOCK), _cache()
    yield computer.python(sys.version_info[:3])
    yield from supplies.packages(wanted)
    yield computer.threads()
    yield computer.memory(hardware.memory_gb())
    yield computer.disk(shutil.disk_usage(ROOT).free / 1e9, installed=importlib.util.find_spec("torch") is not None)
    yield computer.gpu()
    yield computer.writable(cache)
    gathered = ROOT / "bundle" / "wheels" if os.environ.get("PIP_NO_INDEX") else None
    yield from supplies.wheels(cache, gathered)
    yield from supplies.deep_model(cache, gathered)
    if gathered:
        yield supplies.bundle(gathered, wanted)
        return
    yield supplies.registry()
    yield supplies.hub()


def _cache() -> Path:
    try:
        from paperlib.params import load

        return load().cache_path
    except Exception:  # packages missing, or a broken parameter file, which the run itself will explain
        return ROOT / ".cache"


if __name__ == "__main__":
    sys.exit(main())
