"""A study whose models are made up: all that is stored, chosen, written and driven is real, what is computed is not.

It takes a fraction of a second, so that faults can be tried by the hundred.
"""

import contextlib
import functools
import itertools
import shutil
import types
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from conftest import made_node, smoke_params

from paperlib import distillation, params, strategies, tree
from paperlib.common import files
from paperlib.driver import execution, run
from paperlib.evidence import provenance, subset_numbers, tables, units
from paperlib.nodes import compute_subsets, fingerprint, store
from paperlib.nodes.node import Node, label, layers_of, subset_columns
from paperlib.tree import DISTILLED, Study

LAYERS = 3
MEASURED = ("validation_correct", *subset_numbers.PARTS)
HEALTH = {"first_loss": 2.0, "last_loss": 1.0, "largest_gradient_norm": 3.0, "diverged": False}
FEW = {"random_orders": 2, "forest_trees": 1}
SPLITS = {"ablation_test", "ablation_validation"}

# What each notebook has made beside its tables.
MAKES = {
    "01_signals": lambda study: study.node((), {"signals"}),
    "02_ablation": lambda study: study.node((), {"signals", "validation_correct", *SPLITS}),
    "03_strategies": lambda study: study.grow_all(),
    "05_distillation": lambda study: distillation.distil(study, study.walk(DISTILLED).best),
    "08_subsets": lambda study: study.node((), set(subset_numbers.PARTS)),
}


@functools.cache
def made_up(removed, seed=0):
    """Return a model's made-up measurements."""
    node = made_node(removed, layers=LAYERS, seed=seed)
    return Node(node.record | {f"subsets_{split}": made_subsets(node, split) for split in ("test", "validation")})


def made_subsets(node, split):
    """Return, as a record holds it, made-up accuracy and loss without each set of the layers that a model has left."""
    sets = [gone for size in range(len(node.remaining) + 1) for gone in itertools.combinations(node.remaining, size)]
    rng = np.random.default_rng([len(node.removed), *layers_of(node.removed), *split.encode()])
    index = pd.Index(sets, tupleize_cols=False)
    return subset_columns(pd.DataFrame({"accuracy": rng.integers(0, 33, len(sets)) / 32, "loss": rng.random(len(sets))}, index=index))


class Crash(BaseException):
    """The process ends here."""


class Bench:
    """Drives made-up studies in this process; counts fine-tunes, notebooks and writes, and can end at any of the writes."""

    def __init__(self):
        self.fine_tunes, self.notebooks, self.writes, self.last_write = [], [], 0, None

    def run(self, params, last_write=None):
        """Let the driver run a study, up to the write before which it crashes; return its exit status, None if it crashed."""
        self.__init__()
        self.last_write = last_write
        try:
            return run.reproduce([params], "")
        except Crash:
            return None

    def put(self, partial, path, real=files.put):
        """Stand for the one function through which all that is kept is written; a crash leaves something half-written."""
        if self.last_write is not None and self.writes >= self.last_write:
            half = path.with_name(f".{path.name}.half.partial")
            if not half.exists():
                half.write_bytes(b"{")
            raise Crash
        self.writes += 1
        real(partial, path)

    def execute(self, name, params, settings, kernel):
        """Stand for a notebook: what it makes, its tables, its executed copy."""
        self.notebooks.append(name)
        study = Study(params)
        MAKES.get(name, lambda study: None)(study)
        tables.write(study, *units.UNIT_NOTEBOOKS[name][0])
        files.atomic_write_text(units.executed(name, params), f"{name}, executed\n")

    def compute(self, params, removed, parts, keep_weights):
        """Stand for `compute.compute_node`: a made-up node, trained anew when its record or its weights are not there."""
        kept = store.store_of(params)
        node, made = kept.adopt(removed), made_up(removed).record
        if node is None or not kept.weights.has(removed):
            self.train(kept, removed)
        left = LAYERS - len(layers_of(removed))
        fresh = {name: value for name, value in made.items() if name not in MEASURED}
        fresh |= {"parameters": 100 * left, "health": HEALTH, "seconds": {"fine_tune": 1.0}, "trained_on": "nothing"}
        return kept.write({**(node.record if node else fresh), **{part: made[part] for part in parts}})

    def measure(self, params, removed, part, did):
        """Stand for `compute_subsets.measure`, which needs the weights."""
        kept = store.store_of(params)
        if not kept.weights.has(removed):
            self.train(kept, removed)
        return kept.write({**kept.read(removed).record, part: made_up(removed).record[part]})

    def train(self, kept, removed):
        """Fine-tune a model, which needs the weights of the one before."""
        if removed and kept.weights.load(removed[:-1]) is None:
            self.train(kept, removed[:-1])
        self.fine_tunes.append(label(removed))
        kept.weights.save(removed, {"weight": torch.ones(2)})

    def distil(self, params, removed, into):
        """Stand for `distillation._train`, which needs the weights of the teacher and of the pruned model."""
        kept = store.store_of(params)
        for needed in ((), removed):
            if kept.weights.load(needed) is None:
                self.train(kept, needed)
        name = "distilled" if into else "ce_control"
        self.fine_tunes.append(name)
        if into:
            with files.in_one_piece(into) as partial:
                partial.mkdir()
                (partial / "config.json").write_text("{}")
                (partial / "model.safetensors").write_bytes(b"weights")
        made = made_up(removed, 1 + bool(into)).record
        hits = {f"{split}_correct": made[f"{split}_correct"] for split in ("test", "validation")}
        return {"model": name, "parameters": 100, "losses": [2.0, 1.0], "health": HEALTH, "seconds": 1.0, **hits}


