"""Drive a study: run the notebooks that are not fresh, keep failed copies, then write figures, claims and report."""

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from paperlib.common import places
from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file, sweep
from paperlib.common.lock import lock
from paperlib.common.messages import Fault, shown, unit_name
from paperlib.driver import small
from paperlib.driver.study_bar import StudyBar
from paperlib.driver.unit import IMPORTS, run_unit, say_complete
from paperlib.evidence import one_study, provenance, training_axis, units
from paperlib.nodes.store import moved_aside, store_of
from paperlib.params import Params

if TYPE_CHECKING:
    from paperlib.driver.kernel import Kernel

# Made by the last notebooks and the report.
RESULT_FILES = ("index.html", "claims.*", "transfer.json", "tables/*", "figures/*", "notebooks/[!.]*", "*/seed-*/notebooks/[!.]*")


def reproduce(studies: list[Params], settings: str, scheduler: str | None = None) -> int:
    """Run every unit that is not fresh, then the figures and the report; return the exit status.

    With the address of a Dask scheduler units run on its cluster, with "" on one of this computer's own.
    A failed notebook stops its own unit and the others go on; the status is then 1, or 2 when all that went wrong is
    for the user to put right.
    """
    _say_place(studies[0])
    with lock(studies[0].profile_dir):
        sweep(studies[0].profile_dir)
        _say_harmed(studies, "; made again")
        waiting = [params for params in studies if units.stale(params)]
        for params in studies:
            if params not in waiting:
                say_complete(params)
        failed = []
        if stale := [*_stale_results(studies, redo=bool(waiting)), *small.stale(studies[0])]:
            with _runner(waiting, settings, scheduler) as run_units, _kernel(studies[0]) as kernel:
                if scheduler is None:
                    kernel.send(IMPORTS)  # it takes as long as what this process does meanwhile
                _check_new(waiting, here=scheduler is None)
                _announce_epochs(waiting)
                failed += [fault for fault in run_units(kernel) if fault]
                failed += _show_results(studies, settings, stale, kernel)
    return _summary(studies, failed)


def redraw(studies: list[Params], settings: str) -> int:
    """Draw figures, claims and report again from the stored tables: never train."""
    with lock(studies[0].profile_dir):
        _say_harmed(studies)
        return draw(studies, settings)


def draw(studies: list[Params], settings: str) -> int:
    """Do what `redraw` does for whoever holds the lock."""
    with _kernel(studies[0]) as kernel:
        failed = _show_results(studies, settings, _stale_results(studies, redo=True), kernel)
    return _summary(studies, failed)


def _say_place(params: Params) -> None:
    """Tell where an experiment puts its results: it overwrites no finished study of other settings."""
    if params.is_apart:
        print(f"experiment {params.experiment}: results in {shown(params.profile_dir)}", flush=True)


def check(studies: list[Params]) -> int:
    """Print what is not fresh, one line each, after the files that were harmed; return 1 if anything is."""
    _say_harmed(studies)
    faults = [f"{unit_name(params.dataset, params.seed)}: {name} is stale or missing" for params in studies for name in units.stale(params)]
    stale = [*_stale_results(studies), *small.stale(studies[0])]
    faults += [f"{studies[0].profile}: {name} is stale or missing" for name in stale]
    _say_left_out(studies)
    print("\n".join(faults) or f"fresh: {', '.join(unit_name(params.dataset, params.seed) for params in studies)}")
    return 1 if faults else 0


def _say_harmed(studies: list[Params], consequence: str = "") -> None:
    """Name the files that are not what was recorded when they were written."""
    found = [(unit_name(params.dataset, params.seed), name) for params in studies for name in units.harmed(params)]
    found += [(studies[0].profile, name) for name in units.harmed_results(studies[0])]
    for where, name in found:
        print(f"{where}: {name} was changed or cut short{consequence}")
    for params in studies:
        if gone := units.lost(params):
            print(f"{unit_name(params.dataset, params.seed)}: {gone[0]}{f' and {len(gone) - 1} more' if gone[1:] else ''} missing{consequence}")


def plan(studies: list[Params]) -> int:
    """Check the inputs of the units that are not fresh and print what they may cost; run nothing."""
    waiting = [params for params in studies if units.stale(params)]
    _say_place(studies[0])
    _check(waiting)
    _announce(waiting)
    if not waiting:
        print("everything is fresh: nothing to run")
    return 0


def _announce(waiting: list[Params], here: bool = True) -> None:
    """Print what the units may cost, and whether memory holds fewer models than there are cores, if they are run `here`."""
    if not waiting:
        return
    from paperlib.driver.plan import plan as plan_of  # imports torch
    from paperlib.nodes import parallel

    stores = [store_of(params) for params in waiting]
    known, displaced = sum(store.known() for store in stores), sum(store.displaced() for store in stores)
    named = unit_name(waiting[0].dataset, waiting[0].seed) if len(waiting) == 1 else f"{len(waiting)} units from {unit_name(waiting[0].dataset, waiting[0].seed)}"
    print(f"{named}: {plan_of(waiting)}{f'; {known} of the models are at hand' if known else ''}", flush=True)
    if displaced:
        print(moved_aside(displaced), flush=True)
    if here and (remark := parallel.remark(waiting[0])):
        print(remark, flush=True)
    parallel.forget()  # notebooks run in other processes


def _announce_epochs(waiting: list[Params]) -> None:
    if waiting := [params for params in waiting if units.EPOCHS in units.stale(params)]:
        from paperlib.driver.plan import plan_of_epochs  # imports torch
        from paperlib.nodes import parallel

        known = sum(store_of(other).known() for params in waiting for other in training_axis.studies(params)[1:])
        print(f"{units.EPOCHS}: {plan_of_epochs(waiting)}{f'; {known} of the models are at hand' if known else ''}", flush=True)
        parallel.forget()


