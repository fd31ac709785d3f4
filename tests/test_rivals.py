"""The rivals that the paper lacks: their orders by hand, their measures by plain loops, their walks in a small tree."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import made_node, padded_batch, smoke_params, tiny_model
from hypothesis import given
from hypothesis import strategies as some

from paperlib import ablation, signals, strategies
from paperlib.data import orders
from paperlib.evidence import tables
from paperlib.model import encoder
from paperlib.names import CONTROLS, FIXED_ORDERS, OURS, RIVALS, SIGNALS, STRATEGIES, WALKS
from paperlib.nodes.node import Node, label, layers_of, parse_label, subset_columns
from paperlib.tree import Study

TINY = {"train_size": 32, "validation_size": 16, "test_size": 24, "epochs": 1, "signal_size": 16, "forest_trees": 5}


def test_the_paper_s_fifteen_stay_apart_from_ours():
    assert WALKS == STRATEGIES + OURS and OURS == CONTROLS + RIVALS and len(set(WALKS)) == len(WALKS) == 27


@pytest.mark.parametrize(("name", "six", "five"), [
    ("Top-Drop", [5, 4, 3, 2, 1, 0], [4, 3, 2, 1, 0]),
    ("Bottom-Drop", [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4]),
    ("Alternate", [4, 2, 0, 3, 1, 5], [3, 1, 2, 0, 4]),
    ("Middle-Out", [3, 2, 4, 1, 5, 0], [2, 3, 1, 4, 0]),
])  # fmt: skip
def test_orders_by_position(params, name, six, five):
    assert strategies.fixed_order(name, 6) == six and strategies.fixed_order(name, 5) == five
    node = made_node(tuple(six[:2]))
    assert strategies.next_layer(name, [node], params).layer == six[2]
    assert strategies.needs(name, params) == {"validation_correct"}


@given(some.integers(0, 30))
def test_orders_by_position_name_every_layer_once(layers):
    for name in FIXED_ORDERS:
        assert sorted(strategies.fixed_order(name, layers)) == list(range(layers))


@pytest.mark.parametrize(("kind", "removed"), [("bert", []), ("distilbert", []), ("electra", []), ("modernbert", []), ("modernbert", [0])])
def test_block_influence_is_what_a_loop_over_scalars_says(kind, removed):
    """A last norm that belongs to no layer is none of it, nor is a spacer in place of the first layer."""
    model, batch = encoder.remove_layers(tiny_model(kind, layers=3 + len(removed)), removed), padded_batch(kind, examples=7)
    bare = copy.deepcopy(model)
    if hasattr(bare.base_model, "final_norm"):
        bare.base_model.final_norm = torch.nn.Identity()
    with torch.inference_mode():
        states = bare(batch["input_ids"], batch["attention_mask"], output_hidden_states=True).hidden_states[len(removed):]
    expected = []
    for before, after in zip(states, states[1:]):
        turned = []
        for example, token in np.argwhere(batch["attention_mask"].numpy() == 1):
            a, b = before[example, token].tolist(), after[example, token].tolist()
            dot, norms = sum(x * y for x, y in zip(a, b)), math.hypot(*a) * math.hypot(*b)
            turned.append(1 - dot / norms)
        expected.append(sum(turned) / len(turned))
    found = signals.block_influence(model, batch)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert list(found.index) == encoder.layer_numbers(model) and found.nunique() == 3


def test_rank_mean_by_hand(params):
    """Ten signals equal in all layers say nothing; of two, one is read upside down."""
    values = {name: {0: 1.0, 1: 1.0, 2: 1.0} for name in SIGNALS}
    values["Weight-Norm"] = {0: 3.0, 1: 1.0, 2: 2.0}  # ranks 3 1 2
    values["Weight-Sparsity"] = {0: 0.1, 1: 0.9, 2: 0.5}  # highest first: ranks 3 1 2
    values["Gradient-Fisher"] = {0: 1.0, 1: 5.0, 2: 5.0}  # ranks 1 2.5 2.5
    node = made_node(layers=3, signals=values)
    ranks = strategies.rank_mean(node.signals, params)
    np.testing.assert_allclose(ranks, [(3 + 3 + 1 + 9 * 2) / 12, (1 + 1 + 2.5 + 18) / 12, (2 + 2 + 2.5 + 18) / 12])
    assert strategies.next_layer("Rank-Mean", [node], params).layer == 1


def with_subsets(accuracy):
    """Return an original model of three layers with these accuracies by set of removed layers, losses all 1."""
    frame = pd.DataFrame({"accuracy": accuracy.values(), "loss": 1.0}, index=pd.Index(accuracy, tupleize_cols=False))
    node = made_node(layers=3)
    return Node(node.record | {"subsets_validation": subset_columns(frame)})


def test_exact_best_goes_to_the_best_set_of_its_size(params):
    """The best pair, 0 and 2, lacks the best single, 1; on the way to it goes the better of its two."""
    values = {(): 0.9, (0,): 0.5, (1,): 0.8, (2,): 0.6, (0, 1): 0.3, (0, 2): 0.7, (1, 2): 0.4, (0, 1, 2): 0.1}
    original = with_subsets(values)
    assert strategies.best_subset(original.subsets_validation, 2) == (0, 2)

    def walk(size):
        path = [original]
        while choice := strategies.next_layer(f"Exact-Best-{size}", path, params):
            path.append(made_node((*path[-1].removed, choice.layer), layers=3))
        return path[-1].removed

    assert walk(1) == (1,) and walk(2) == (2, 0) and walk(3) == (2, 0, 1)
    assert strategies.needs("Exact-Best-2", params, original=True) == {"validation_correct", "subsets_validation"}
    assert strategies.needs("Exact-Best-2", params) == set()


def test_of_equally_accurate_sets_the_least_loss_is_best():
    frame = pd.DataFrame({"accuracy": [0.5, 0.5, 0.4], "loss": [2.0, 1.0, 0.1]}, index=pd.Index([(0,), (1,), (2,)], tupleize_cols=False))
    assert strategies.best_subset(frame, 1) == (1,)


@given(some.lists(some.none() | some.integers(0, 99) | some.lists(some.integers(0, 99), min_size=2).map(tuple)))
def test_labels_are_read_as_they_were_written(rounds):
    assert parse_label(label(tuple(rounds))) == tuple(rounds)


def test_layers_of_several_at_once():
    assert layers_of((3, (0, 2), None)) == [3, 0, 2]
    node = made_node(((1, 4), None), layers=6)
    assert node.remaining == [0, 2, 3, 5] and label(node.removed) == "1+4-none"


def test_drawn_sets_have_the_numbers_of_all_sets(monkeypatch):
    model, batch = tiny_model(layers=4), padded_batch(examples=9)
    every, wanted = ablation.all_subsets(model, batch), {(), (1,), (0, 2), (1, 2, 3)}
    monkeypatch.setattr(orders, "ALL_UP_TO", 3)
    monkeypatch.setattr(orders, "subsets", lambda numbers, seed: wanted)
    (share,) = ablation.shares(4, batch)
    some_of_them = ablation.merged([ablation.subsets_of_share(model, batch, 0, share)], batch)
    assert set(some_of_them.index) == wanted
    pd.testing.assert_frame_equal(some_of_them, every.loc[list(some_of_them.index)], rtol=1e-6)


def test_drawn_sets_are_the_stages_of_orders():
    numbers = list(range(20))
    found = orders.subsets(numbers, seed=1)
    assert () in found and tuple(numbers) in found and {(n,) for n in numbers} <= found
    for order in orders.drawn(numbers, seed=1):
        assert all(tuple(sorted(order[:stage])) in found for stage in range(21))
    assert orders.passes(6) == 63 and len(found) <= orders.ORDERS * 20 + 21


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    study = Study(smoke_params(tmp_path_factory.mktemp("rivals"), **TINY))
    study.grow(["Random-Forest", *RIVALS])
    return study


def test_families_end_where_they_should(grown):
    original = grown.walk("Exact-Best").nodes[0]
    stored = original.subsets("validation")
    assert len(stored) == 16
    for size, node in enumerate(grown.walk("Exact-Best").nodes[1:], start=1):
        assert len(node.removed) == size and tuple(sorted(node.removed)) == strategies.best_subset(stored, size)
    predicted = grown.walk("Random-Forest").choices[0].scores
    layer = 4 * (32 * 32 + 32) + 2 * 32 * 64 + 64 + 32 + 4 * 32
    for size, node in enumerate(grown.walk("One-Shot").nodes[1:], start=1):
        gone = layers_of(node.removed)
        assert len(node.removed) == len(gone) == size and sum(done is None for done in node.removed) == size - (size > 0)
        assert predicted[gone].max() <= predicted.drop(gone).min() + 1e-12 if size < 4 else True
        assert node.record["parameters"] == original.record["parameters"] - size * layer
    assert grown.walk("One-Shot").nodes[1].removed == grown.walk("Random-Forest").nodes[1].removed, "they share it"


def test_rivals_stand_in_the_table_of_steps(grown):
    steps = tables.steps(grown, RIVALS).set_index(["strategy", "step"])
    for name in RIVALS:
        walk = grown.walk(name)
        assert list(steps.loc[name]["accuracy"]) == [node.accuracy for node in walk.nodes], name
        assert list(steps.loc[name]["removed"]) == [label(node.removed) for node in walk.nodes], name
    assert steps.loc["Top-Drop"]["removed_layer"].tolist()[1:] == [3, 2, 1, 0]
    assert steps.loc["One-Shot"]["removed_layer"].isna().all()


def test_what_is_costly_is_measured_where_it_is_needed_alone(grown):
    for node in grown.nodes():
        assert node.has({"subsets_validation"}) == (node.removed == ()), node.removed
        on_way = node.removed in {n.removed for n in grown.walk("Block-Influence").nodes[:-2]}
        assert node.has({"block_influence"}) == on_way, node.removed
