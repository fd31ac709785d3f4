"""The control that is trained ahead of the walks: the same models, in the store before anybody asks for them."""

import pytest
from conftest import smoke_params

from paperlib import ahead
from paperlib.nodes import parallel
from paperlib.nodes.progress import HEADLESS
from paperlib.nodes.store import store_of
from paperlib.tree import Study

TINY = {"train_size": 32, "validation_size": 16, "test_size": 24, "epochs": 1, "signal_size": 16, "max_removed": 3}
CHAIN = [(None,) * step for step in range(1, 4)]


@pytest.fixture(autouse=True)
def ended():
    """Leave no thread behind."""
    yield
    ahead.finish()


def records(params) -> list[dict]:
    found = [store_of(params).read(removed).record for removed in CHAIN]
    return [{name: value for name, value in record.items() if name not in ("seconds", "sha256")} for record in found]


def test_the_models_are_those_that_the_walk_would_train(tmp_path) -> None:
    params = smoke_params(tmp_path / "ahead", workers=2, **TINY)
    ahead.begin(params)  # before the original model is there, as in a new study
    study = Study(params)
    study.node((), {"signals"})
    (thread,) = ahead._running
    thread.join(timeout=300)
    trained = records(params)
    before = [study.store._record_path(removed).stat().st_mtime_ns for removed in CHAIN]
    assert study.grow([ahead.CONTROL])[ahead.CONTROL].nodes[1:] == [study.node(removed) for removed in CHAIN]
    assert before == [study.store._record_path(removed).stat().st_mtime_ns for removed in CHAIN], "trained once"
    alone = Study(smoke_params(tmp_path / "alone", workers=1, **TINY))
    alone.grow([ahead.CONTROL])
    assert trained == records(alone.params)


def test_growing_takes_over_after_the_model_in_hand(tmp_path, monkeypatch) -> None:
    params = smoke_params(tmp_path, workers=2, **TINY)
    study = Study(params)
    study.node(())

    def in_this_process(function, arguments, _):
        function(*arguments)
        if function is ahead._train:
            ahead._running[0].ended.set()  # the study wants to grow while the first model is trained

    monkeypatch.setattr(parallel, "elsewhere", in_this_process)
    ahead.begin(params)
    ahead._running[0].join()
    assert store_of(params).read(CHAIN[0]) and not store_of(params).read(CHAIN[1])
    study.grow([ahead.CONTROL])
    assert not ahead._running and all(map(store_of(params).read, CHAIN))


def test_what_goes_wrong_ahead_is_left_to_the_walk(tmp_path, monkeypatch, capfd) -> None:
    params = smoke_params(tmp_path, workers=2, **TINY)
    study = Study(params)
    study.node(())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv(HEADLESS, "1")  # no bar
    with monkeypatch.context() as patched:
        patched.setattr(parallel, "elsewhere", full)
        ahead.begin(params)
        ahead._running[0].join()
    assert len(study.grow([ahead.CONTROL])[ahead.CONTROL].nodes) == len(CHAIN) + 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("chosen", [{"workers": 1}, {"workers": 2, "together": 2}])
def test_nothing_is_begun_where_no_core_would_be_idle(tmp_path, chosen) -> None:
    ahead.begin(smoke_params(tmp_path, **chosen, **TINY))
    assert not ahead._running


def test_nothing_is_begun_when_the_control_is_there(tmp_path) -> None:
    params = smoke_params(tmp_path, workers=2, **TINY)
    Study(params.replace(workers=1)).grow([ahead.CONTROL])
    ahead.begin(params)
    assert not ahead._running
