"""An experiment has a place of its own, and shares with the default study every model that both train alike."""

import pytest
from conftest import smoke_params
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib import params as P
from paperlib import signals
from paperlib.data import pretrained
from paperlib.explore.cost import preview
from paperlib.model import training
from paperlib.names import SIGNALS
from paperlib.nodes import fingerprint, store
from paperlib.nodes.store import store_of
from paperlib.nodes.weights import forget_others
from paperlib.params import ROOT
from paperlib.tree import Study

TINY = {"train_size": 16, "validation_size": 8, "test_size": 8, "signal_size": 8, "epochs": 1, "random_orders": 1}
WALKS = ["Weight-Norm", "Greedy-Ablation"]


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """Let the usual place of outputs be a folder of this test; return parameters by settings."""
    places = {"output_dir": str(tmp_path / "out"), "cache_dir": str(tmp_path / "cache")}
    usual = P.load("smoke", "newsgroup", 0, {**places, "precision": "fp32", "workers": 1, "device": "cpu", **TINY})
    monkeypatch.setattr(P, "_usual", lambda profile, dataset: usual.model_dump())
    return lambda **changes: usual.replace(**changes)


@pytest.fixture
def trained(monkeypatch):
    """List the layers of every model that is fine-tuned in this process."""
    made, original = [], training.fine_tune
    monkeypatch.setattr(training, "fine_tune", lambda model, *rest: made.append(model) or original(model, *rest))
    return made


def test_a_setting_moves_a_study_out_of_the_way():
    usual = P.load("laptop", "newsgroup", 0)
    assert usual.experiment == "" and usual.profile_dir == ROOT / "outputs" / "laptop" and not usual.is_apart
    other = P.load("laptop", "imdb", 3, "epochs=3 learning_rate=2.0e-5 kd_t_squared=true")
    assert other.experiment == "epochs=3,learning_rate=2.0e-05,kd_t_squared=true"
    assert other.unit_dir == ROOT / "outputs" / "experiments" / "laptop" / other.experiment / "imdb" / "seed-3"
    assert other.default_dir == usual.profile_dir


@pytest.mark.parametrize("said", ["workers=1", "cache_gb=2.0", "data_dir=x", "epochs=1", "cache_dir=y"])
def test_where_and_how_fast_a_study_runs_makes_no_experiment(said):
    assert not P.load("laptop", "newsgroup", 0, said).is_apart


def test_a_place_that_is_named_is_taken():
    assert P.load("laptop", "newsgroup", 0, "epochs=3 output_dir=outputs/mine").profile_dir == ROOT / "outputs/mine/laptop"


