"""Gather everything a study needs where there is no network, in one folder: `make bundle`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_text
from paperlib.common.messages import shown
from paperlib.common.places import ROOT
from paperlib.data import artifacts, pretrained
from paperlib.data.artifacts import Wheel
from paperlib.params import Params

FOLDER, WHEELS, DATA, MODELS = "bundle", "wheels", "data", "models"
LOCK, CLUSTER_LOCK = ROOT / "requirements.lock", ROOT / "requirements-cluster.lock"
PAGE = """# Everything for a machine without a network

Packages for Python {python}, the pinned wheels of models and data{extras}. Copy this folder into the project's folder
there, under its name, then:

```
make env OFFLINE=1{engine}
make doctor OFFLINE=1
make reproduce OFFLINE=1{engine} {settings}
```
"""


def make(studies: list[Params], python_version: str = "", cluster: bool = False, folder: Path = ROOT / FOLDER) -> Path:
    """Fill the folder for these studies and for a Python of the given version, by default this one; return it.

    With the packages of the `cluster` engine, where it is to be used there. What lies there already is kept. Raises UserError
    when a package, a pinned wheel or a local folder cannot be had.
    """
    (folder / WHEELS).mkdir(parents=True, exist_ok=True)
    for lock in (LOCK, CLUSTER_LOCK)[: 1 + cluster]:
        _download(lock, folder / WHEELS, python_version)
    for params in studies:
        for wheel in wheels_of(params):
            _bring(artifacts.fetch(wheel, params.cache_path), folder / WHEELS)
    settings = dict(_local_folders(studies, folder))
    version = python_version or f"{sys.version_info.major}.{sys.version_info.minor}"
    atomic_write_text(folder / "README.md", _page(studies, settings, version, cluster))
    return folder


def wheels_of(params: Params) -> list[Wheel]:
    """List the pinned wheels that a study reads: of its encoder, and of its data unless they are local or on the hub."""
    encoder = pretrained.MODELS[params.model].wheels if params.model in pretrained.MODELS else ()
    own = params.dataset == "newsgroup" and (params.data_source == "wheel" or params.data_source == "auto" and not params.data_dir)
    return [*encoder, *([artifacts.NEWSGROUP_WHEEL] if own else [])]


def _download(lock: Path, folder: Path, python_version: str) -> None:
    """Let pip fetch the locked packages; for another Python than this one only as wheels, which need no compiler."""
    other = ["--python-version", python_version, "--only-binary=:all:"] if python_version else []
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", *other]
    done = subprocess.run([*command, "--dest", str(folder), "--requirement", str(lock)], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise UserError(f"bundle: {' '.join(said[-1].removeprefix('ERROR: ').split())[:160]}")


def _local_folders(studies: list[Params], folder: Path) -> Iterator[tuple[str, str]]:
    """Copy data and models of this machine; yield the settings that name them in the bundle."""
    for params in studies:
        if params.data_dir:
            for source in sorted((ROOT / params.data_dir).glob(f"{params.dataset}*")):
                _bring(source, folder / DATA)
            yield "data_dir", f"{folder.name}/{DATA}"
        if (model := pretrained.place(params)) and params.model not in pretrained.MODELS:
            _bring(model, folder / MODELS)
            yield "model", f"{folder.name}/{MODELS}/{model.name}"


def _bring(source: Path, folder: Path) -> None:
    """Copy a file or folder, whole or not at all, unless it is there."""
    target, partial = folder / source.name, folder / f".{source.name}.partial-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    try:
        shutil.copytree(source, partial) if source.is_dir() else shutil.copy2(source, partial)
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial) if partial.is_dir() else partial.unlink(missing_ok=True)
        raise UserError(f"bundle: {shown(source)} cannot be copied ({error.strerror})") from None


def _page(studies: list[Params], settings: dict[str, str], version: str, cluster: bool) -> str:
    words = [f"PROFILE={studies[0].profile}", f'DATASETS="{" ".join(dict.fromkeys(params.dataset for params in studies))}"']
    words += [f'SET="{" ".join(f"{name}={value}" for name, value in settings.items())}"'] if settings else []
    extras = "".join(f", {what}" for name, what in (("data_dir", "your data"), ("model", "your model")) if name in settings)
    return PAGE.format(python=version, extras=extras, settings=" ".join(words), engine=" ENGINE=dask" * cluster)
