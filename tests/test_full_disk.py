"""A disk that fills up during a study, really: a file system in memory, of a size that is set."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import smoke_params
from full_disk import WALKS

from paperlib.common.places import ROOT
from paperlib.evidence import tables
from paperlib.tree import Study

KEPT = "What was finished is kept: run the same command again to go on from there."
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]  # in it anyone may mount


def can_mount(folder: Path) -> bool:
    command = [*NAMESPACE, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


def attempt(folder: Path, *sizes: str) -> tuple[dict, list[list[str]]]:
    """Run full_disk.py; return what it printed, and the lines of stderr of each attempt."""
    script = 'mount -t tmpfs -o size=64k tmpfs "$1" && shift && exec "$@"'
    program = [sys.executable, str(ROOT / "tests" / "full_disk.py"), str(folder), *sizes]
    command = [*NAMESPACE, "sh", "-c", script, "sh", str(folder), *program]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [part.splitlines()[1:] for part in done.stderr.split("== ")[1:]]
    return json.loads(done.stdout.splitlines()[-1]), said


def test_a_study_goes_on_when_there_is_room_again(tmp_path):
    """Each attempt ends in one line that says what is wrong; what was finished stays; the numbers are the same."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("this computer does not let its users mount a file system of their own")
    told, said = attempt(disk, "8k", "24k", "440k", "9m")  # too small for Jupyter, the notebook, the weights; enough
    for result, lines in list(zip(told["attempts"], said))[:-1]:
        assert result["status"] == 2 and result["strays"] == []
        assert "No space left on device" in lines[0] and lines[1:] in ([], [KEPT])
    assert told["attempts"][-1]["status"] == 0 and said[-1] == []
    finished = [set(result["records"]) for result in told["attempts"]]
    assert finished[0] == finished[1] == set() < finished[2] < finished[3], "nothing finished is lost"
    study = Study(smoke_params(tmp_path))
    study.grow(list(WALKS))
    expected = pd.read_csv(io.StringIO(tables.steps(study, WALKS).to_csv(index=False)))
    steps = pd.read_csv(io.StringIO(told["steps"]))
    pd.testing.assert_frame_equal(steps.drop(columns="seconds"), expected.drop(columns="seconds"), check_exact=True)
