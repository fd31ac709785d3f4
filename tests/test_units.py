"""Freshness: each thing that a notebook's results hang on changes its fingerprint, and nothing else does."""

import ast
import json
import shutil

import pandas as pd
import pytest
from conftest import smoke_params, tiny_model

from paperlib.evidence import units

NAME = "02_ablation"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Parameters of a study on files that a test may touch: notebooks, lock file, data and model."""
    shutil.copytree(units.NOTEBOOKS, tmp_path / "notebooks")
    shutil.copy(units.LOCK_FILE, tmp_path / "lock")
    monkeypatch.setattr(units, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(units, "LOCK_FILE", tmp_path / "lock")
    (tmp_path / "data" / "newsgroup").mkdir(parents=True)
    for split in ("train", "test"):
        frame = pd.DataFrame({"text": [f"{split} {i}" for i in range(8)], "label": [0, 1] * 4})
        frame.to_csv(tmp_path / "data" / "newsgroup" / f"{split}.csv", index=False)
    tiny_model().save_pretrained(tmp_path / "model")
    return smoke_params(tmp_path, data_source="data_dir", data_dir=str(tmp_path / "data"), model=str(tmp_path / "model"))


def touched_cell(folder):
    path = folder / "notebooks" / f"{NAME}.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][-1]["source"] += ["\n", "# more"]
    path.write_text(json.dumps(notebook))


def changed(name, old, new):
    def touch(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return touch


TOUCH = {
    "a cell": touched_cell,
    "the lock file": changed("lock", "==", "==9"),
    "a text": changed("data/newsgroup/train.csv", "train 3", "train three"),
    "a label of the test split": changed("data/newsgroup/test.csv", ",1", ",0"),
    "the weights": lambda folder: tiny_model(seed=1).save_pretrained(folder / "model"),
    "the model's configuration": changed("model/config.json", '"layer_norm_eps"', '"layer_norm_epsilon"'),
}


@pytest.mark.parametrize("what", TOUCH)
def test_what_is_touched_makes_a_notebook_stale(what, study, tmp_path):
    before, others = units.expected(NAME, study), units.expected("01_signals", study)
    assert units.expected(NAME, study) == before
    TOUCH[what](tmp_path)
    assert units.expected(NAME, study) != before
    assert (units.expected("01_signals", study) == others) == (what == "a cell")


@pytest.mark.parametrize("notebook", [*units.OF_PROFILE, *units.of_unit()])
def test_no_result_goes_through_a_module_whose_change_makes_nothing_stale(notebook):
    cells = json.loads((units.NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    imported = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom) and node.module.startswith("paperlib")]
    paths = [f"{node.module.replace('.', '/')}/{alias.name}".removeprefix("paperlib/") for node in imported for alias in node.names]
    assert paths and not [path for path in paths for beside in units.BESIDE if f"{path}.py".startswith(beside)]


@pytest.mark.parametrize("setting", [{"epochs": 3}, {"seed": 1}, {"kd_alpha": 0.4}, {"random_orders": 2}, {"dataset": "imdb"}])
def test_a_parameter_makes_a_notebook_stale(setting, study):
    assert units.expected(NAME, study.replace(**setting)) != units.expected(NAME, study)


@pytest.mark.parametrize("setting", [{"workers": 2}, {"cache_gb": 9.0}, {"output_dir": "/elsewhere"}, {"cache_dir": "/elsewhere"}])
def test_where_and_how_fast_it_runs_does_not(setting, study):
    assert units.expected(NAME, study.replace(**setting)) == units.expected(NAME, study)


def test_outputs_and_touched_times_do_not(study, tmp_path):
    before = units.expected(NAME, study)
    path = tmp_path / "notebooks" / f"{NAME}.ipynb"
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        cell["metadata"] = {"collapsed": True}
    path.write_text(json.dumps(notebook, indent=4))
    (tmp_path / "data" / "newsgroup" / "train.csv").touch()
    (tmp_path / "data" / "newsgroup" / "notes.txt").write_text("not data")
    assert units.expected(NAME, study) == before