def remembered(function, key=lambda *arguments, **named: repr((arguments, named))):
    """Return a pure function that computes each of its results once: what is tested here is not how long that takes."""
    known = {}

    @functools.wraps(function)
    def remembering(*arguments, **named):
        which = key(*arguments, **named)
        if which not in known:
            known[which] = function(*arguments, **named)
        return known[which].copy() if isinstance(known[which], pd.DataFrame) else known[which]

    return remembering


def chosen_at(name, path, params):
    """Tell choices apart: what is measured of a made-up model hangs on its removed layers alone."""
    return name, path[-1].removed, params.max_removed, params.seed


def measured(original, params):
    """Tell numbers of sets apart: by all that they are made from, lest a record that lacks a part passes for one that does not."""
    return repr([original.record.get(part) for part in subset_numbers.PARTS]), params.seed


def set_up(monkeypatch) -> Bench:
    """Let the driver run made-up studies, as long as a test or a module of tests lasts."""
    made, silent = Bench(), types.SimpleNamespace(send=lambda code: None, stop=lambda: None)
    collected = lambda params, **extra: {"parameters": params.model_dump(), **extra}  # noqa: E731
    for owner, name, stand_in in (
        (run, "_kernel", lambda params: contextlib.nullcontext(silent)),
        (run, "_check_new", lambda waiting, here: None),
        (run, "_show_results", lambda *arguments: []),
        (execution, "execute", made.execute),
        (tree, "_compute", made.compute),
        (tree.Study, "_layers", lambda study: LAYERS),
        (compute_subsets, "measure", made.measure),
        (distillation, "_train", made.distil),
        (distillation, "_latencies", lambda *arguments: [4.0, 3.0, 3.0, 3.0]),
        (files, "put", made.put),
        (files.os, "fsync", lambda descriptor: None),
        (provenance, "collect", collected),
        (strategies, "next_layer", remembered(strategies.next_layer, chosen_at)),
        (subset_numbers, "regrets", remembered(subset_numbers.regrets, measured)),
        (params, "_folder_name", remembered(params._folder_name)),
        (fingerprint, "of_code", remembered(fingerprint.of_code)),
        (fingerprint, "version", remembered(fingerprint.version)),
        (units, "expected", remembered(units.expected)),
    ):
        monkeypatch.setattr(owner, name, stand_in)
    return made


@functools.cache
def _params(**settings):
    return smoke_params(Path("nowhere"), **FEW, **settings)


def params_in(folder: Path, **settings):
    """Return the parameters of a made-up study under a folder."""
    return _params(**settings).replace(output_dir=str(folder / "out"), cache_dir=str(folder / "cache"))


def copied(source: Path, folder: Path):
    """Copy a finished study to another folder; return the parameters that name the copy."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return params_in(folder)


def told(params) -> dict[str, str]:
    """Return the tables of a unit as they stand on disk."""
    return {name: (params.unit_dir / f"{name}.csv").read_text() for names, _ in units.UNIT_NOTEBOOKS.values() for name in names}
