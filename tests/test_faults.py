"""Faults while a study runs: whatever happens, the same command goes on and ends with the same numbers."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from paperlib.params import ROOT

KILLS = int(os.environ.get("PAPERLIB_KILLS", "30"))
UNIT = Path("smoke", "newsgroup", "seed-0")
CLOCK = {"seconds", "latency_ms"}  # the only columns that differ between two runs of one study
TABLES = ("steps", "signals", "ablation", "fusion", "fusion_fit", "distillation", "distillation_curve", "randomization")


def command(folder: Path, *more: str, name: str = "reproduce") -> list[str]:
    settings = [f"output_dir={folder}/outputs", f"cache_dir={folder}/cache", *more]
    return [sys.executable, "-m", "paperlib", name, "--profile", "smoke", "--set", *settings]


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        command(folder), cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(folder / "outputs" / UNIT / f"{name}.csv") for name in TABLES}


def same_tables(one: Path, other: Path) -> None:
    for name, frame in tables(one).items():
        columns = [column for column in frame if column not in CLOCK]
        pd.testing.assert_frame_equal(frame[columns], tables(other)[name][columns], check_exact=True, obj=name)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = subprocess.run(command(folder), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def kill_one(process: subprocess.Popen, rng: random.Random) -> str:
    """End the driver or one of its kernels, in one of the ways a machine or a person does."""
    kernels = [child for child in psutil.Process(process.pid).children() if "ipykernel" in " ".join(child.cmdline())]
    how = rng.choice(["driver SIGKILL", "driver SIGKILL", "kernel SIGKILL", "driver SIGTERM", "group SIGINT"])
    if how.startswith("kernel") and kernels:
        kernels[0].kill()
    elif how == "group SIGINT":  # Ctrl-C in a terminal reaches driver and kernel alike
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGTERM if how.endswith("TERM") else signal.SIGKILL)
    return how


def test_killed_at_random_moments_ends_with_the_same_tables(uninterrupted: Path, tmp_path: Path) -> None:
    rng = random.Random(2501)
    kills = 0
    while kills < KILLS:
        process = start(tmp_path)
        delay = rng.uniform(1.0, 15.0)
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            how = kill_one(process, rng)
            kills += 1
            process.wait(timeout=60)
            assert "Traceback" not in process.stderr.read(), how
        else:  # finished: begin anew, so that every stage is met again
            assert process.returncode in (0, 1), process.stderr.read()
            forget_something(tmp_path, rng)
    time.sleep(2)  # kernels without a driver notice within a second
    done = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    same_tables(uninterrupted, tmp_path)
    checked = subprocess.run(command(tmp_path, name="check"), cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def forget_something(folder: Path, rng: random.Random) -> None:
    """Remove a random half of the records and the provenance of a finished study."""
    unit = folder / "outputs" / UNIT
    for path in sorted((unit / "nodes").glob("*.json")):
        if rng.random() < 0.5 and path.name != "study.json":
            path.unlink()
    (unit / "provenance.json").unlink(missing_ok=True)
