"""Run the notebooks of one unit, one after another, in a kernel: in the driver's process, or on a worker of a cluster."""

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file
from paperlib.common.messages import Fault, unit_name
from paperlib.common.records import is_of_commit
from paperlib.data import pretrained
from paperlib.evidence import provenance, units
from paperlib.nodes import fingerprint
from paperlib.nodes.store import store_of
from paperlib.nodes.weights import forget_others
from paperlib.params import Params

if TYPE_CHECKING:
    from paperlib.driver.kernel import Kernel

# Sent to a kernel, to be done while nobody waits for it.
IMPORTS = "import paperlib.figures.paper, paperlib.nodes.compute"
AHEAD = "from paperlib import ahead, params; ahead.begin(params.load({profile!r}, {dataset!r}, {seed!r}, {settings!r}))"


class Watcher(Protocol):
    """Is told which notebook runs and which has ended: a bar, or what reports to one."""

    def show(self, params: Params, name: str) -> None:
        """A notebook begins."""

    def passed(self, params: Params, name: str) -> None:
        """A notebook has ended, or was fresh."""


def run_unit(params: Params, settings: str, bar: Watcher, kernel: "Kernel", beside: Collection[Params] = ()) -> Fault | None:
    """Run a unit's stale notebooks, up to one that fails; return its fault. `beside` are units that run meanwhile."""
    from paperlib.driver.execution import execute

    try:
        store_of(params).claim()  # before anything is asked for: where records are another study's, all of the unit is made again
    except UserError as error:
        return Fault(f"{unit_name(params.dataset, params.seed)}: {error}", True)
    kernel.send(AHEAD.format(profile=params.profile, dataset=params.dataset, seed=params.seed, settings=settings))
    for name in units.notebooks_of(params):
        bar.show(params, name)
        started = time.time()
        if not units.is_fresh(name, params):
            if fault := execute(name, params, settings, kernel):
                return fault
            _record(params, name, started)
        bar.passed(params, name)
    own = [store_of(study).weights.folder for study in (params, *beside)]  # stay, for experiments that measure these models in another way
    forget_others(params.cache_path / "weights", own, params.cache_gb)
    return None


def say_complete(params: Params) -> None:
    """Write of a unit of which nothing is stale that it is complete: a run cut off may have mended its last file, and no more."""
    known = units.provenance(params.unit_dir)
    if known.get("complete") is False:
        provenance.write(params.unit_dir / units.PROVENANCE, {**known, "complete": True})


def _record(params: Params, name: str, started: float) -> None:
    """Write a unit's provenance after a notebook: which run made it, and the hashes of the tables that it wrote.

    Those of other notebooks stay as they were recorded: what harmed a table meanwhile must not pass for a result. So does,
    after a notebook on request, what is known of the run that made the unit.
    """
    known = units.provenance(params.unit_dir)
    before = known.get("notebooks", {}) if is_of_commit(known, pretrained.commit(params)) else {}
    runs = {key: run for key, run in before.items() if run.get("fingerprint") == units.expected(key, params)}
    runs[name] = {
        "fingerprint": units.expected(name, params), "sha256": sha256_file(units.executed(name, params)), "study": fingerprint.of_study(params),
        "seconds": round(time.time() - started, 1),
    }  # fmt: skip
    spent = sum(run.get("seconds", 0.0) for key, run in runs.items() if key in units.UNIT_NOTEBOOKS)  # also of runs that were cut off
    own = {table: sha256_file(params.unit_dir / f"{table}.csv") for table in units.of_unit()[name][0]}
    notebooks = units.notebooks_of(params, known)
    extra = {"settings": units.settings_of(params), "notebooks": runs, "tables": {**known.get("tables", {}), **own}}
    extra |= {"asked": [each for each in notebooks if each in units.ON_REQUEST]}
    extra |= {"complete": all(units.is_fresh(each, params, extra) for each in notebooks)}
    here = {"computed": fingerprint.resolved(params), "data": fingerprint.of_data(params), "wall_seconds": round(spent, 1)}
    made = known if name in units.ON_REQUEST and known else provenance.collect(params, **here)
    provenance.write(params.unit_dir / units.PROVENANCE, {**made, **extra})