@settings(max_examples=200)
@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_names_of_experiments_are_names_of_folders_and_differ(one, other):
    names = [P._folder_name({"hub_id": text}) for text in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    assert all(len(name) < 120 and not set(name) - set("=,._+-") - {c for c in name if c.isascii() and c.isalnum()} for name in names)


def test_other_signals_of_the_same_models_train_nothing(at_home, trained):
    usual, literal = at_home(), at_home(attention_weight="literal")
    first = Study(usual).grow(WALKS)
    made = len(trained)
    again = Study(literal).grow(WALKS)
    assert made > 0 and len(trained) == made and literal.unit_dir != usual.unit_dir
    for name in WALKS:
        for here, there in zip(first[name].nodes, again[name].nodes):
            kept = here.record.keys() - {"signals", "seconds", "sha256", "fingerprint", "measuring"}
            assert all(here.record[part] == there.record[part] for part in kept)
    here, there = (walks["Weight-Norm"].nodes[0].signals for walks in (first, again))
    assert here["Weight-Norm"].equals(there["Weight-Norm"]) and not here["Attention-Weight"].equals(there["Attention-Weight"])


@pytest.mark.parametrize("changes", [{"attention_weight": "literal"}, {"sparsity_threshold": 0.02, "mi_bins": 3}, {"signal_size": 6}])
def test_what_an_experiment_measures_alike_is_not_measured_again(changes, at_home, monkeypatch):
    """Only signals that the setting changes are measured, and the record is, bit for bit, the one of a study on its own."""
    usual, other = at_home(), at_home(**changes)
    Study(usual).node((), {"signals", "block_influence"})
    measured, original = [], signals.measure
    monkeypatch.setattr(signals, "measure", lambda *rest: measured.append(set(rest[3])) or original(*rest))
    node = Study(other).node((), {"signals", "block_influence"})
    alone = Study(other.replace(output_dir=f"{other.output_dir}/alone", cache_dir=f"{other.cache_dir}/alone"))
    assert node.record["signals"] == alone.node((), {"signals", "block_influence"}).record["signals"]
    assert node.record["block_influence"] == alone.store.read(()).record["block_influence"]
    changed = set().union(*(fingerprint.MEASURING[name] for name in changes)) & set(SIGNALS)
    assert measured == [changed, set(SIGNALS)] and store.KNOWN_SIGNALS not in node.record
    assert list(node.signals) == list(SIGNALS), "in the order in which fusers read them"


def test_what_is_not_asked_for_stays_known_to_the_next_experiment(at_home, monkeypatch):
    usual, one, other = at_home(), at_home(mi_bins=3), at_home(mi_bins=3, attention_weight="literal")
    Study(usual).node((), {"signals"})
    Study(one).node((), {"block_influence"})
    Study(usual).store.folder.joinpath("original.json").unlink()
    measured, original = [], signals.measure
    monkeypatch.setattr(signals, "measure", lambda *rest: measured.append(set(rest[3])) or original(*rest))
    Study(other).node((), {"signals"})
    assert measured == [{"Task-Relevance-MI", "Attention-Weight"}]


def test_what_several_studies_know_of_a_model_comes_together(at_home, monkeypatch):
    """The nearest one has measured nothing of it, another one other signals than a third."""
    bare, one, other = at_home(), at_home(mi_bins=3), at_home(attention_weight="literal", sparsity_threshold=0.02)
    Study(bare).node(())
    spent = [Study(params).node((), {"signals"}).record["seconds"]["signals"] for params in (one, other)]
    measured, original = [], signals.measure
    monkeypatch.setattr(signals, "measure", lambda *rest: measured.append(set(rest[3])) or original(*rest))
    both = Study(at_home(mi_bins=3, attention_weight="literal")).node((), {"signals"})
    assert measured == [set()], "every signal was known to one or the other"
    assert both.record["seconds"]["signals"] >= min(spent), "what was taken over counts as what it cost there"


def test_signals_measured_by_other_code_are_measured_again(at_home, monkeypatch):
    usual, other = at_home(), at_home(mi_bins=3)
    Study(usual).node((), {"signals"})
    monkeypatch.setattr(store, "of_measuring", lambda params: fingerprint.of_measuring(params) | {"Weight-Norm": "by other code"})
    known = store_of(other).adopt(()).record[store.KNOWN_SIGNALS]
    assert known.keys() == {*SIGNALS} - {"Task-Relevance-MI", "Weight-Norm"}


def test_the_default_study_stays_as_it_was(at_home):
    usual = at_home()
    Study(usual).grow(WALKS)
    before = {path: path.read_bytes() for path in usual.unit_dir.rglob("*.json")}
    Study(at_home(learning_rate=1.0e-3)).grow(WALKS)
    assert before == {path: path.read_bytes() for path in usual.unit_dir.rglob("*.json")}


@pytest.mark.parametrize("changes", [{"learning_rate": 1.0e-3}, {"batch_size": 4}, {"max_tokens": 8}])
def test_models_that_are_trained_in_another_way_are_not_shared(at_home, trained, changes):
    usual = at_home()
    Study(usual).node(())
    Study(at_home(**changes)).node(())
    assert len(trained) == 2 and store_of(at_home(**changes)).relatives == {}


def test_what_was_trained_of_another_commit_is_not_shared(at_home, trained, monkeypatch):
    held = {"commit": "a" * 40}
    monkeypatch.setattr(pretrained, "commit", lambda params: held["commit"])
    first, other, third = at_home(), at_home(mi_bins=3), at_home(mi_bins=5)
    Study(first).node((0,))
    held["commit"] = "b" * 40
    assert store_of(other).known() == 0
    assert Study(other).node((0,)).record["model_commit"] == "b" * 40 and len(trained) == 4
    held["commit"] = "a" * 40
    assert Study(third).node((0,)).record["model_commit"] == "a" * 40 and len(trained) == 4
    held["commit"] = ""
    assert all(store_of(params).read((0,)) for params in (first, other, third)), "records are read where no commit is held"


def test_a_study_with_a_place_of_its_own_finds_what_was_moved_aside(tmp_path, trained):
    usual = smoke_params(tmp_path, **TINY)
    Study(usual).node((), {"signals"})
    Study(usual.replace(mi_bins=4)).node((), {"signals"})
    assert len(trained) == 1 and store_of(usual.replace(mi_bins=3)).known() == 1


def test_records_that_must_make_way_are_counted_beforehand(tmp_path, trained):
    usual = smoke_params(tmp_path, **TINY)
    assert store_of(usual).displaced() == 0
    Study(usual).node((0,))
    assert [store_of(params).displaced() for params in (usual, usual.replace(mi_bins=4), usual.replace(precision="bf16"))] == [0, 0, 2]
    aside = "2 records of other code, texts, settings or precision will be moved aside, and not be lost"
    assert str(preview(usual.replace(precision="bf16"), ["Random"])).endswith(f". {aside}"), "the panel says it, too"
    assert "aside" not in str(preview(usual, ["Random"]))


def test_weights_of_the_longest_unused_study_go_first(at_home):
    import os

    studies = [at_home(learning_rate=rate) for rate in (1.0e-5, 2.0e-5, 3.0e-5)]
    folders = [store_of(params).weights.folder for params in studies]
    for age, folder in enumerate(folders):
        folder.mkdir(parents=True)
        (folder / "original.safetensors").write_bytes(bytes(400_000))
        os.utime(folder / "original.safetensors", (age, age))  # as reading it does
    forget_others(folders[0].parent, folders[:1], 0.0009)
    assert [folder.exists() for folder in folders] == [True, False, True]
    forget_others(folders[0].parent, folders[:1], 0.0001)
    assert [folder.exists() for folder in folders] == [True, False, False], "its own stay"
    assert store.MEASURED == {"signals", "block_influence"}
