"""All sets of layers: Shapley values by brute force over orders, interactions, best sets, regret, on a tiny model."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from conftest import logits_skipping, made_node, padded_batch, smoke_params, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as some
from torch.nn import functional as F

from paperlib import ablation
from paperlib.data import orders
from paperlib.evidence import subset_numbers, tables
from paperlib.names import SIGNALS
from paperlib.nodes.node import Node, columns, subset_columns
from paperlib.tree import Study


def all_sets(layers):
    return [gone for size in range(layers + 1) for gone in itertools.combinations(range(layers), size)]


def made_worth(layers, seed):
    return pd.Series(np.random.default_rng(seed).normal(size=2**layers), index=pd.Index(all_sets(layers), tupleize_cols=False))


def by_all_orders(worth, layers):
    """Average what each layer adds when it comes, over all orders of coming."""
    totals = np.zeros(layers)
    for order in itertools.permutations(range(layers)):
        missing = set(range(layers))
        for layer in order:
            before = worth[tuple(sorted(missing))]
            missing.discard(layer)
            totals[layer] += worth[tuple(sorted(missing))] - before
    return totals / math.factorial(layers)


@given(some.integers(1, 5), some.integers(0, 9))
@settings(max_examples=15)
def test_shapley_values_are_means_over_all_orders_and_add_up(layers, seed):
    worth = made_worth(layers, seed)
    found = subset_numbers.shapley(worth)
    np.testing.assert_allclose(found, by_all_orders(worth, layers), atol=1e-12)
    assert found.sum() == pytest.approx(worth[()] - worth[tuple(range(layers))])


def test_shapley_of_a_tiny_model_run_plainly():
    """Every set is run with hooks that skip its layers; nothing of the code under test makes the numbers."""
    model, batch, layers = tiny_model(layers=3), padded_batch(examples=21), 3
    accuracy, loss = {}, {}
    for gone in all_sets(layers):
        logits = logits_skipping(model, batch, gone)
        accuracy[gone] = (logits.argmax(1) == batch["labels"]).double().mean().item()
        loss[gone] = F.cross_entropy(logits, batch["labels"]).item()
    subsets = ablation.all_subsets(model, batch)
    np.testing.assert_allclose(subset_numbers.shapley(subsets["accuracy"]), by_all_orders(accuracy, layers), atol=1e-9)
    np.testing.assert_allclose(subset_numbers.shapley(-subsets["loss"]), -by_all_orders(loss, layers), atol=1e-5)
    total = subset_numbers.shapley(subsets["accuracy"]).sum()
    assert total == pytest.approx(accuracy[()] - accuracy[0, 1, 2])


def test_interactions_by_hand():
    """Of two layers that add 1 and 2 apart and 5 together, 2 come from their meeting; a third has no part in it."""
    worth = pd.Series({gone: 0.0 for gone in all_sets(3)})
    worth.index = pd.Index(all_sets(3), tupleize_cols=False)
    for gone in worth.index:
        here = set(range(3)) - set(gone)
        worth[gone] = (0 in here) + 2 * (1 in here) + 2 * ({0, 1} <= here) + 7 * (2 in here)
    pairs = subset_numbers.interactions(worth)
    assert pairs.loc[0, 1] == pairs.loc[1, 0] == pytest.approx(2)
    assert pairs.loc[0, 2] == pytest.approx(0) and np.isnan(pairs.loc[1, 1])
    np.testing.assert_allclose(subset_numbers.shapley(worth), [2, 3, 7])


def test_not_all_sets_are_no_exact_value():
    with pytest.raises(ValueError, match="7 sets of 3 layers"):
        subset_numbers.shapley(made_worth(3, 0).iloc[[0, *range(2, 8)]])


def test_sampled_values_come_near_the_exact_ones():
    worth, drawn = made_worth(5, 3), [list(order) for order in itertools.permutations(range(5))]
    every = subset_numbers.sampled_shapley(worth, drawn)
    np.testing.assert_allclose(every["value"], subset_numbers.shapley(worth), atol=1e-12)
    sample = subset_numbers.sampled_shapley(worth, orders.drawn(list(range(5)), seed=2))
    assert ((sample["value"] - every["value"]).abs() < 4 * sample["error"]).all() and (sample["error"] > 0).all()


def test_best_sets_and_whether_they_are_nested():
    accuracy = {(): 0.9, (0,): 0.5, (1,): 0.8, (2,): 0.6, (0, 1): 0.3, (0, 2): 0.7, (1, 2): 0.4, (0, 1, 2): 0.1}
    frame = pd.DataFrame({"accuracy": accuracy.values(), "loss": 1.0}, index=pd.Index(accuracy, tupleize_cols=False))
    best = subset_numbers.best_sets(frame)
    assert best == {0: (), 1: (1,), 2: (0, 2), 3: (0, 1, 2)}
    assert subset_numbers.nested(best).to_dict() == {1: False, 2: True}
    assert subset_numbers.greedy_order(frame) == [1, 2, 0], "having lost 1 it cannot come to (0, 2)"


def original_with(accuracy, layers, **signals):
    """Return an original model with the same accuracy of every set on both splits, and all that choosing needs."""
    frame = pd.DataFrame({"accuracy": accuracy, "loss": 1.0}, index=pd.Index(all_sets(layers), tupleize_cols=False))
    node = made_node(layers=layers, signals=signals)
    influence = pd.Series(np.arange(layers, dtype=float), index=pd.RangeIndex(layers, name="layer"), name="block_influence")
    parts = {f"subsets_{split}": subset_columns(frame) for split in ("validation", "test")}
    return Node(node.record | parts | {"block_influence": columns(influence.to_frame())})


def test_regret_is_what_the_best_set_has_more(params):
    accuracy = [0.9, 0.5, 0.8, 0.6, 0.3, 0.7, 0.4, 0.1]
    original = original_with(accuracy, 3, **{"Weight-Norm": {0: 3.0, 1: 2.0, 2: 1.0}})
    table = subset_numbers.regrets(original, params).set_index(["method", "size"])
    assert table.loc[("Weight-Norm", 1), "gone"] == (2,) and table.loc[("Weight-Norm", 2), "gone"] == (1, 2)
    assert table.loc[("Weight-Norm", 1), "regret_test"] == pytest.approx(100 * (0.8 - 0.6))
    assert table.loc[("Weight-Norm", 2), "regret_test"] == pytest.approx(100 * (0.7 - 0.4))
    assert table.loc[("Greedy-Ablation", 2), "regret_test"] == pytest.approx(30)
    assert table.loc[("Random", 1), "regret_test"] == pytest.approx(100 * (0.8 - (0.5 + 0.8 + 0.6) / 3))
    assert (table.xs("Exact-Best")["regret_validation"] == 0).all() and (table["regret_validation"] > -1e-9).all()
    assert {*SIGNALS, "Rank-Mean", "Block-Influence", "Top-Drop", "Shapley"} <= set(table.index.get_level_values(0))
    values = subset_numbers.shapley(original.subsets("validation")["accuracy"])
    np.testing.assert_allclose(values, by_all_orders(original.subsets("test")["accuracy"], 3))
    assert values[0] > values[1] > values[2], "as Weight-Norm has them"
    assert table.loc[("Weight-Norm", 1), "shapley_correlation"] == pytest.approx(1)


def test_reliability_is_the_correlation_of_both_splits():
    rows = pd.DataFrame({"size": [0, 1, 1, 1], "accuracy_validation": [0.9, 0.1, 0.2, 0.3], "accuracy_test": [0.9, 0.2, 0.1, 0.3]})
    found = subset_numbers.reliability(rows)
    assert list(found.index) == [1] and found.loc[1, "correlation"] == pytest.approx(0.5) and found.loc[1, "sets"] == 3


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    small = {"train_size": 32, "validation_size": 16, "test_size": 24, "epochs": 1, "signal_size": 16, "forest_trees": 5}
    study = Study(smoke_params(tmp_path_factory.mktemp("subsets"), **small))
    study.node((), set(subset_numbers.PARTS))
    return study


def test_tables_of_a_model_agree_with_each_other(measured):
    written = tables.write(measured, "subsets", "shapley", "regret")
    subsets, shapley = written["subsets"], written["shapley"]
    assert len(subsets) == 16 and len(shapley) == 4
    original = measured.node(())
    assert subsets.loc[0, "accuracy_test"] == pytest.approx(original.accuracy)
    singles = subsets[subsets["size"] == 1].set_index("removed")["accuracy_test"]
    np.testing.assert_allclose(original.accuracy - singles, original.ablation("ablation_test")["drop"])
    for column in ("accuracy_test", "accuracy_validation", "loss_test", "loss_validation"):
        sign = -1 if column.startswith("loss") else 1
        ends = subsets[column].iloc[0] - subsets[column].iloc[-1]
        assert shapley[column].sum() == pytest.approx(sign * ends)
    again = subset_numbers.of_rows(tables.read(measured.params.unit_dir, "subsets"), "test")
    pd.testing.assert_frame_equal(again, original.subsets("test"))


def test_a_model_before_and_after_its_rounds(measured):
    node = measured.node((2,))
    pairs = subset_numbers.before_and_after([measured.node(()), node], measured.node(()))
    assert len(pairs) == 1 and pairs.loc[0, "after"] == node.accuracy and pairs.loc[0, "gone"] == (2,)
    assert pairs.loc[0, "before"] == measured.node(()).subsets("test")["accuracy"][(2,)]
