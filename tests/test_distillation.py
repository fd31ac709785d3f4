"""Distillation: the student that is saved is the student that was trained, beside a control of equal training."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import smoke_params
from test_tree import TINY, fine_tunes  # noqa: F401  (a fixture)
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from paperlib import distillation
from paperlib.common.errors import UserError
from paperlib.data import sources, subsets
from paperlib.evidence import tables
from paperlib.model import encoder, training
from paperlib.nodes import compute
from paperlib.nodes.node import pack, seed_of, unpack
from paperlib.tree import Study

REMOVED = (1, 3)


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    """Return a study with a distilled student, and the record of it."""
    study = Study(smoke_params(tmp_path_factory.mktemp("distilled"), **TINY))
    return study, distillation.distil(study, study.node(REMOVED))


def by_name(record):
    return {model["model"]: model for model in record["models"]}


def test_teacher_and_pruned_are_the_nodes(distilled):
    study, record = distilled
    models = by_name(record)
    assert list(models) == ["teacher", "pruned", "distilled", "ce_control"] and record["removed"] == "1-3"
    for name, removed in (("teacher", ()), ("pruned", REMOVED)):
        node = study.node(removed)
        for field in ("parameters", "test_correct", "validation_correct", "health"):
            assert models[name][field] == node.record[field]
    assert (
        models["pruned"]["parameters"]
        == models["distilled"]["parameters"]
        == models["ce_control"]["parameters"]
    )
    assert all(model["latency_ms"] > 0 for model in record["models"])


def test_distilling_by_hand(distilled):
    """From the pruned weights, with the teacher's logits on the training subset, and the seed of this node."""
    study, record = distilled
    params, bench = study.params, compute.bench_of(study.params)
    teacher = training.predict(compute.model_of(params, ()), bench.dataset.train, params)
    for name, logits in (("distilled", teacher), ("ce_control", None)):
        model = compute.model_of(params, REMOVED)
        seed = seed_of(params.seed, params.dataset, REMOVED, "distillation")
        done = training.fine_tune(model, bench.dataset.train, params, seed, logits)
        assert by_name(record)[name]["losses"] == done.losses
        hits = training.correct(training.predict(model, bench.dataset.test, params), bench.dataset.test)
        assert by_name(record)[name]["test_correct"] == pack(hits.numpy())


def test_student_and_control_train_alike_but_for_the_teacher(distilled):
    models = by_name(distilled[1])
    assert len(models["distilled"]["losses"]) == len(models["ce_control"]["losses"]) == 2
    assert models["distilled"]["losses"][0] != models["ce_control"]["losses"][0]


def test_the_saved_student_is_the_one_in_memory(distilled):
    study, _ = distilled
    assert distillation.same_logits(study.params) < 1e-6


def test_the_saved_student_classifies_text_as_any_model_would(distilled):
    """Plain transformers, plain text, the full vocabulary: the same examples are right and wrong."""
    study, record = distilled
    folder = study.params.unit_dir / "student"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.num_hidden_layers == 2 and model.config.original_layers == [0, 2]
    assert model.config.vocab_size == len(tokenizer) == model.get_input_embeddings().num_embeddings
    assert sum(p.numel() for p in model.parameters()) == by_name(record)["distilled"]["parameters"]
    texts = subsets.draw(sources.read(study.params)[0], study.params)["test"]
    tokens = tokenizer(
        texts["text"].tolist(), truncation=True, padding="max_length", max_length=16, return_tensors="pt"
    )
    with torch.inference_mode():
        predicted = model(**tokens).logits.argmax(1).numpy()
    correct = unpack(by_name(record)["distilled"]["test_correct"])
    assert np.array_equal(predicted == texts["label"].to_numpy(), correct)
    assert [model.config.id2label[i] for i in range(4)] == list(sources.read(study.params)[1])


def test_the_student_is_whole_and_without_pickle(distilled):
    folder = distilled[0].params.unit_dir / "student"
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)
    assert not list(folder.parent.glob(".student.partial*"))


def test_a_student_that_was_changed_is_noticed(distilled, tmp_path):
    study, _ = distilled
    other = tmp_path / "unit"
    shutil.copytree(study.params.unit_dir, other)
    model = AutoModelForSequenceClassification.from_pretrained(other / "student")
    with torch.no_grad():
        model.classifier.bias[0] += 0.5
    model.save_pretrained(other / "student")
    params = study.params.replace(output_dir=str(tmp_path))
    shutil.copytree(other, params.unit_dir)
    assert distillation.same_logits(params) == pytest.approx(0.5, abs=1e-5)


def test_a_second_call_trains_nothing(distilled, fine_tunes):  # noqa: F811
    study, record = distilled
    assert distillation.distil(study, study.node(REMOVED)) == record
    assert distillation.read(study.params) == record and fine_tunes == []


