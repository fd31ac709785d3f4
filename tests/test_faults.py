"""Faults while a study runs: whatever happens, the same command goes on and ends with the same numbers."""

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import few_notebooks
import nbformat
import pandas as pd
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from paperlib import params
from paperlib.common import lock
from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.driver import run
from paperlib.evidence import provenance, units
from paperlib.nodes.store import store_of

WAYS = ("driver SIGKILL", "kernel SIGKILL", "driver SIGTERM", "group SIGINT")  # of a machine, and of a person
KILLS = int(os.environ.get("PAPERLIB_KILLS", "4"))  # make torture: 100; test_whole.py cuts studies off at every write
WHOLE = KILLS >= 100  # else only with the notebooks that train
NOTEBOOKS = tuple(units.UNIT_NOTEBOOKS) if WHOLE else few_notebooks.TRAINING
PROGRAM = ["-m", "paperlib"] if WHOLE else [few_notebooks.__file__]
PATIENCE = 120  # seconds in which a run writes something, or ends when it is told to
GOES_ON = 15  # seconds after which a run has got over the loss of its kernel
UNIT = Path("smoke", "newsgroup", "seed-0")
CLOCK = {"seconds", "latency_ms"}  # the only columns that differ between two runs of one study
TABLES = [table for name in NOTEBOOKS for table in units.UNIT_NOTEBOOKS[name][0]]


def command(folder: Path, *more: str, name: str = "reproduce") -> list[str]:
    settings = [f"output_dir={folder}/out", f"cache_dir={folder}/cache", *more]
    return [sys.executable, *PROGRAM, name, "--profile", "smoke", "--set", *settings]


def start(folder: Path, workers: int) -> subprocess.Popen:
    return subprocess.Popen(
        command(folder, f"workers={workers}"), cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs are born deaf to it
    )  # fmt: skip


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(folder / "out" / UNIT / f"{name}.csv") for name in TABLES}


def same_tables(one: Path, other: Path) -> None:
    for name, frame in tables(one).items():
        columns = [column for column in frame if column not in CLOCK]
        pd.testing.assert_frame_equal(frame[columns], tables(other)[name][columns], check_exact=True, obj=name)


def same_drawings(one: Path, other: Path) -> None:
    """Compare what is drawn and told of the tables, to the byte."""
    made = [path for pattern in ("figures/*", "tables/*", "claims.*") for path in (one / "out" / "smoke").glob(pattern)]
    assert len(made) == 8 * 3 + 2 + 3 + 2  # figure 1 twice, the second time for small screens
    differing = [path.name for path in made if (other / path.relative_to(one)).read_bytes() != path.read_bytes()]
    assert differing == []


@pytest.fixture
def uninterrupted(reproduced) -> Path:
    """Return the folder of a smoke study that ran in one go."""
    return reproduced[0].parent.parent


def kill_one(process: subprocess.Popen, how: str) -> str:
    """End the driver or its kernel; return how, which is another way while there is no kernel yet."""
    kernels = [child for child in psutil.Process(process.pid).children() if "ipykernel" in " ".join(child.cmdline())]
    if how.startswith("kernel") and kernels:
        kernels[0].kill()
    elif how.startswith("kernel"):  # it has not started one yet
        how = "driver SIGKILL"
        process.kill()
    elif how == "group SIGINT":  # Ctrl-C in a terminal reaches driver and kernel alike
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGTERM if how.endswith("TERM") else signal.SIGKILL)
    return how


