"""Is it under-training? The two walks under other settings: their gains, their folders, and the notebook that runs them on request."""

import json
import re

import pandas as pd
import pytest
from conftest import smoke_params

from paperlib.common import hardware
from paperlib.driver import run, study_bar, unit
from paperlib.driver.plan import plan_of_epochs
from paperlib.evidence import claims, one_study, provenance, tables, training_axis, truth_quantities, units
from paperlib.evidence.estimates import Results
from paperlib.figures import over_datasets
from paperlib.nodes import progress
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


@pytest.mark.parametrize("settings", ["", "learning_rate=1.0e-4", "output_dir=outputs/mine", "epochs=3", "epochs=2 learning_rate=1.0e-4 max_removed=1"])
def test_every_setting_has_a_folder_of_its_own(settings):
    """Two studies in one folder would move each other's records aside; and the driver's lock is that of the profile's folder."""
    params = load("laptop", "imdb", 3, settings)
    studies = training_axis.studies(params)
    assert studies[0] == params
    assert all(params.profile_dir / "epochs" in study.unit_dir.parents for study in studies[1:])
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
    patch.setattr(run, "_show_results", lambda *_: [])
    own = ("output_dir", "cache_dir", "precision", "workers", "device", *TINY)
    settings = write_settings({name: getattr(params, name) for name in own})
    assert run.reproduce([params.replace(training_axis=True)], f"{settings} training_axis=true") == 0
    yield params, settings
    patch.undo()


def test_the_notebook_writes_what_each_setting_gains(asked):
    params, _ = asked
    written = tables.read(params.unit_dir, "epochs")
    assert len(written) == len(training_axis.studies(params)) and set(written["dataset"]) == {params.dataset}
    assert set(written["trained_on"]) == {hardware.cpu_model()}
    for study in training_axis.studies(params):
        row = written.query("epochs == @study.epochs and learning_rate == @study.learning_rate").iloc[0]
        walk = Study(study).walk("Random-Forest")
        assert row["baseline"] == pytest.approx(100 * walk.nodes[0].accuracy) and row["pruned"] == pytest.approx(100 * walk.best.accuracy)
        assert row["equal"] == pytest.approx(100 * Study(study).walk("Equal-Training").nodes[int(row["step"])].accuracy)
        grown = {node.removed for node in Study(study).nodes()}
        assert len(grown) == 5, "an original and two models of each walk: no other walk is trained"


def test_once_asked_for_it_is_part_of_the_unit(asked, capsys):
    """A harmed or lost table is missed by every command, and made again by any that runs the unit, of models that are there."""
    params, settings = asked
    assert units.stale(params) == [] and one_study.comparable(params) == [(params.dataset, params.seed)]
    path = params.unit_dir / "epochs.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert units.stale(params) == [units.EPOCHS] and units.harmed(params) == ["epochs.csv"]
    path.unlink()
    assert units.stale(params) == [units.EPOCHS] and one_study.comparable(params) == []
    assert run.check([params]) == 1 and f"{units.EPOCHS} is stale or missing" in capsys.readouterr().out
    assert run.reproduce([params], settings) == 0
    assert path.read_bytes() == whole and units.stale(params) == []
    assert re.search(r"12_epochs: at most \d+ fine-tunes, about .*; \d+ of the models are at hand", capsys.readouterr().out)


def test_a_unit_for_which_it_was_not_asked_is_whole_without_it(tmp_path):
    params = smoke_params(tmp_path)
    asking = params.replace(training_axis=True)
    assert units.EPOCHS not in units.notebooks_of(params) and units.EPOCHS in units.notebooks_of(asking)
    assert units.EPOCHS in units.notebooks_of(params, record={"asked": [units.EPOCHS]})
    assert asking.profile_dir == params.profile_dir, "it is the same study, and goes on in the same place"


def test_the_unit_keeps_the_account_of_its_own_run(asked):
    """Seconds, command and memory are those of the run that made the unit, not of a notebook that came later."""
    params, _ = asked
    record = units.provenance(params.unit_dir)
    made = {**record, "wall_seconds": 1234.5, "command": "make reproduce", "complete": True}
    provenance.write(params.unit_dir / units.PROVENANCE, made)
    unit._record(params, units.EPOCHS, 0.0)
    kept = units.provenance(params.unit_dir)
    assert (kept["wall_seconds"], kept["command"]) == (1234.5, "make reproduce")
    assert kept["complete"] and kept["asked"] == [units.EPOCHS] and units.stale(params) == []


def test_the_plan_counts_its_models(asked, capsys):
    params, _ = asked
    others = len(training_axis.studies(params)) - 1
    assert plan_of_epochs([params, params]).fine_tunes == 2 * others * 5
    run._announce_epochs([params])
    assert capsys.readouterr().out == "", "it is fresh"


def test_the_bar_follows_the_study_that_runs(asked, monkeypatch):
    params, _ = asked
    studies = training_axis.studies(params)
    costs = [study.epochs for study in studies]
    monkeypatch.setattr(progress, "read", lambda study: {"made": 1, "total": 4} if study == studies[2] else None)
    assert study_bar._done(params, units.EPOCHS) == pytest.approx((sum(costs[:2]) + costs[2] / 4) / sum(costs))
    assert study_bar._done(params, "03_strategies") == 0


