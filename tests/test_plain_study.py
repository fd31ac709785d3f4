"""The plain version, the benchmark's yardstick: it must find what our code finds, wherever the definition is the same."""

from collections import ChainMap

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import logits_of, padded_batch, smoke_params, tiny_model
from torch import nn

from paperlib import ablation, signals
from paperlib.benchmark import plain_study
from paperlib.data import subsets
from paperlib.model import encoder, training
from paperlib.names import SIGNALS


@pytest.fixture(params=["bert", "roberta", "distilbert"])
def kind(request):
    return request.param


def as_examples(batch):
    return datasets.Dataset.from_dict({name: tensor.tolist() for name, tensor in batch.items()})


def test_examples_are_the_same_texts(tmp_path):
    params = smoke_params(tmp_path)
    tokenizer = encoder.load_tokenizer(params)
    dataset = subsets.load(params, tokenizer)
    cut = encoder.restrict_vocabulary(encoder.load_model(params, dataset.class_names), dataset.token_ids)
    whole = encoder.load_model(params, dataset.class_names)
    for split in ("train", "validation", "test"):
        examples, batch = plain_study.examples_of(dataset, split), getattr(dataset, split)
        assert examples["labels"][:] == batch["labels"].tolist()
        torch.testing.assert_close(
            torch.tensor(plain_study.predict(whole, examples, params)), training.predict(cut, batch)
        )
    first = tokenizer.decode(plain_study.examples_of(dataset, "train")[0]["input_ids"])
    assert first.startswith("[CLS]") and "[SEP]" in first


def test_predictions_and_accuracy(kind, tmp_path):
    model, batch, params = tiny_model(kind), padded_batch(kind), smoke_params(tmp_path)
    logits = logits_of(model, batch)
    found = plain_study.predict(model, as_examples(batch), params)
    np.testing.assert_allclose(found, logits, atol=1e-5)
    right = (logits.argmax(-1) == batch["labels"]).double().mean().item()
    assert plain_study.accuracy(model, as_examples(batch), params) == pytest.approx(right, abs=1e-9)


def test_accuracy_drops_are_equal(kind, tmp_path):
    model = encoder.remove_layers(tiny_model(kind, layers=4), [1])  # its numbers are then 0, 2, 3
    batch, params = padded_batch(kind, examples=100), smoke_params(tmp_path)
    ours = ablation.accuracy_drops(model, batch)
    plain = plain_study.accuracy_drops(model, as_examples(batch), params)
    assert ours.abs().max() > 0, "the layers must matter"
    assert list(ours.index) == list(plain.index) == [0, 2, 3]
    np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "readings", [{}, {"pool_padding": True}, {"attention_weight": "literal", "sparsity_threshold": 0.05}]
)
def test_signals_are_equal(kind, readings, tmp_path):
    """With the estimator from nearest neighbours on our side too, all twelve are of one definition."""
    model, batch = tiny_model(kind), padded_batch(kind)
    params = smoke_params(tmp_path, mi_estimator="knn", batch_size=10, **readings)
    ours = signals.measure(model, batch, params)
    found = [family(model, as_examples(batch), params) for family in plain_study.FAMILIES]
    plain = pd.DataFrame(dict(ChainMap(*found)), index=ours.index)[ours.columns]
    uncertain = ["Task-Relevance-MI"]  # rounding decides which neighbours are nearest
    pd.testing.assert_frame_equal(ours[uncertain], plain[uncertain], rtol=0.03, atol=1e-3)
    pd.testing.assert_frame_equal(
        ours.drop(columns=uncertain), plain.drop(columns=uncertain), rtol=2e-4, atol=1e-6
    )


def test_every_signal_is_in_one_family():
    assert sorted(name for names in plain_study.FAMILIES.values() for name in names) == sorted(SIGNALS)


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_fine_tune_takes_the_same_steps(schedule, tmp_path):
    """Without dropout, and the whole set in one batch, nothing is drawn at random: the weights must agree."""
    batch, models = padded_batch(examples=20), {}
    settings = {"epochs": 4, "batch_size": 20, "weight_decay": 0.0, "learning_rate": 1.0e-2}
    params = smoke_params(tmp_path, schedule=schedule, max_grad_norm=0.5, **settings)
    for who in ("ours", "plain"):
        models[who] = tiny_model()
        for module in models[who].modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    before = {name: p.clone() for name, p in models["ours"].named_parameters()}
    training.fine_tune(models["ours"], batch, params, seed=0)
    plain_study.fine_tune(models["plain"], as_examples(batch), params, seed=0)
    for (name, mine), other in zip(models["ours"].named_parameters(), models["plain"].parameters()):
        if name.endswith("key.bias"):  # softmax ignores it: its gradient is rounding, which AdamW scales up
            continue
        assert not torch.equal(mine, before[name]), name
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4, msg=name)


def test_the_seed_is_used(tmp_path):
    examples, params, weights = as_examples(padded_batch()), smoke_params(tmp_path, epochs=1), []
    for seed in (2**62 + 1, 2**62 + 1, 3):  # the study's seeds are larger than NumPy's may be
        weights.append(plain_study.fine_tune(tiny_model(), examples, params, seed).classifier.weight)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_nothing_is_written_or_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain_study.fine_tune(tiny_model(), as_examples(padded_batch()), smoke_params(tmp_path, epochs=1), 0)
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr() == ("", "")
