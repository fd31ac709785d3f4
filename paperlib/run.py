"""Drive a study: run the notebooks that are not fresh, keep failed copies, then write figures, claims and report."""

import contextlib
import fcntl
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from paperlib import progress, provenance, report, units
from paperlib.errors import UserError
from paperlib.files import atomic_write_bytes, sha256_file
from paperlib.params import ROOT, Params

LOCK = ".lock"
POLL_SECONDS = 1.0


def reproduce(studies: list[Params], settings: str) -> int:
    """Run every unit that is not fresh, then the figures and the report; return the exit status.

    A failed notebook stops its own unit; the others go on, and the status is then 1.
    """
    with lock(studies[0].profile_dir):
        waiting = [params for params in studies if units.stale(params)]
        for params in waiting:
            check_inputs(params)
        failed = [fault for fault in _run_units(waiting, settings) if fault]
        shown = _show_results(studies, settings, force=bool(waiting))
    return _summary(studies, failed + shown)


def redraw(studies: list[Params], settings: str) -> int:
    """Draw figures, claims and report again from the stored tables: never train."""
    with lock(studies[0].profile_dir):
        failed = _show_results(studies, settings, force=True)
    return _summary(studies, failed)


def check(studies: list[Params]) -> int:
    """Print what is not fresh, one line each; return 1 if anything is."""
    faults = [f"{_name(params)}: {name} is stale or missing" for params in studies for name in units.stale(params)]
    faults += [f"{studies[0].profile}: {name} is stale or missing" for name in _stale_results(studies)]
    print("\n".join(faults) or f"fresh: {', '.join(map(_name, studies))}")
    return 1 if faults else 0


def plan(studies: list[Params]) -> int:
    """Print what each unit that is not fresh may cost, and the sum; run nothing."""
    from paperlib.plan import plan as plan_of  # imports torch

    waiting = [params for params in studies if units.stale(params)]
    for params in waiting:
        print(f"{_name(params)}: {plan_of(params)}", flush=True)
    if not waiting:
        print("everything is fresh: nothing to run")
    return 0


def check_inputs(params: Params) -> None:
    """Load tokeniser, data and encoder once, so that what is wrong with them is said before anything is written."""
    from paperlib import data, encoder, training  # torch takes seconds to import; a fresh study never needs it

    training.device_of(params)
    dataset = data.load(params, encoder.load_tokenizer(params))
    encoder.load_model(params, dataset.class_names)


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a profile's folder for one driver at a time; the system frees the lock when its holder dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = open(folder / LOCK, "a+")
    except OSError as error:
        raise UserError(f"{folder.name}: the output folder cannot be written ({error.strerror})") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            raise UserError(f"outputs of {folder.name} are being written by {stream.read().strip()}") from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}")
        stream.flush()
        yield


def _run_units(waiting: list[Params], settings: str) -> Iterator[str | None]:
    """Run each unit's stale notebooks; yield a line for each unit that failed."""
    with _Bar(waiting) as bar:
        for params in waiting:
            yield _run_unit(params, settings, bar)


def _run_unit(params: Params, settings: str, bar: "_Bar") -> str | None:
    started = time.time()
    for name in units.UNIT_NOTEBOOKS:
        bar.show(params, name)
        if not units.is_fresh(name, params):
            fault = execute(name, params, settings)
            if fault:
                return f"{_name(params)}: {name}: {fault}"
            _record(params, name, complete=name == list(units.UNIT_NOTEBOOKS)[-1], started=started)
        bar.passed(name)
    shutil.rmtree(params.cache_path / "weights" / _study(params), ignore_errors=True)  # the student is saved
    return None


