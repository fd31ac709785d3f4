"""The three descriptions of the environment agree with each other and with what the code imports."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from paperlib.doctor import LOCK, ROOT, locked

CONDA_NAMES = {"torch": "pytorch"}  # where conda's name differs


def _declared() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(line.name): line for line in map(Requirement, project["dependencies"])}


def _conda() -> dict[str, Requirement]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    lines = [line for line in listed if isinstance(line, str)] + [
        line for d in listed if isinstance(d, dict) for line in d["pip"]
    ]
    return {canonicalize_name(line.name): line for line in map(Requirement, lines)}


def _pins() -> dict[str, Version]:
    return {canonicalize_name(name): Version(version) for name, version in locked(LOCK).items()}


def test_lock_pins_every_dependency_inside_its_range():
    pins = _pins()
    outside = {
        name: pins.get(name) for name, line in _declared().items() if pins.get(name) not in line.specifier
    }
    assert not outside


def test_lock_has_only_exact_pins_and_no_build_suffix():
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []


def test_conda_environment_has_the_ranges_of_pyproject():
    conda = _conda()
    wanted = {
        canonicalize_name(CONDA_NAMES.get(name, name)): line.specifier for name, line in _declared().items()
    }
    assert {name: conda[name].specifier for name in wanted if name in conda} == wanted
    assert set(conda) - set(wanted) == {"python", "pip", "setuptools"}


def _imports(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


def test_every_import_of_package_and_notebooks_is_declared():
    sources = [path.read_text() for path in (ROOT / "paperlib").rglob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        sources += [
            cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
        ]
    used = set().union(*map(_imports, sources)) - sys.stdlib_module_names - {"paperlib"}
    homes = metadata.packages_distributions()
    undeclared = {
        name
        for name in used
        if not {canonicalize_name(home) for home in homes.get(name, [])} & set(_declared())
    }
    assert "torch" in used and not undeclared


def test_package_carries_its_templates_and_published_numbers():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "paperlib"
    ]
    carried = {path for pattern in patterns for path in (ROOT / "paperlib").glob(pattern)}
    wanted = {path for path in (ROOT / "paperlib").rglob("*") if path.suffix not in ("", ".py", ".pyc")}
    assert wanted and wanted <= carried


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run make as a user would, whatever the make around this test was told."""
    told = (
        "MAKEFLAGS",
        "MAKEOVERRIDES",
        "MFLAGS",
        "MAKELEVEL",
        "PROFILE",
        "DATASETS",
        "SEEDS",
        "SET",
        "PYTHON",
    )
    environment = {name: value for name, value in os.environ.items() if name not in told}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@needs_make
def test_make_without_target_lists_every_target():
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split()
    answer = _make(ROOT).stdout
    assert {line.split()[0] for line in answer.splitlines()[1:]} == set(targets)


@needs_make
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([], "reproduce --profile 'laptop' --datasets 'newsgroup' --seeds '0'"),
        (
            ["SET=train_size=64 seed=3", "SEEDS=0 1"],
            "--profile 'laptop' --datasets 'newsgroup' --seeds '0' '1' --set 'train_size=64 seed=3'",
        ),
        (
            ["PROFILE=paper"],
            "--datasets 'newsgroup' 'dbpedia' 'arxiv' 'yahoo' 'patent' 'yelp' 'agnews' 'imdb' 'amazon' --seeds '0'",
        ),
        (["PROFILE=paper", "DATASETS=imdb"], "--profile 'paper' --datasets 'imdb' --seeds '0'"),
    ],
)
def test_make_reproduce_passes_its_variables_on(variables, expected):
    assert expected in _make(ROOT, "--dry-run", "reproduce", *variables).stdout


@needs_make
def test_make_env_says_in_one_line_that_python_is_missing(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    answer = _make(tmp_path, "env", "PYTHON=python-that-is-not-there")
    said = [line for line in answer.stderr.splitlines() if "***" not in line]
    assert answer.returncode == 2 and len(said) == 1 and "Python 3.11" in said[0]
    assert not (tmp_path / ".venv").exists()


@needs_make
def test_make_env_takes_an_interrupted_installation_up_again(tmp_path):
    """The stamp is written last, and a fresh one stops any second installation."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    assert "pip install" in _make(tmp_path, "--dry-run", "env").stdout
    (tmp_path / ".venv" / ".installed").touch()
    assert "pip install" not in _make(tmp_path, "--dry-run", "env").stdout