@pytest.mark.parametrize("lost", ["student/config.json", "student/model.safetensors", "distillation.json"])
def test_what_was_lost_is_made_again(lost, tmp_path, fine_tunes):  # noqa: F811
    study = Study(smoke_params(tmp_path, **TINY))
    first = distillation.distil(study, study.node(REMOVED))
    before = (study.params.unit_dir / "student" / "model.safetensors").read_bytes()
    fine_tunes.clear()
    (study.params.unit_dir / lost).unlink()
    again = distillation.distil(study, study.node(REMOVED))
    assert fine_tunes == [2, 2]
    for one, other in zip(first["models"], again["models"]):
        assert one["test_correct"] == other["test_correct"] and one.get("losses") == other.get("losses")
    assert (study.params.unit_dir / "student" / "model.safetensors").read_bytes() == before


def test_other_parameters_are_another_distillation(tmp_path):
    study = Study(smoke_params(tmp_path, **TINY))
    with pytest.raises(UserError, match="^nothing has been distilled"):
        distillation.read(study.params)
    first = distillation.distil(study, study.node(REMOVED))
    changed = study.params.replace(kd_alpha=1.0)
    with pytest.raises(UserError, match="^nothing has been distilled for these parameters yet"):
        distillation.read(changed)
    second = by_name(distillation.distil(Study(changed), study.node(REMOVED)))
    assert second["distilled"]["losses"] != by_name(first)["distilled"]["losses"]
    assert second["distilled"]["losses"] == pytest.approx(second["ce_control"]["losses"], abs=1e-6), (
        "no say, no change"
    )
    assert second["ce_control"]["losses"] == by_name(first)["ce_control"]["losses"]


def test_the_original_or_a_bare_model_can_be_a_student(tmp_path):
    study = Study(smoke_params(tmp_path, **TINY))
    for removed in ((), (0, 1, 2, 3)):
        record = distillation.distil(study, study.node(removed))
        assert distillation.same_logits(study.params) < 1e-6
        assert by_name(record)["distilled"]["parameters"] == study.node(removed).record["parameters"]


def test_an_interrupted_save_leaves_the_old_student(tmp_path, monkeypatch):
    study = Study(smoke_params(tmp_path, **TINY))
    distillation.distil(study, study.node(REMOVED))
    before = (study.params.unit_dir / "student" / "model.safetensors").read_bytes()
    monkeypatch.setattr(encoder, "load_tokenizer", lambda params: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        distillation.distil(study, study.node((2,)))
    assert (study.params.unit_dir / "student" / "model.safetensors").read_bytes() == before
    assert json.loads((study.params.unit_dir / "distillation.json").read_text())["removed"] == "1-3"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}"])
def test_a_damaged_record_counts_as_none(content, tmp_path):
    study = Study(smoke_params(tmp_path, **TINY))
    study.params.unit_dir.mkdir(parents=True, exist_ok=True)
    (study.params.unit_dir / "distillation.json").write_text(content)
    with pytest.raises(UserError, match="^nothing has been distilled"):
        distillation.read(study.params)
    record = distillation.distil(study, study.node((2,)))
    assert distillation.read(study.params) == record


def test_tables_of_the_distillation(distilled):
    study, record = distilled
    frames = tables.write(study, "distillation", "distillation_curve")
    table = frames["distillation"].set_index("model")
    for name, model in by_name(record).items():
        row = table.loc[name]
        assert row["accuracy"] == unpack(model["test_correct"]).mean()
        assert row["validation_accuracy"] == unpack(model["validation_correct"]).mean()
        assert row["parameters"] == model["parameters"] and row["size_gb"] == model["parameters"] * 4 / 1e9
        assert row["removed"] == ("" if name == "teacher" else "1-3") and row["layers"] == 4
    curve = frames["distillation_curve"]
    assert curve.groupby("model")["step"].apply(list).to_dict() == {"ce_control": [1, 2], "distilled": [1, 2]}
    assert curve[curve["model"] == "distilled"]["loss"].tolist() == by_name(record)["distilled"]["losses"]


def test_a_student_can_be_studied_like_any_model(distilled, tmp_path):
    """Pruned once, it is the original model of a second study, on layers numbered from 0."""
    folder = str(distilled[0].params.unit_dir / "student")
    study = Study(smoke_params(tmp_path, **TINY, model=folder))
    walks = study.grow(["Weight-Norm", "Random", "Linear-Regression"])
    assert all(sorted(walk.nodes[-1].removed) == [0, 1] for walk in walks.values())
    assert list(walks["Weight-Norm"].nodes[0].signals.index) == [0, 1]
    distillation.distil(study, study.node((0,)))
    model = distillation.load_student(study.params.unit_dir / "student")
    assert model.config.num_hidden_layers == 1 and model.config.original_layers == [1]
