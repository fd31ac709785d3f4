"""Skipping layers: the shared-prefix computation equals brute force, for single layers and for all subsets."""

from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FAMILIES, logits_of, logits_skipping, padded_batch, tiny_model
from torch.nn import functional as F

from paperlib import ablation
from paperlib.data import orders
from paperlib.model import encoder


def scores_skipping(model, batch, positions):
    """Return accuracy and mean loss by one plain forward pass with hooks."""
    logits = logits_skipping(model, batch, positions)
    accuracy = (logits.argmax(1) == batch["labels"]).float().mean().item()
    return accuracy, F.cross_entropy(logits, batch["labels"]).item()


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("examples", [37, 100])  # 100 is more than a chunk of 64
def test_single_removals_equal_brute_force(kind, examples):
    model, batch = tiny_model(kind, layers=4), padded_batch(kind, examples=examples)
    measured = ablation.single_removals(model, batch)
    accuracy, loss = scores_skipping(model, batch, [])
    for layer in range(4):
        without, its_loss = scores_skipping(model, batch, [layer])
        assert measured.loc[layer, "drop"] == pytest.approx(accuracy - without, abs=1e-6)
        assert measured.loc[layer, "loss_increase"] == pytest.approx(its_loss - loss, abs=1e-5)
    assert measured["drop"].nunique() > 1, "drops that are all equal would test nothing"
    assert ablation.accuracy_drops(model, batch).equals(measured["drop"])


def test_drops_are_counted_in_examples():
    measured = ablation.accuracy_drops(tiny_model(layers=4), padded_batch(examples=100))
    assert np.allclose(measured * 100, (measured * 100).round(), atol=1e-9)
    assert list(measured.index) == [0, 1, 2, 3] and measured.index.name == "layer"


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_pruned_model_is_ablated_under_its_original_numbers(kind):
    model, batch = tiny_model(kind, layers=4), padded_batch(kind)
    measured = ablation.single_removals(encoder.remove_layers(model, [1]), batch)
    assert list(measured.index) == [0, 2, 3]
    accuracy, _ = scores_skipping(model, batch, [1])
    for layer in (0, 2, 3):
        assert measured.loc[layer, "drop"] == pytest.approx(
            accuracy - scores_skipping(model, batch, [1, layer])[0], abs=1e-6
        )


def test_one_layer_and_none():
    model, batch = tiny_model(layers=2), padded_batch()
    last = ablation.single_removals(encoder.remove_layers(model, [0]), batch)
    expected = scores_skipping(model, batch, [0])[0] - scores_skipping(model, batch, [0, 1])[0]
    assert last["drop"].tolist() == pytest.approx([expected], abs=1e-6)
    assert ablation.single_removals(encoder.remove_layers(model, [0, 1]), batch).empty


def every_subset(layers):
    return list(chain.from_iterable(combinations(range(layers), size) for size in range(layers + 1)))


@pytest.mark.parametrize("kind, layers", [("bert", 4), ("distilbert", 4), ("roberta", 3), ("electra", 3), ("mpnet", 3)])
def test_all_subsets_equal_brute_force(kind, layers):
    model, batch = tiny_model(kind, layers=layers), padded_batch(kind, examples=70)
    table = ablation.all_subsets(model, batch)
    assert list(table.index) == every_subset(layers)
    for removed in table.index:
        accuracy, loss = scores_skipping(model, batch, removed)
        assert table["accuracy"][removed] == pytest.approx(accuracy, abs=1e-6), removed
        assert table["loss"][removed] == pytest.approx(loss, abs=1e-5), removed
    assert table["accuracy"].nunique() >= 3


def test_all_subsets_of_twelve_layers_on_a_sample():
    model, batch = tiny_model(layers=12, hidden=8), padded_batch(examples=16)
    table = ablation.all_subsets(model, batch)
    assert len(table) == 4096 and table.index.is_unique
    for row in np.random.default_rng(0).choice(4096, 60, replace=False):
        removed = table.index[row]
        accuracy, loss = scores_skipping(model, batch, removed)
        assert table["accuracy"].iloc[row] == pytest.approx(accuracy, abs=1e-6), removed
        assert table["loss"].iloc[row] == pytest.approx(loss, abs=1e-5), removed


