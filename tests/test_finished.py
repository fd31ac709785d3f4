"""Finished units and fresh results of a profile: made of units of the reference, and then disturbed."""

import shutil
import time
from unittest.mock import MagicMock

import numpy as np
import pytest

from paperlib import params as parameters
from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file
from paperlib.common.messages import Fault
from paperlib.common.places import REFERENCE
from paperlib.data import pretrained
from paperlib.driver import execution, run, unit
from paperlib.evidence import comparisons, one_study, other_encoder, provenance, tables, two_runs, units
from paperlib.model.device import precision_of
from paperlib.nodes import fingerprint
from paperlib.nodes.store import store_of
from paperlib.report.reference import keeping

EMPTY = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


def laid(folder, profile="laptop", dataset="newsgroup", complete=True, **settings):
    """Lay a unit of the reference into a profile's folder as this code's own; return its parameters."""
    params = parameters.load(profile, dataset, 0, {"output_dir": str(folder / "out"), "cache_dir": str(folder / "cache"), **settings})
    params.unit_dir.mkdir(parents=True)
    for path in (REFERENCE / "laptop" / dataset / "seed-0").glob("*.csv"):
        shutil.copy(path, params.unit_dir)
    written = {path.stem: sha256_file(path) for path in params.unit_dir.glob("*.csv")}
    record = {"settings": units.settings_of(params), "tables": written, "complete": complete, "parameters": params.model_dump(), "notebooks": {}}
    provenance.write(params.unit_dir / units.PROVENANCE, record)
    return params


@pytest.fixture
def drawn(monkeypatch):
    """Let the notebooks of a profile be executed in no time; those named in what is returned fail."""
    failing = set()

    def executed(name, params, *_):
        units.executed(name, params).parent.mkdir(parents=True, exist_ok=True)
        if name in failing:
            return Fault(f"{name}: it failed")
        units.executed(name, params).write_text(EMPTY)

    monkeypatch.setattr(execution, "execute", executed)
    return failing


@pytest.mark.parametrize("name", units.OF_PROFILE)
def test_a_failed_notebook_of_a_profile_is_stale_afterwards(tmp_path, drawn, name):
    params = laid(tmp_path)
    drawn.add(name)
    assert [fault.line for fault in run._show_results([params], "", list(units.OF_PROFILE), None)] == [f"{name}: it failed"]
    assert run._stale_results([params]) == list(units.OF_PROFILE)
    drawn.clear()
    assert run._show_results([params], "", list(units.OF_PROFILE), None) == [] == run._stale_results([params])


def test_results_are_stale_when_a_run_of_another_encoder_comes_or_goes(tmp_path, drawn):
    params = laid(tmp_path)
    run._show_results([params], "", list(units.OF_PROFILE), None)
    laid(tmp_path, "base", "yelp", complete=False)
    assert run._stale_results([params]) == [], "it is not finished"
    other = laid(tmp_path, "base", "imdb")
    assert run._stale_results([params]) == list(units.OF_PROFILE)
    run._show_results([params], "", list(units.OF_PROFILE), None)
    shutil.rmtree(other.unit_dir)
    assert run._stale_results([params]) == list(units.OF_PROFILE)


def test_models_of_another_encoder_are_those_of_finished_units(tmp_path):
    params = laid(tmp_path)
    laid(tmp_path, "base", "imdb")
    laid(tmp_path, "base", "yelp", complete=False, model="some/other-model")
    found = other_encoder.models_of_others(params)
    assert {(model.dataset, model.encoder) for model in found} == {("imdb", "all-mpnet-base-v2")}
    laid(tmp_path, "paper", "agnews", model=params.model)
    assert len(other_encoder.models_of_others(params)) == len(found), "the same encoder is no other one"


def test_a_copy_of_a_units_folder_is_no_unit(tmp_path):
    params = laid(tmp_path)
    for name in ("seed-0-backup", "seed-", "seed-x"):
        shutil.copytree(params.unit_dir, params.unit_dir.with_name(name))
    assert one_study.comparable(params) == [("newsgroup", 0)]
    assert len(comparisons.results_of(params).steps) == len(tables.read(params.unit_dir, "steps"))


def test_units_of_another_commit_of_a_hubs_model_are_no_part_of_a_study(tmp_path, monkeypatch):
    held, studies = {"commit": ""}, {}
    monkeypatch.setattr(pretrained, "commit", lambda params: held["commit"])
    for dataset, commit in (("newsgroup", "a" * 40), ("imdb", "b" * 40), ("yelp", "")):
        held["commit"], studies[dataset] = commit, laid(tmp_path, dataset=dataset)
        units.executed("02_ablation", studies[dataset]).parent.mkdir()
        units.executed("02_ablation", studies[dataset]).write_text(EMPTY)
        before = units.provenance(studies[dataset].unit_dir)
        unit._record(studies[dataset], "02_ablation", time.time())
        provenance.write(studies[dataset].unit_dir / units.PROVENANCE, before | units.provenance(studies[dataset].unit_dir) | {"complete": True})
    fresh = lambda: [dataset for dataset, params in studies.items() if units.is_fresh("02_ablation", params)]  # noqa: E731
    assert fresh() == [*studies], "where no commit is held, nothing can be said"
    assert [one_study.comparable(params) for params in studies.values()] == [
        [("newsgroup", 0), ("yelp", 0)], [("imdb", 0), ("yelp", 0)], [("imdb", 0), ("newsgroup", 0), ("yelp", 0)],
    ]  # fmt: skip
    held["commit"] = "b" * 40
    assert fresh() == ["imdb", "yelp"]