def test_killed_at_random_moments_ends_with_the_same_tables(uninterrupted: Path, tmp_path: Path) -> None:
    rng = random.Random(2501)
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    keep_to_the_notebooks(tmp_path / "out" / UNIT)
    killed, runs = Counter(dict.fromkeys(WAYS, 0)), 0
    while killed.total() < KILLS or min(killed.values()) < max(1, KILLS // 15):  # a kernel is not always there to kill
        runs += 1
        assert runs <= 4 * KILLS, killed
        forget_something(tmp_path, rng)  # so that every stage is met
        harm_something(tmp_path, rng)
        process = start(tmp_path, workers=1 + killed.total() % 2)  # no number depends on it, and each loads all libraries
        wait_a_while(process, tmp_path, rng)
        if process.poll() is None:
            how = kill_one(process, min(WAYS, key=killed.get))
            end(process, how)
            killed[how] += 1
            assert "Traceback" not in process.stderr.read(), how
    time.sleep(2)  # kernels without a driver notice within a second
    done = subprocess.run(command(tmp_path, "workers=1"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    same_tables(uninterrupted, tmp_path)
    if WHOLE:
        same_drawings(uninterrupted, tmp_path)
    assert [path.name for path in (tmp_path / "out").rglob("*") if "partial" in path.name] == []
    checked = subprocess.run(command(tmp_path, name="check"), cwd=ROOT, capture_output=True, text=True)
    assert not WHOLE or checked.returncode == 0, checked.stdout
    assert [line for line in checked.stdout.splitlines() if line.startswith("newsgroup")] == []


def keep_to_the_notebooks(unit: Path) -> None:
    """Take what other notebooks made out of a unit."""
    for name in units.UNIT_NOTEBOOKS.keys() - set(NOTEBOOKS):
        for path in (f"notebooks/{name}.ipynb", f"notebooks/{name}.html", *(f"{table}.csv" for table in units.UNIT_NOTEBOOKS[name][0])):
            (unit / path).unlink()


def end(process: subprocess.Popen, how: str) -> None:
    """Wait for the end of a run that was killed: one whose kernel is replaced goes on, and is told to end after a while."""
    if how.startswith("kernel"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GOES_ON)
        if process.poll() is None:
            process.terminate()
    process.wait(timeout=PATIENCE)


def wait_a_while(process: subprocess.Popen, folder: Path, rng: random.Random) -> None:
    """Let a run go on for a random while from its start, or from the first thing that it writes: mostly mid-work."""
    unit, deadline = folder / "out" / UNIT, time.monotonic() + PATIENCE
    before = written(unit)
    while rng.random() < 0.998 and process.poll() is None and time.monotonic() < deadline and written(unit) == before:
        time.sleep(0.1)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=rng.uniform(0.0, 3.0))


def written(folder: Path) -> dict[Path, int]:
    """Return when each file in a folder was last written; those that vanish meanwhile are left out."""
    times = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            times[path] = path.stat().st_mtime_ns
    return times


def forget_something(folder: Path, rng: random.Random) -> None:
    """Remove a random part of a study's records, and the provenance of its notebooks from a random one on."""
    unit = folder / "out" / UNIT
    for path in sorted((unit / "nodes").glob("*.json")):
        if rng.random() < 0.3 and path.name != "study.json":
            path.unlink()
    record = units.provenance(unit)
    for name in NOTEBOOKS[rng.randrange(len(NOTEBOOKS)) :]:
        record.get("notebooks", {}).pop(name, None)
    if record:
        provenance.write(unit / units.PROVENANCE, record)


def harm_something(folder: Path, rng: random.Random) -> None:
    """Cut one file of a study short, or change a byte of it, whichever file it is."""
    path = rng.choice(sorted(path for path in (folder / "out" / UNIT).rglob("*") if path.is_file() and path.stat().st_size > 2))
    content, place = bytearray(path.read_bytes()), rng.randrange(path.stat().st_size)
    content[place] ^= 4
    path.write_bytes(content if rng.random() < 0.5 else content[:place])


@pytest.fixture
def two_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the study's notebooks by two that only check their dataset; the second refuses agnews."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, code in {"01_signals": "print(dataset)", "02_ablation": "assert dataset != 'agnews', 'made to fail'"}.items():
        cell = new_code_cell("profile = ''\ndataset = ''\nseed = 0\nsettings = ''", metadata={"tags": ["parameters"]})
        nbformat.write(new_notebook(cells=[cell, new_code_cell(code)]), folder / f"{name}.ipynb")
    monkeypatch.setattr(units, "NOTEBOOKS", folder)
    monkeypatch.setattr(units, "UNIT_NOTEBOOKS", {"01_signals": ((), 50), "02_ablation": ((), 50)})
    monkeypatch.setattr(run, "_show_results", lambda *args, **kwargs: [])
    monkeypatch.setattr("paperlib.driver.unit.AHEAD", "")  # they train nothing
    monkeypatch.setattr(run, "IMPORTS", "")  # and need nothing
    return folder


def test_a_failed_notebook_stops_its_own_dataset_only_and_a_mended_one_removes_its_copy(two_notebooks: Path, tmp_path: Path, capsys) -> None:
    settings = f"output_dir={tmp_path}/outputs cache_dir={tmp_path}/cache"
    studies = [params.load("smoke", name, 0, settings) for name in ("agnews", "imdb")]
    assert run.reproduce(studies, settings) == 1
    said = capsys.readouterr()
    assert "agnews seed 0: 02_ablation: AssertionError: made to fail" in said.err and "imdb" not in said.err
    assert "run the same command again" in said.err
    failed = tmp_path / "outputs" / "smoke" / "failed"
    assert "made to fail" in (failed / "agnews-seed-0-02_ablation.ipynb").read_text()
    assert not units.executed("02_ablation", studies[0]).exists()
    assert units.stale(studies[0]) == ["02_ablation"] and units.stale(studies[1]) == []
    shutil.copy(two_notebooks / "01_signals.ipynb", two_notebooks / "02_ablation.ipynb")
    assert run.reproduce(studies[:1], settings) == 0
    assert list(failed.iterdir()) == [] and units.stale(studies[0]) == []


# A command that lets two processes work, each of which holds a semaphore, as libraries do.
TWO_WORKERS = """
import sys, time
from paperlib import __main__ as program, params
from paperlib.nodes import parallel

def work(number):
    import tqdm
    tqdm.tqdm.get_lock()
    print("working", flush=True)
    time.sleep(600)

def command(options):
    print("begun", flush=True)
    list(parallel.run(work, [(0,), (1,), (2,)], params.load("smoke", settings="workers=2 device=cpu")))

program.COMMANDS["plan"] = (command, "")
sys.exit(program.main(["plan"]))
"""


def test_an_interrupt_that_reaches_all_processes_is_answered_in_one_line() -> None:
    """A terminal tells it to all, and the one that was asked speaks."""
    process = subprocess.Popen(
        [sys.executable, "-c", TWO_WORKERS], cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for _ in range(3):  # begun, and both at work
        process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (130, "\npaperlib: interrupted; the same command goes on from here\n")


def test_a_second_driver_is_told_who_holds_the_outputs(tmp_path: Path) -> None:
    with lock.lock(tmp_path), pytest.raises(UserError, match=f"written by process {os.getpid()}, started"):
        with lock.lock(tmp_path):
            pytest.fail("two drivers at once")
    with lock.lock(tmp_path):  # given back
        pass


def test_a_folder_that_knows_no_locks_is_said_to_be_that(tmp_path: Path, monkeypatch) -> None:
    def refuse(stream, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.raises(UserError, match=rf"the output folder cannot be locked \({os.strerror(errno.ENOLCK)}\)"), lock.lock(tmp_path):
        pytest.fail("no lock was held")


def test_the_lock_of_a_dead_driver_is_no_lock(tmp_path: Path) -> None:
    """The file of a driver that was killed stays; the system has freed the lock on it."""
    code = f"from pathlib import Path; from paperlib.common import lock\nwith lock.lock(Path({str(tmp_path)!r})): print('held', flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"written by process {holder.pid}, started"), lock.lock(tmp_path):
        pytest.fail("two drivers at once")
    holder.kill()
    holder.communicate()
    assert f"process {holder.pid}" in (tmp_path / lock.LOCK).read_text()
    with lock.lock(tmp_path):
        assert f"process {os.getpid()}," in (tmp_path / lock.LOCK).read_text()


@pytest.mark.parametrize("file", ["steps.csv", "notebooks/01_signals.ipynb", "nodes/original.json"])
def test_altered_results_are_stale_or_not_read(file: str, uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "out" / UNIT / file
    path.write_text(path.read_text().replace("0", "1", 3))
    study = params.load("smoke", "newsgroup", 0, f"output_dir={tmp_path}/out cache_dir={tmp_path}/cache")
    if file.startswith("nodes"):
        with pytest.warns(UserWarning, match="nodes/original.json was changed or cut short"):
            assert store_of(study).read(()) is None
    else:
        assert units.stale(study) != []
