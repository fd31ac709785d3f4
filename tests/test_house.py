"""The storeys of paperlib: imports run downwards only, as `pyproject.toml` lays them down."""

import shutil
import subprocess
import sys

from paperlib.common.places import ROOT

LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]


def lint(folder):
    return subprocess.run(LINT, cwd=folder, capture_output=True, text=True, check=False, env={"PATH": "", "PYTHONPATH": str(folder)})


def test_imports_run_downwards_only():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_import_upwards_breaks_the_contract(tmp_path):
    shutil.copytree(ROOT / "paperlib", tmp_path / "paperlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "paperlib" / "model" / "training.py").open("a") as file:
        file.write("\nfrom paperlib.driver import run\n")
    done = lint(tmp_path)
    assert done.returncode == 1 and "paperlib.model is not allowed to import paperlib.driver" in done.stdout