def tell(params, **told):
    """Let a unit's provenance say this, too."""
    provenance.write(params.unit_dir / units.PROVENANCE, units.provenance(params.unit_dir) | told)


def computed(device, precision):
    return {"computed": {"device": device, "precision": precision}}


def test_units_of_another_precision_or_device_are_no_part_of_a_study(tmp_path):
    ways = {"newsgroup": ("cpu", "fp32"), "imdb": ("cpu", "bf16"), "arxiv": ("cuda", "bf16"), "yelp": ("cpu", "bf16")}
    studies = {dataset: laid(tmp_path, dataset=dataset) for dataset in ways}
    for dataset, way in ways.items():
        tell(studies[dataset], **computed(*way))
    absent = studies["imdb"].replace(dataset="amazon")
    assert one_study.comparable(absent.replace(device="cuda")) == [], "of other settings, and no card is looked for"
    for params in (*studies.values(), absent):  # whichever is asked for first, and whatever computes here
        assert one_study.comparable(params) == [("imdb", 0), ("yelp", 0)]
        assert one_study.left_out(params) == {
            ("newsgroup", 0): "it was computed in fp32 on processors, and the others in bf16 on processors",
            ("arxiv", 0): "it was computed in bf16 on a GPU, and the others in bf16 on processors",
        }
    others = one_study.of_other_encoders(parameters.load("base", "imdb", 0, {"output_dir": str(tmp_path / "out")}))
    assert {record["parameters"]["dataset"] for record in others.values()} == {"imdb", "yelp"}


def test_of_as_many_units_of_each_precision_those_are_shown_that_are_as_the_one_asked_for(tmp_path, capsys, monkeypatch):
    studies = {dataset: laid(tmp_path, dataset=dataset) for dataset in ("newsgroup", "imdb")}
    for params, precision in zip(studies.values(), ("fp32", "bf16")):
        tell(params, **computed("cpu", precision))
    for dataset, params in studies.items():
        assert one_study.comparable(params) == [(dataset, 0)]
    run._say_left_out(list(studies.values()))
    said = "imdb seed 0: not in the figures and claims: it was computed in bf16 on processors, and the others in fp32 on processors\n"
    assert capsys.readouterr().out == said
    tell(laid(tmp_path, dataset="yelp"), **computed("cpu", "fp32"))
    monkeypatch.setattr(units, "stale", lambda params: [])
    with pytest.raises(UserError, match="^imdb seed 0: no part of the study that is kept: it was computed in bf16"):
        keeping.make(studies["imdb"])


def test_units_of_other_versions_of_what_computes_are_no_part_of_a_study(tmp_path):
    packages = dict.fromkeys(fingerprint.LIBRARIES, "1.0") | {"seaborn": "2"}
    made = {"newsgroup": packages, "imdb": packages | {"torch": "1.0+cpu", "seaborn": "3"}, "yelp": packages | {"torch": "2.0"}}
    studies = [laid(tmp_path, dataset=dataset) for dataset in made]
    for params, versions in zip(studies, made.values()):
        tell(params, packages=versions)
    for params in studies:
        assert one_study.comparable(params) == [("imdb", 0), ("newsgroup", 0)], "what draws, and for which cards, does not matter"
        assert one_study.left_out(params)["yelp", 0].startswith("it was computed with torch 2.0, transformers 1.0, ")


def test_seeds_of_other_texts_are_no_part_of_a_study(tmp_path):
    studies = [laid(tmp_path), laid(tmp_path, dataset="imdb")]
    for seed, texts, column in ((1, "b", "text"), (2, "a", "text"), (3, "a", "title")):
        shutil.copytree(studies[0].unit_dir, studies[0].unit_dir.with_name(f"seed-{seed}"))
        studies.append(studies[0].replace(seed=seed))
        tell(studies[-1], parameters=studies[-1].model_dump() | {"text_fields": [column]}, data=[texts])
    tell(studies[0], data=["a"])
    tell(studies[1], data=["c"])
    for params in studies:
        assert one_study.comparable(params) == [("imdb", 0), ("newsgroup", 0), ("newsgroup", 2)]
        assert one_study.left_out(params) == {("newsgroup", seed): "its texts are others than those of the other seeds" for seed in (1, 3)}