def _check_new(waiting: list[Params], here: bool) -> None:
    """Check the inputs of units that were not begun yet, and announce what they cost; those of others were sound."""
    new = [params for params in waiting if not store_of(params).read(())]
    _check(new)
    _announce(new, here)


def _check(waiting: list[Params]) -> None:
    """Check the inputs of units, and print what is remarkable about their data, each line once."""
    remarks = []
    for params in reversed(waiting):  # the first one last: its inputs are then at hand for the plan
        remarks = [*check_inputs(params), *remarks]
    for remark in dict.fromkeys(remarks):
        print(remark, flush=True)


def check_inputs(params: Params) -> tuple[str, ...]:
    """Load tokeniser, data and encoder once, so that what is wrong with them is said before anything is written.

    Return remarks on the data, each one line.
    """
    from paperlib.nodes import compute  # torch takes seconds to import; a fresh study never needs it

    return compute.bench_of(params).dataset.remarks


@contextlib.contextmanager
def _kernel(params: Params) -> Iterator["Kernel"]:
    """Yield a kernel; when a wrong input ends it all, which a notebook's does not, its tools leave nothing behind."""
    from paperlib.driver.kernel import Kernel  # imports Jupyter, which a fresh study does without

    made = places.make_tool_folders(params.cache_path)
    try:
        with Kernel() as kernel:
            yield kernel
    except UserError:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def _runner(waiting: list[Params], settings: str, scheduler: str | None) -> Iterator[Callable[["Kernel"], Iterator[Fault | None]]]:
    """Yield what runs the units, given a kernel: here, or on a cluster, which uses kernels of its own."""
    if scheduler is None or not waiting:
        yield lambda kernel: _run_units(waiting, settings, kernel)
        return
    from paperlib.driver import cluster  # imports torch

    with cluster.connected(scheduler, waiting[0]) as client:
        yield lambda kernel: cluster.run_units(waiting, settings, client)


def _run_units(waiting: list[Params], settings: str, kernel: "Kernel") -> Iterator[Fault | None]:
    """Run each unit's stale notebooks; yield the fault of each unit that failed."""
    with StudyBar(waiting) as bar:
        for params in waiting:
            if params is not waiting[0]:
                kernel.stop()  # the memory of the unit before goes with it
            yield run_unit(params, settings, bar, kernel)


def _show_results(studies: list[Params], settings: str, stale: list[str], kernel: "Kernel") -> list[Fault]:
    """Run the stale notebooks of the whole profile, and write the report."""
    from paperlib.driver.execution import execute
    from paperlib.report import pages  # needs matplotlib and nbconvert, which a fresh study does without

    params, failed = studies[0], {}
    compared = one_study.comparable(params)
    drawable = stale if compared else [name for name in stale if name == units.BEFORE]  # without a finished unit there is nothing to draw
    for name in drawable:
        if fault := execute(name, params, small.settings_of(params, settings) if name == units.YOURS else settings, kernel):
            failed[name] = fault
    compressed = units.YOURS in drawable and units.YOURS not in failed
    pages.build(params.profile_dir, params.profile, params, compared, one_study.left_out(params))
    results = {} if failed.keys() & set(units.OF_PROFILE) else _results(params)  # what failed must not pass for fresh
    provenance.write(params.profile_dir / units.PROVENANCE, provenance.collect(params, results=results, **small.recorded(params, compressed)))
    return list(failed.values())


def _stale_results(studies: list[Params], redo: bool = False) -> list[str]:
    params = studies[0]
    fresh = not redo and units.provenance(params.profile_dir).get("results") == _results(params)
    return [] if fresh else list(units.OF_PROFILE)


def _results(params: Params) -> dict:
    """Say what the figures, claims and report were made of, and which files they are."""
    tables = {
        f"{dataset} {seed}": units.provenance(params.profile_dir / dataset / f"seed-{seed}").get("tables")
        for dataset, seed in one_study.comparable(params)
    }
    notebooks = {name: units.expected(name, params) for name in units.OF_PROFILE}
    paths = [path for pattern in RESULT_FILES for path in sorted(params.profile_dir.glob(pattern))]
    files = {str(path.relative_to(params.profile_dir)): sha256_file(path) for path in paths}
    others = one_study.of_other_encoders(params)
    encoders = {path.relative_to(params.default_dir.parent).as_posix(): record.get("tables") for path, record in others.items()}
    return {"notebooks": notebooks, "tables": tables, "encoders": encoders, "files": files}


def _say_left_out(studies: list[Params]) -> None:
    """Name the finished ones of these units that are in no table of several, but for those of which a table is harmed: that is said."""
    why = one_study.left_out(studies[0])
    for params in studies:
        if (reason := why.get((params.dataset, params.seed), one_study.HARMED)) != one_study.HARMED:
            print(f"{unit_name(params.dataset, params.seed)}: not in the figures and claims: {reason}")


def _summary(studies: list[Params], failed: list[Fault]) -> int:
    _say_left_out(studies)
    for fault in failed:
        print(f"FAILED  {fault.line}", file=sys.stderr)
    index = studies[0].profile_dir / "index.html"
    if index.exists():
        print(f"report: {shown(index)}")
    if not failed:
        return 0
    print("What was finished is kept: run the same command again to go on from there.", file=sys.stderr)
    return 2 if all(fault.of_user for fault in failed) else 1