def execute(name: str, params: Params, settings: str) -> str | None:
    """Run one notebook into its place; on failure keep the copy under failed/ and return what went wrong.

    Raises UserError when the notebook stopped on something the user can put right.
    """
    target = units.executed(name, params)
    partial = target.with_name(f".{name}.partial.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    given = {"profile": params.profile, "dataset": params.dataset, "seed": params.seed, "settings": settings}
    try:
        with _kernel_environment():
            # Both names are needed for a notebook without kernelspec; python3 is always this interpreter.
            papermill.execute_notebook(
                units.NOTEBOOKS / f"{name}.ipynb", partial, given, kernel_name="python3", language="python",
                progress_bar=False, log_output=False,
            )  # fmt: skip
        notebook = papermill.iorw.load_notebook_node(str(partial))
        atomic_write_bytes(target, nbformat.writes(_published(notebook)).encode())
        _failed_copy(name, params).unlink(missing_ok=True)
    except PapermillExecutionError as error:
        if error.ename == "UserError":
            raise UserError(error.evalue) from None
        return f"{error.ename}: {' '.join(str(error.evalue).split())[:200]} (copy in {_keep(partial, name, params)})"
    except (DeadKernelError, RuntimeError) as error:
        return f"the kernel died: {' '.join(str(error).split())[:120]} (copy in {_keep(partial, name, params)})"
    finally:
        partial.unlink(missing_ok=True)
    return None


def _keep(partial: Path, name: str, params: Params) -> str:
    """Move the executed copy of a failed notebook where it cannot pass for a result; return where."""
    kept = _failed_copy(name, params)
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not partial.exists():
        return "no copy"
    partial.replace(kept)
    return str(kept.relative_to(ROOT)) if kept.is_relative_to(ROOT) else kept.name


def _published(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take this machine's paths out of an executed notebook."""
    notebook.metadata.pop("papermill", None)  # it says "completed" even of notebooks that did not
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = provenance.scrub(output.text)
    return notebook


def _failed_copy(name: str, params: Params) -> Path:
    return params.profile_dir / "failed" / f"{params.dataset}-seed-{params.seed}-{name}.ipynb"


def _record(params: Params, name: str, complete: bool, started: float) -> None:
    """Write a unit's provenance after a notebook: which run made it, and the hashes of all its tables so far."""
    known = units.provenance(params.unit_dir).get("notebooks", {})
    runs = {key: run for key, run in known.items() if run.get("fingerprint") == units.expected(key, params)}
    runs[name] = {"fingerprint": units.expected(name, params), "sha256": sha256_file(units.executed(name, params))}
    paths = {table: params.unit_dir / f"{table}.csv" for table in units.UNIT_TABLES}
    tables = {table: sha256_file(path) for table, path in paths.items() if path.exists()}
    extra = {"complete": complete, "settings": units.settings_of(params), "notebooks": runs, "tables": tables}
    record = provenance.collect(params, wall_seconds=round(time.time() - started, 1), **extra)
    provenance.write(params.unit_dir / units.PROVENANCE, record)


def _show_results(studies: list[Params], settings: str, force: bool) -> list[str]:
    """Run the notebooks of the whole profile where they are not fresh, and write the report."""
    params, failed = studies[0], []
    stale = [units.BEFORE, units.AFTER] if force else _stale_results(studies)
    for name in stale:
        if fault := execute(name, params, settings):
            failed.append(f"{params.profile}: {name}: {fault}")
    if stale:
        report.build(params.profile_dir, params.profile, params, compared=units.comparable(params))
        provenance.write(params.profile_dir / units.PROVENANCE, _results_record(studies))
    return failed


def _stale_results(studies: list[Params]) -> list[str]:
    params = studies[0]
    known = units.provenance(params.profile_dir).get("results", {})
    fresh = known == _results_record(studies)["results"] and (params.profile_dir / "index.html").exists()
    return [] if fresh else [units.BEFORE, units.AFTER]


def _results_record(studies: list[Params]) -> dict:
    """Say what the figures, claims and report were made of."""
    params = studies[0]
    shown = units.comparable(params)
    tables = {
        f"{dataset} {seed}": units.provenance(params.profile_dir / dataset / f"seed-{seed}").get("tables")
        for dataset, seed in shown
    }
    notebooks = {name: units.expected(name, params) for name in (units.BEFORE, units.AFTER)}
    return provenance.collect(params, results={"notebooks": notebooks, "tables": tables})


def _summary(studies: list[Params], failed: list[str]) -> int:
    for line in failed:
        print(f"FAILED  {line}", file=sys.stderr)
    index = studies[0].profile_dir / "index.html"
    if index.exists():
        print(f"report: {index.relative_to(ROOT) if index.is_relative_to(ROOT) else index}")
    if failed:
        print("What was finished is kept: run the same command again to go on from there.", file=sys.stderr)
    return 1 if failed else 0


@contextlib.contextmanager
def _kernel_environment() -> Iterator[None]:
    """Set what the kernels need: find paperlib from any folder, draw no bars, and keep inline figures."""
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before.get("PYTHONPATH")]))
    os.environ[progress.HEADLESS] = "1"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.pop("MPLBACKEND", None)  # Agg would silently drop every figure
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _study(params: Params) -> str:
    from paperlib.fingerprint import of_study

    return of_study(params)[:16]


def _name(params: Params) -> str:
    return f"{params.dataset} seed {params.seed}"


class _Bar:
    """One bar for all units, in per cent of a unit; between notebooks it follows what the study reports."""

    def __init__(self, waiting: list[Params]):
        layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
        self.bar = tqdm(total=100 * len(waiting), bar_format=layout, disable=not sys.stderr.isatty() or not waiting)
        self.base, self.params, self.share, self.stop = 0.0, None, 0, threading.Event()
        self.lines = not sys.stderr.isatty()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "_Bar":
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.stop.set()
        self.thread.join()
        self.bar.close()

    def show(self, params: Params, name: str) -> None:
        """Say which notebook is running."""
        self.params, self.share = params, units.UNIT_NOTEBOOKS[name][1]
        self.bar.set_description_str(f"{_name(params)}: {name}")
        if self.lines:
            print(f"{time.strftime('%H:%M:%S')}  {_name(params)}: {name}", flush=True)

    def passed(self, name: str) -> None:
        """Move to the end of a notebook's share."""
        self.base += self.share
        self._move(0.0)

    def _follow(self) -> None:
        while not self.stop.wait(POLL_SECONDS):
            said = progress.read(self.params) if self.params else None
            self._move(said["made"] / said["total"] if said and said.get("total") else 0.0)

    def _move(self, part: float) -> None:
        position = self.base + min(part, 1.0) * self.share * (part > 0)
        self.bar.update(max(0.0, position - self.bar.n))