def test_a_unit_that_is_gone_on_with_in_another_precision_is_whole_after_one_run(tmp_path, drawn, monkeypatch):
    params, here, nobody = laid(tmp_path), {"device": "cpu", "precision": "fp32"}, MagicMock()
    (params.unit_dir / units.PROVENANCE).unlink()
    monkeypatch.setattr(fingerprint, "resolved", lambda params: dict(here))
    monkeypatch.setattr(units, "_student_is_whole", lambda params: True)
    monkeypatch.setattr(units.backing, "are_there", lambda *_: True)
    drawn.add("05_distillation")
    assert unit.run_unit(params, "", nobody, nobody).line == "05_distillation: it failed"
    drawn.clear()
    here["precision"] = "bf16"
    assert unit.run_unit(params, "", nobody, nobody) is None
    record = units.provenance(params.unit_dir)
    assert record["complete"] and record["computed"] == here and not units.stale(params)
    assert {run["study"] for run in record["notebooks"].values()} == {fingerprint.of_study(params)}


def test_what_another_precision_moved_aside_makes_all_of_a_unit_stale(tmp_path, monkeypatch):
    params, names = laid(tmp_path), ("02_ablation", "04_fusion", "05_distillation")
    monkeypatch.setattr(units, "_student_is_whole", lambda params: True)
    for name in names:
        units.executed(name, params).parent.mkdir(exist_ok=True)
        units.executed(name, params).write_text(EMPTY)
        unit._record(params, name, time.time())
    stale = lambda: set(names) & set(units.stale(params))  # noqa: E731
    assert stale() == set(), "of a unit that was copied without its records, too"
    store_of(params).claim()
    assert stale() == set()
    other = "bf16" if precision_of(params) == "fp32" else "fp32"
    monkeypatch.setattr(fingerprint, "resolved", lambda params: {"device": "cpu", "precision": other})
    assert stale() == set(), "what is finished can be read where another precision is usual"
    store_of(params).claim()
    assert stale() == set(names)


def test_a_units_record_says_in_which_precision_it_was_computed(tmp_path):
    params = laid(tmp_path)
    units.executed("02_ablation", params).parent.mkdir()
    units.executed("02_ablation", params).write_text(EMPTY)
    unit._record(params, "02_ablation", time.time())
    record = units.provenance(params.unit_dir)
    assert record["data"] == fingerprint.of_data(params) and record["computed"] == fingerprint.resolved(params) == {"device": "cpu", "precision": precision_of(params)}
    assert dict(provenance.summary(record))["Hardware"].endswith(f", in {precision_of(params)}")
    assert " in " not in dict(provenance.summary(provenance.collect(params)))["Hardware"], "what only draws computes in none"
    named = two_runs._values(record, told=True)
    assert (params.precision, named["precision"], named["device"]) == ("auto", precision_of(params), "cpu")


def test_the_seconds_of_a_unit_are_those_of_all_its_runs(tmp_path):
    params = laid(tmp_path)
    (params.unit_dir / units.PROVENANCE).unlink()
    seconds = {"01_signals": 100, "02_ablation": 7200, "04_fusion": 30}
    for name, took in seconds.items():  # as if the study had been cut off between any two
        units.executed(name, params).parent.mkdir(exist_ok=True)
        units.executed(name, params).write_text(EMPTY)
        unit._record(params, name, time.time() - took)
    assert units.provenance(params.unit_dir)["wall_seconds"] == pytest.approx(sum(seconds.values()), abs=5)
    unit._record(params, "04_fusion", time.time() - 40)
    assert units.provenance(params.unit_dir)["wall_seconds"] == pytest.approx(7340, abs=5), "made again, in place of the first time"


def test_the_copy_of_a_failed_notebook_is_named_after_what_it_is_about(tmp_path):
    one, other = (parameters.load("laptop", name, 0, {"output_dir": str(tmp_path)}) for name in ("agnews", "newsgroup"))
    assert execution._failed_copy("07_figures", one) == execution._failed_copy("07_figures", other)
    assert execution._failed_copy("03_strategies", one) != execution._failed_copy("03_strategies", other)


def test_the_spread_of_orders_leaves_out_models_that_lost_several_layers_at_once():
    from conftest import made_node

    alone = [made_node((layer,), layers=4, seed=layer) for layer in range(4)]
    others = [made_node(((0, 1),), layers=4), made_node(((0, 1), None), layers=4), made_node((None,), layers=4)]
    for place, node in enumerate([*alone, *others]):
        node.record["test_correct"] = made_node((place % 4,), layers=4, seed=place).record["test_correct"]
    table = comparisons.order_and_set([*alone, *others])
    assert table.loc[1, ["models", "sets"]].tolist() == [4, 4]
    assert table.loc[1, "sd"] == pytest.approx(np.std([node.accuracy for node in alone], ddof=1))
