"""Is it under-training? The two walks under other settings: their gains, their folders, and the notebook that runs them on request."""

import json
import re

import pandas as pd
import pytest
from conftest import smoke_params

from paperlib.driver import run
from paperlib.driver.plan import plan_of_epochs
from paperlib.evidence import claims, comparisons, tables, training_axis, units
from paperlib.evidence.estimates import Results
from paperlib.params import load, write_settings
from paperlib.tree import Study

FOREST, CONTROL = [0.5, 0.6, 0.7, 0.4], [0.5, 0.65, 0.72, 0.8]
TINY = {"train_size": 24, "validation_size": 8, "test_size": 16, "signal_size": 8, "max_removed": 2}


def test_gains_by_hand():
    rows = [("Random-Forest", FOREST), ("Equal-Training", CONTROL)]
    steps = pd.DataFrame([{"strategy": n, "step": s, "accuracy": a} for n, curve in rows for s, a in enumerate(curve)])
    gained = training_axis.gain(steps)
    assert gained["gain_once"] == pytest.approx(20) and gained["gain_equal"] == pytest.approx(-2), "0.7 at step 2, against 0.5 and 0.72"
    assert gained["step"] == 2


def test_of_equally_accurate_models_the_smaller_one_is_the_best():
    rows = [("Random-Forest", [0.5, 0.7, 0.7]), ("Equal-Training", [0.5, 0.6, 0.9])]
    steps = pd.DataFrame([{"strategy": n, "step": s, "accuracy": a} for n, curve in rows for s, a in enumerate(curve)])
    assert (training_axis.gain(steps)["step"], training_axis.gain(steps)["equal"]) == (2, pytest.approx(90))


@pytest.mark.parametrize("settings", ["", "output_dir=outputs/mine", "epochs=3", "epochs=2 learning_rate=1.0e-4 max_removed=1"])
def test_every_setting_has_a_folder_of_its_own(settings):
    """Two studies in one folder would move each other's records aside."""
    params = load("laptop", "imdb", 3, settings)
    studies = training_axis.studies(params)
    assert studies[0] == params
    assert len({study.unit_dir for study in studies}) == len(studies)
    assert {study.epochs for study in studies} >= {1, 3, 10} and {study.learning_rate for study in studies} >= {2.0e-5, 1.0e-4}
    ours = params.model_dump(exclude={"epochs", "learning_rate", "output_dir"})
    assert all(study.model_dump(exclude={"epochs", "learning_rate", "output_dir"}) == ours for study in studies)
    assert len({(study.epochs, study.learning_rate) for study in studies}) == len(studies)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A unit that has no other notebook than the one on request, which was run; its parameters, and what the driver said."""
    folder = tmp_path_factory.mktemp("axis")
    params = smoke_params(folder, **TINY)
    patch = pytest.MonkeyPatch()
    patch.setattr(units, "UNIT_NOTEBOOKS", {})
    patch.setattr(units, "OF_PROFILE", (units.BEFORE,))
    own = ("output_dir", "cache_dir", "precision", "workers", "device", *TINY)
    settings = write_settings({name: getattr(params, name) for name in own})
    assert run.reproduce([params], settings, asked=[units.EPOCHS]) == 0
    yield params, settings
    patch.undo()


def test_the_notebook_writes_what_each_setting_gains(asked):
    params, _ = asked
    written = tables.read(params.unit_dir, "epochs")
    assert len(written) == len(training_axis.studies(params)) and set(written["dataset"]) == {params.dataset}
    for study in training_axis.studies(params):
        row = written.query("epochs == @study.epochs and learning_rate == @study.learning_rate").iloc[0]
        walk = Study(study).walk("Random-Forest")
        assert row["baseline"] == pytest.approx(100 * walk.nodes[0].accuracy) and row["pruned"] == pytest.approx(100 * walk.best.accuracy)
        assert row["equal"] == pytest.approx(100 * Study(study).walk("Equal-Training").nodes[int(row["step"])].accuracy)
        grown = {node.removed for node in Study(study).nodes()}
        assert len(grown) == 5, "an original and two models of each walk: no other walk is trained"


def test_it_is_fresh_until_its_table_is_harmed_and_is_nobodys_duty(asked):
    params, _ = asked
    assert units.stale(params, [units.EPOCHS]) == [] == units.stale(params)
    path = params.unit_dir / "epochs.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    try:
        assert units.stale(params, [units.EPOCHS]) == [units.EPOCHS] and units.harmed(params) == ["epochs.csv"]
        assert units.stale(params) == [], "a unit is whole without it"
        assert units.comparable(params) == [], "but what was changed is not shown"
    finally:
        path.write_bytes(whole)


def test_its_rows_are_shown_only_of_units_for_which_it_is_fresh(asked, monkeypatch):
    params, _ = asked
    unit = [(params.dataset, params.seed)]
    assert units.comparable(params) == unit == units.comparable(params, units.EPOCHS)
    record = units.provenance(params.unit_dir)
    monkeypatch.setattr(units, "provenance", lambda folder: {**record, "notebooks": {}})
    assert units.comparable(params) == unit and units.comparable(params, units.EPOCHS) == []
    assert comparisons.results_of(params).epochs.empty


def test_the_plan_counts_its_models(asked, capsys):
    params, _ = asked
    others = len(training_axis.studies(params)) - 1
    assert plan_of_epochs([params, params]).fine_tunes == 2 * others * 5
    run._announce_epochs([params])
    assert re.match(rf"{units.EPOCHS}: at most {others * 5} fine-tunes, about ", capsys.readouterr().out)


def test_the_executed_notebook_shows_figures_and_says_what_follows(asked):
    notebook = json.loads(units.executed(units.EPOCHS, asked[0]).read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert not [output for output in outputs if output["output_type"] == "error"]
    said = " ".join("".join(output.get("data", {}).get("text/markdown", "")) for output in outputs)
    assert re.search(r"From 1 to 10 epochs the original goes from [\d.]+ % to [\d.]+ %", said)


def test_claims_ask_for_three_datasets():
    rows = [
        {"dataset": name, "seed": 0, "epochs": epochs, "learning_rate": 5.0e-5, "gain_once": gain, "gain_equal": -1.0}
        for name, gain in (("newsgroup", -5), ("imdb", -4), ("yelp", -6)) for epochs in (1, 10)
    ]  # fmt: skip
    ours = Results.from_tables(epochs=pd.DataFrame(rows[1::2]))
    verdicts = {claim.id: claims._judge(claim, ours)[1] for claim in claims.load() if claim.id.startswith("under-training")}
    assert verdicts == {"under-training": "holds", "under-training-equal": "cannot be tested here"}
    two = Results.from_tables(epochs=pd.DataFrame([row for row in rows if row["dataset"] != "yelp"]))
    assert {claims._judge(claim, two)[1] for claim in claims.load() if claim.id.startswith("under-training")} == {"cannot be tested here"}