def test_the_executed_notebook_shows_figures_and_says_what_follows(asked):
    notebook = json.loads(units.executed(units.EPOCHS, asked[0]).read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    said = " ".join("".join(output.get("data", {}).get("text/markdown", "")) for output in outputs)
    assert re.search(r"From 1 to 10 epochs the original goes from [\d.]+ % to [\d.]+ %", said)


def test_units_without_the_notebook_give_their_own_row(tmp_path):
    """What a unit's steps say of its own setting is known without any other study; other rates do not mix with it in a claim."""
    params = smoke_params(tmp_path)
    rows = [("Random-Forest", FOREST), ("Equal-Training", CONTROL)]
    steps = pd.concat([pd.DataFrame([
        {"dataset": dataset, "seed": 0, "strategy": n, "step": s, "accuracy": a} for n, curve in rows for s, a in enumerate(curve)
    ]) for dataset in ("newsgroup", "imdb")])  # fmt: skip
    written = pd.DataFrame([{"dataset": "imdb", "seed": 0, "epochs": params.epochs, "learning_rate": rate, "gain_once": gain}
                            for rate, gain in ((params.learning_rate, 20.0), (2.0e-5, 99.0))])  # fmt: skip
    found = training_axis.of_units(steps, written, params)
    assert found[found["usual_rate"]].set_index("dataset")["gain_once"].to_dict() == pytest.approx({"imdb": 20.0, "newsgroup": 20.0})
    ours = Results.from_tables(epochs=found)
    assert truth_quantities.gain_after_training(ours, params.epochs, "once").value == pytest.approx(20.0), "of the usual rate"
    assert set(training_axis.varied(found)["dataset"]) == {"imdb"}, "a mean over settings is of the same units in each"
    without = training_axis.of_units(steps[steps["strategy"] == "Random-Forest"], None, params)
    assert len(without) == len(training_axis.varied(without)) == 0, "a run without the control tells nothing"


def test_claims_ask_for_three_datasets():
    rows = [
        {"dataset": name, "seed": 0, "epochs": epochs, "learning_rate": 5.0e-5, "gain_once": gain, "gain_equal": -1.0, "usual_rate": True}
        for name, gain in (("newsgroup", -5), ("imdb", -4), ("yelp", -6)) for epochs in (1, 10)
    ]  # fmt: skip
    ours = Results.from_tables(epochs=pd.DataFrame(rows[1::2]))
    verdicts = {claim.id: claims._judge(claim, ours)[1] for claim in claims.load() if claim.id.startswith("under-training")}
    assert verdicts == {"under-training": "holds", "under-training-equal": "cannot be tested here"}
    two = Results.from_tables(epochs=pd.DataFrame([row for row in rows if row["dataset"] != "yelp"]))
    assert {claims._judge(claim, two)[1] for claim in claims.load() if claim.id.startswith("under-training")} == {"cannot be tested here"}


def test_every_run_is_drawn_and_every_rate_has_a_mark_of_its_own():
    runs = [(name, epochs, rate) for name in ("newsgroup", "imdb") for epochs, rate in ((1, 5e-5), (3, 5e-5), (1, 2e-5), (1, 1e-4))]
    rows = pd.DataFrame([
        {"dataset": name, "seed": 0, "epochs": epochs, "learning_rate": rate, "baseline": 50.0 + place, "gain_once": 1.0 * place, "gain_equal": -1.0 * place}
        for place, (name, epochs, rate) in enumerate(runs)
    ])  # fmt: skip
    figure, alt = over_datasets.training_gain(rows)
    for ax, column in zip(figure.axes, ("gain_once", "gain_equal")):
        lines = [line for line in ax.lines if line.get_marker() != "None"]
        assert sorted(point for line in lines for point in zip(*line.get_data())) == sorted(zip(rows["baseline"], rows[column]))
        assert {line.get_marker() for line in lines} == {"o", "v", "^"} and {len(line.get_xdata()) for line in lines if line.get_marker() == "o"} == {2}
    assert "8 runs: +0.0 to +7.0 points" in alt
    assert [text.get_text() for text in figure.legends[0].get_texts()][2:5] == [f"learning rate {rate:g}" for rate in (5e-5, 2e-5, 1e-4)]


def test_more_than_ten_datasets_have_lines_of_their_own():
    rows = pd.DataFrame([
        {"dataset": f"d{place:02d}", "seed": 0, "epochs": epochs, "learning_rate": 5e-5, "baseline": 50.0 + epochs, "gain_once": place, "gain_equal": place}
        for place in range(23) for epochs in (1, 3)
    ])  # fmt: skip
    figure, _ = over_datasets.training_gain(rows)
    drawn = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    looks = [(line.get_color(), line.get_linestyle(), line.get_fillstyle()) for line in drawn]
    assert len(set(looks)) == len(drawn) == 23 and {look[1:] for look in looks[:10]} == {("-", "full")}
    keys = figure.legends[0].get_lines()[:23]
    assert [(key.get_color(), key.get_linestyle(), key.get_fillstyle()) for key in keys] == looks
