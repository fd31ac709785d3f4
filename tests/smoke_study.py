"""The smoke study that many tests look at, made once: `python smoke_study.py FOLDER` makes it beside other tests."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def made(folder):
    """Return what was said when the study was run in `folder`/study: whoever comes first runs it, the others wait."""
    with lock_of(folder):
        if not (folder / "said.json").exists():
            (folder / "said.json").write_text(json.dumps(run(folder / "study")))
    return json.loads((folder / "said.json").read_text())


def run(folder):
    """Run the smoke study in a folder, in one process as tests run beside it; note which of the project's files it touches.

    Its processes note what Python writes; what else is new in the project meanwhile counts too, whoever wrote it.
    """
    shutil.rmtree(folder, ignore_errors=True)  # half a study, of a process whose own tests ended first
    folder.mkdir()
    touched, started, before = folder / "touched.txt", time.time(), project_files()
    touched.write_text("")
    done = reproduce([*words(folder), "workers=1"], in_a_new_home(folder) | {"PAPERLIB_WRITES": str(touched)})
    after = project_files()
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    touched.write_text(touched.read_text() + "".join(f"{name}\n" for name in changed))
    return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr, "seconds": time.time() - started}


def words(folder):
    """Return the words of a command line that runs the smoke study in a folder."""
    return ["--profile", "smoke", "--set", f"output_dir={folder}/out", f"cache_dir={folder}/cache"]


def reproduce(words, environment=None):
    """Run the driver as a person would."""
    command = [sys.executable, "-m", "paperlib", "reproduce", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def in_a_new_home(folder):
    """Return an environment whose home and temporary folder are empty ones under `folder`."""
    ours = ("HOME", "TMPDIR", "XDG_", "JUPYTER_", "IPYTHONDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    return {**kept, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}


def project_files():
    """Return when each file of the project was last written, but where Git, Python and other tests write meanwhile."""
    hidden = {".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis", ".cache"}
    paths = [path for path in ROOT.rglob("*") if path.is_file() and not hidden & set(path.relative_to(ROOT).parts)]
    return {str(path.relative_to(ROOT)): path.stat().st_mtime_ns for path in paths}


@contextlib.contextmanager
def lock_of(folder):
    """Hold a folder for one process at a time; others wait."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    made(Path(sys.argv[1]))
