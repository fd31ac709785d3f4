"""10_your_model at the end of a study: at a small size, in a study of its own, once; and its cells, on a result that is there."""

import pytest
from conftest import smoke_params

from paperlib import params as parameters
from paperlib.driver import execution, run, small
from paperlib.evidence import one_study, provenance, units
from paperlib.report import pages

OF_LAPTOP = {"train_size": 128, "validation_size": 64, "test_size": 128, "signal_size": 64, "max_removed": 2, "device": "cpu"}


def test_sizes_are_small_whatever_the_study_asks() -> None:
    study = parameters.load("laptop", settings="train_size=900 'output_dir=a b'")
    settings = small.settings_of(study, "train_size=900 'output_dir=a b'")
    assert parameters.parse_settings(settings) == {**OF_LAPTOP, "output_dir": "a b"}
    recorded = parameters.load("laptop", settings="cuda_graphs=true together=4")
    on_processor = small.settings_of(recorded, "cuda_graphs=true together=4")
    assert parameters.load("laptop", settings=on_processor).cuda_graphs is False
    by_test = parameters.load("laptop", settings="selection_split=test epochs=2")
    assert parameters.parse_settings(small.settings_of(by_test, "selection_split=test epochs=2")) == {**OF_LAPTOP, "epochs": 2}, "compress refuses it"
    fewer = parameters.load("laptop", settings="test_size=20 max_removed=1")
    assert parameters.parse_settings(small.settings_of(fewer, "test_size=20 max_removed=1")) == {**OF_LAPTOP, "test_size": 20, "max_removed": 1}


@pytest.mark.parametrize("settings", [{}, {"epochs": 2}, {"class_names": ["a b", "c", "d", "e"], "data_dir": "it's"}])
def test_settings_are_written_as_they_are_read(settings) -> None:
    assert parameters.parse_settings(parameters.write_settings(settings)) == settings


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A finished study, of which nothing is real: `executed` lists notebooks, each with the settings that it was given."""
    params, executed = smoke_params(tmp_path), []

    def execute(name, params, settings, kernel):
        executed.append((name, settings))
        path = units.executed(name, params)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    monkeypatch.setattr(provenance, "banner", lambda params: "")
    monkeypatch.setattr(execution, "execute", execute)
    monkeypatch.setattr(one_study, "comparable", lambda params: [("newsgroup", 0)])
    monkeypatch.setattr(units, "stale", lambda params, asked=(): [])
    monkeypatch.setattr(pages, "build", lambda *arguments, **named: None)
    monkeypatch.setattr("paperlib.driver.kernel.Kernel.send", lambda self, code: None)
    return params, executed


def test_it_runs_once_and_again_when_its_copy_is_harmed(study, capsys, monkeypatch) -> None:
    params, executed = study
    assert run.reproduce([params], "epochs=2") == 0
    assert [name for name, _ in executed] == [*units.OF_PROFILE, units.YOURS]
    assert executed[-1][1] == small.settings_of(params, "epochs=2") and {settings for _, settings in executed[:-1]} == {"epochs=2"}
    executed.clear()
    assert run.reproduce([params], "") == 0 and executed == [] and run.check([params]) == 0
    with monkeypatch.context() as changed:
        changed.setattr("paperlib.nodes.fingerprint.of_code", lambda *places, without=(): "other")
        assert small.stale(params) == [units.YOURS], "the code that makes the model is another"
    units.executed(units.YOURS, params).write_text("cut")
    capsys.readouterr()
    assert run.check([params]) == 1 and f"smoke: {units.YOURS} is stale or missing" in capsys.readouterr().out
    assert run.reproduce([params], "") == 0 and units.YOURS in [name for name, _ in executed]
    assert run.check([params]) == 0


def test_drawing_again_compresses_nothing(study) -> None:
    params, executed = study
    assert run.redraw([params], "") == 0
    assert [name for name, _ in executed] == list(units.OF_PROFILE) and small.stale(params) == [units.YOURS]


def test_a_fault_in_it_leaves_it_to_be_run_again(study, monkeypatch) -> None:
    params, executed = study
    monkeypatch.setattr(execution, "execute", lambda name, *_: "a fault" if name == units.YOURS else None)
    assert len(run._show_results([params], "", [units.YOURS], None)) == 1
    assert small.stale(params) == [units.YOURS]


def test_where_numbers_are_no_results_it_is_left_out(tmp_path) -> None:
    assert small.stale(smoke_params(tmp_path)) == []
