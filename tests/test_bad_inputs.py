"""Whatever is wrong with what a person gives: one clear line, exit status 2, no traceback, and nothing is written."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import torch
from bad_inputs import TABLE
from conftest import files_under

from paperlib import __main__ as command_line
from paperlib import params
from paperlib.common import places
from paperlib.common.places import ROOT

OURS = ("paperlib", "params", "notebooks", "tests", "outputs")


pytestmark = pytest.mark.usefixtures("process_as_before")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that appends to files of a copy of the params folder, or makes them."""

    def change(files):
        folder = tmp_path / "params"
        for source in params.PARAMS_DIR.rglob("*.yaml"):
            target = folder / source.relative_to(params.PARAMS_DIR)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with open(folder / name, "ab") as stream:
                stream.write(content if isinstance(content, bytes) else content.encode())
        monkeypatch.setattr(params, "PARAMS_DIR", folder)
        monkeypatch.setattr(params, "ROOT", tmp_path)

    return change


def typed(case, tmp_path):
    """Return the arguments of a case, its own settings after those that keep it inside the test's folder."""
    words = [word.replace("{tmp}", str(tmp_path)) for word in shlex.split(case.words)]
    at = words.index("--set") if "--set" in words else len(words)
    places = [f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache"] if case.places else []
    settings = [*places, *words[at + 1 :]]
    return [case.command, "--profile", case.profile, *words[:at], *(["--set", *settings] if settings else [])]


def run(case, tmp_path, capsys):
    """Run a command in this process, or as a program; return its status, stdout and stderr."""
    arguments = typed(case, tmp_path)
    if case.alone:
        done = subprocess.run([sys.executable, "-m", "paperlib", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr
    try:
        status = command_line.main(arguments)
    except SystemExit as exit_:
        status = exit_.code
    return status, *capsys.readouterr()


def listing(*folders):
    return {path for folder in folders for path in files_under(folder) if "__pycache__" not in path}


@pytest.mark.parametrize("name", TABLE)
def test_a_bad_input_is_answered_in_one_line(name, project, tmp_path, monkeypatch, capsys):
    case = TABLE[name]
    if case.without_gpu and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    for variable in places.TOOLS:  # an earlier test's folder would hide what is written
        monkeypatch.delenv(variable, raising=False)
    for variable, value in case.environment.items():
        monkeypatch.setenv(variable, value)
    if case.yaml:
        project(case.yaml)
    if case.prepare:
        case.prepare(tmp_path)
    capsys.readouterr()
    before = listing(tmp_path), listing(*(ROOT / folder for folder in OURS))
    status, out, err = run(case, tmp_path, capsys)
    assert (status, out) == (2, ""), err
    assert re.fullmatch(f"paperlib: {case.says}\n", err), err
    assert err.count("\n") == 1 and len(err) < 400 and "Traceback" not in err
    assert (listing(tmp_path), listing(*(ROOT / folder for folder in OURS))) == before, "nothing may be written"


def test_the_table_is_long_enough_and_says_different_things():
    assert len(TABLE) >= 50 and len({case.says for case in TABLE.values()}) >= 80


@pytest.mark.parametrize("name", ["data: label too large", "model: a decoder", "YAML: no YAML", "environment: no threads"])
def test_debug_shows_where(name, project, tmp_path, monkeypatch, capsys):
    case = TABLE[name]
    for variable, value in case.environment.items():
        monkeypatch.setenv(variable, value)
    project(case.yaml)
    if case.prepare:
        case.prepare(tmp_path)
    capsys.readouterr()
    command, *words = typed(case, tmp_path)
    assert command_line.main([command, "--debug", *words]) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said and re.search(case.says, said.splitlines()[-1])


def test_a_window_system_that_is_not_there_does_not_matter(tmp_path, monkeypatch):
    """Figures are files; matplotlib would refuse to be imported."""
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    places = [f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache"]
    assert command_line.main(["check", "--profile", "smoke", "--set", *places]) == 1
    assert "MPLBACKEND" not in os.environ