@pytest.mark.parametrize("kind, layers, many", [
    ("bert", 2, 1), ("bert", 6, 1), ("bert", 7, 2), ("mpnet", 8, 4), ("distilbert", 9, 8), ("bert", 11, 8), ("modernbert", 8, 4),
])  # fmt: skip
def test_shares_make_up_all_subsets_to_the_bit(kind, layers, many):
    model, batch = tiny_model(kind, layers=layers, hidden=8), padded_batch(kind, examples=70)
    shares = ablation.shares(layers, batch)
    assert len(shares) == 2 * many, "two chunks of examples"
    found = {share: ablation.subsets_of_share(model, batch, 0, share) for share in reversed(shares)}
    table = ablation.merged((found[share] for share in shares), batch)
    pd.testing.assert_frame_equal(table, ablation.all_subsets(model, batch), check_exact=True)


def test_shares_of_a_model_too_deep_for_all_sets_are_those_drawn():
    layers = orders.ALL_UP_TO + 1
    model, batch = tiny_model(layers=layers, hidden=8), padded_batch(examples=70)
    shares = ablation.shares(layers, batch)
    table = ablation.merged((ablation.subsets_of_share(model, batch, 5, share) for share in shares), batch)
    assert set(table.index) == orders.subsets(list(range(layers)), 5)
    for removed in table.index[::40]:
        assert tuple(table.loc[[removed]].iloc[0]) == pytest.approx(scores_skipping(model, batch, removed), abs=1e-5)


def test_subsets_of_a_pruned_model_carry_original_numbers():
    model, batch = tiny_model(layers=4), padded_batch()
    table = ablation.all_subsets(encoder.remove_layers(model, [1]), batch)
    assert set(table.index) == {s for s in every_subset(4) if 1 not in s}
    for removed in table.index:
        assert table["accuracy"][removed] == pytest.approx(
            scores_skipping(model, batch, [1, *removed])[0], abs=1e-6
        )
    bare = ablation.all_subsets(encoder.remove_layers(model, [0, 1, 2, 3]), batch)
    assert list(bare.index) == [()] and bare["accuracy"].iloc[0] == pytest.approx(
        scores_skipping(model, batch, range(4))[0]
    )


def test_prefixes_are_shared():
    """R (R - 1) / 2 passes through a layer for single removals, 2^L - 1 for all subsets, beside the ordinary pass."""
    model, batch, calls = tiny_model(layers=5), padded_batch(), []
    for layer in encoder.layers(model):
        layer.register_forward_hook(lambda *_: calls.append(1))
    ablation.single_removals(model, batch)
    assert len(calls) == 5 + 5 * 4 // 2
    calls.clear()
    ablation.all_subsets(model, batch)
    assert len(calls) == 5 + 2**5 - 1


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_chunk_does_not_matter(chunk, monkeypatch):
    model, batch = tiny_model(), padded_batch(examples=20)
    single, subsets = ablation.single_removals(model, batch), ablation.all_subsets(model, batch)
    monkeypatch.setattr(ablation, "EVALUATION_CHUNK", chunk)
    again, numbers = ablation.single_removals(model, batch), ["drop", "loss_increase"]
    assert np.allclose(again[numbers], single[numbers], atol=1e-6)
    assert np.array_equal(np.stack(again["correct"]), np.stack(single["correct"]))
    assert np.allclose(ablation.all_subsets(model, batch), subsets, atol=1e-6)


def test_the_model_is_left_as_it_was():
    model, batch = tiny_model(), padded_batch()
    before = logits_of(model, batch)
    ablation.single_removals(model.train(), batch)
    ablation.all_subsets(model.train(), batch)
    assert torch.equal(logits_of(model, batch), before)
    assert not any(layer._forward_pre_hooks for layer in encoder.layers(model))


@pytest.mark.parametrize("kind", FAMILIES)
def test_which_examples_are_correct_without_a_layer(kind):
    model, batch = tiny_model(kind, layers=3), padded_batch(kind, examples=70)
    measured = ablation.single_removals(model, batch)
    for position, layer in enumerate(measured.index):
        predicted = logits_skipping(model, batch, [position]).argmax(1)
        assert measured.loc[layer, "correct"].tolist() == (predicted == batch["labels"]).tolist()
    intact = (logits_of(model, batch).argmax(1) == batch["labels"]).numpy()
    for layer in measured.index:
        assert measured.loc[layer, "drop"] == pytest.approx(intact.mean() - measured.loc[layer, "correct"].mean())
