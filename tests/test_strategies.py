"""Which layer goes next: arg min or max by hand, ties by a draw that all strategies share, random orders."""

from collections import Counter

import numpy as np
import pytest
from conftest import made_node, smoke_params

from paperlib import fusers, strategies
from paperlib.names import CONTROLS, FUSERS, SIGNALS, STRATEGIES
from paperlib.strategies import next_layer

LOWEST_FIRST = [name for name in SIGNALS if name not in ("Weight-Sparsity", "Attention-Entropy")]
VALUES = {0: 0.4, 1: 0.1, 2: 0.9, 3: 0.5, 4: 0.3, 5: 0.8}


def test_the_names_of_table_1():
    assert STRATEGIES == (
        "Random", "Activation-Inhibition", "Activation-Intensity", "Activation-Energy", "Task-Relevance-MI",
        "Flow-Relevance-MI", "Gradient-Magnitudes", "Gradient-Fisher", "Weight-Norm", "Weight-Sparsity",
        "Weight-Entropy", "Attention-Weight", "Attention-Entropy", "Linear-Regression", "Random-Forest",
    )  # fmt: skip
    assert SIGNALS == STRATEGIES[1:13] and strategies.STRATEGIES is STRATEGIES
    assert CONTROLS == (
        "Equal-Training",
        "Greedy-Ablation",
        "Linear-Regression-Validation",
        "Random-Forest-Validation",
    )


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_removes_its_least_layer_or_its_greatest(name, params):
    choice = next_layer(name, [made_node(signals={name: VALUES})], params)
    assert choice.layer == (1 if name in LOWEST_FIRST else 2) and choice.ties == 1
    expected = VALUES if name in LOWEST_FIRST else {layer: -value for layer, value in VALUES.items()}
    assert choice.scores.to_dict() == expected


def test_the_signs_of_those_that_go_highest_first_are_turned_and_no_others(params):
    node = made_node(signals=dict.fromkeys(SIGNALS, VALUES))
    turned = strategies.oriented(node, params)
    assert list(turned) == list(SIGNALS)
    for name in SIGNALS:
        sign = 1 if name in LOWEST_FIRST else -1
        assert turned[name].to_dict() == {layer: sign * value for layer, value in VALUES.items()}
    assert node.signals["Weight-Sparsity"].to_dict() == VALUES  # those of the model stay as they are
    few = ["Weight-Norm", "Attention-Entropy"]
    assert strategies.least_first(node.signals[few], params).equals(turned[few])


def test_only_the_two_named_by_the_paper_go_highest_first():
    assert set(strategies.HIGHEST_FIRST) == {"Weight-Sparsity", "Attention-Entropy"}


def test_the_direction_of_inhibition_is_a_parameter(params):
    path = [made_node(signals={"Activation-Inhibition": VALUES, "Activation-Energy": VALUES})]
    highest = params.replace(inhibition_first="highest")
    assert next_layer("Activation-Inhibition", path, highest).layer == 2
    assert next_layer("Activation-Energy", path, highest).layer == 1
    assert strategies.highest_first(params) == strategies.HIGHEST_FIRST
    assert set(strategies.highest_first(highest)) == {*strategies.HIGHEST_FIRST, "Activation-Inhibition"}


def test_only_the_last_node_of_a_path_counts(params):
    root = made_node(signals={"Weight-Norm": VALUES})
    child = made_node((1,), signals={"Weight-Norm": {0: 0.4, 2: 0.2, 3: 0.5, 4: 0.3, 5: 0.8}})
    assert next_layer("Weight-Norm", [root, child], params).layer == 2


def test_ties_are_recorded_and_drawn_from_the_seed(params):
    tied = {**VALUES, 1: 0.1, 3: 0.1, 5: 0.1}
    chosen = Counter()
    path = [made_node(signals=dict.fromkeys(SIGNALS, tied))]
    for params in (params.replace(seed=seed) for seed in range(150)):
        choices = [next_layer(name, path, params) for name in LOWEST_FIRST]
        assert {choice.ties for choice in choices} == {3}
        assert len({choice.layer for choice in choices}) == 1, "strategies that tie alike must stay together"
        chosen[choices[0].layer] += 1
        assert next_layer(LOWEST_FIRST[0], path, params).layer == choices[0].layer
    assert set(chosen) == {1, 3, 5} and min(chosen.values()) > 25, "by chance, not by position"


def test_ties_are_drawn_anew_at_each_node(tmp_path):
    params = smoke_params(tmp_path)
    even = dict.fromkeys(range(12), 0.5)
    nodes = [made_node((removed,), layers=12, signals={"Weight-Sparsity": even}) for removed in range(12)]
    choices = [next_layer("Weight-Sparsity", [node], params) for node in nodes]
    assert all(choice.ties == 11 and choice.layer in node.remaining for choice, node in zip(choices, nodes))
    assert len({choice.layer for choice in choices}) > 3


@pytest.mark.parametrize("gap, ties", [(0.0, 2), (1e-9, 2), (1e-4, 1)])
def test_rounding_makes_a_tie_and_a_difference_does_not(gap, ties, params):
    path = [made_node(signals={"Weight-Norm": {**VALUES, 4: 0.1 * (1 + gap)}})]
    choice = next_layer("Weight-Norm", path, params)
    assert choice.ties == ties and choice.layer in ({1, 4} if ties == 2 else {1})


def test_greedy_ablation_removes_the_least_measured_drop(params):
    path = [made_node(drop=VALUES)]
    choice = next_layer("Greedy-Ablation", path, params)
    assert (choice.layer, choice.ties) == (1, 1)
    negative = next_layer("Greedy-Ablation", [made_node(drop={**VALUES, 3: -0.2, 0: -0.2})], params)
    assert negative.layer in (0, 3) and negative.ties == 2


@pytest.mark.parametrize("layers", [6, 12])
@pytest.mark.parametrize("seed", range(20))
def test_at_the_first_step_linear_regression_is_greedy_ablation(layers, seed, params):
    """With at most as many rows as features plus an intercept, least squares returns its target; ties included."""
    path = [made_node(layers=layers, seed=seed)]
    fused, plain = (next_layer(name, path, params) for name in ("Linear-Regression", "Greedy-Ablation"))
    assert (fused.layer, fused.ties) == (plain.layer, plain.ties)
    assert np.allclose(fused.scores, plain.scores, atol=1e-9)


def test_some_of_those_cases_hold_ties(params):
    ties = [
        next_layer("Greedy-Ablation", [made_node(layers=12, seed=seed)], params).ties for seed in range(200)
    ]
    assert max(ties) > 1, "drops are multiples of 1/256 and must tie now and then"


@pytest.mark.parametrize("layers", [6, 12])
def test_the_validation_fuser_goes_by_the_validation_split(layers, params):
    path = [made_node(layers=layers, seed=2)]
    choice = next_layer("Linear-Regression-Validation", path, params)
    assert choice.layer == path[0].ablation("ablation_validation")["drop"].idxmin()
    assert choice.layer != path[0].ablation("ablation_test")["drop"].idxmin()
    honest = params.replace(selection_split="validation")
    for name in ("Linear-Regression", "Greedy-Ablation"):
        assert next_layer(name, path, honest).layer == choice.layer


def test_needs(params):
    to_choose = {
        "Random": set(), "Equal-Training": set(), "Random-All-3": set(), "Random-Inner-0": set(),
        **dict.fromkeys(SIGNALS, {"signals"}),
        "Greedy-Ablation": {"ablation_test"},
        **dict.fromkeys(FUSERS, {"signals", "ablation_test"}),
        "Linear-Regression-Validation": {"signals", "ablation_validation"},
        "Random-Forest-Validation": {"signals", "ablation_validation"},
    }  # fmt: skip
    for name, parts in to_choose.items():
        shown = set() if name in ("Random-All-3", "Random-Inner-0") else {"validation_correct"}
        assert strategies.needs(name, params) == parts | shown, name
        assert strategies.needs(name, params, ended=True) == shown, name
    honest = params.replace(selection_split="validation")
    for name, parts in (("Random-Forest", {"signals"}), ("Greedy-Ablation", set())):
        assert strategies.needs(name, honest) == {"validation_correct", "ablation_validation"} | parts


def walk_down(layers=6):
    """Return the nodes of a walk that removes layers 0, 1, 2, ... in turn."""
    return [made_node(tuple(range(step)), layers=layers, seed=5) for step in range(layers)]


@pytest.mark.parametrize("name", FUSERS)
@pytest.mark.parametrize(
    "refit, fusion_rows, rows",
    [
        ("each_step", "current", [6, 5, 4, 3, 2]),
        ("each_step", "path", [6, 11, 15, 18, 20]),
        ("once", "current", [6, 6, 6, 6, 6]),
        ("once", "path", [6, 6, 6, 6, 6]),
    ],
)
def test_rows_that_a_fuser_sees(name, refit, fusion_rows, rows, params):
    params, path = params.replace(refit=refit, fusion_rows=fusion_rows), walk_down()
    fits = [strategies.fitted_fuser(name, path[: step + 1], params) for step in range(5)]
    assert [len(fit.target) for fit in fits] == [len(fit.features) for fit in fits] == rows


def test_earlier_rows_are_standardised_within_their_own_model(params):
    path = walk_down()[:3]
    fit = strategies.fitted_fuser("Linear-Regression", path, params.replace(fusion_rows="path"))
    start = 0
    for node in path:
        rows = fit.features.iloc[start : start + len(node.remaining)]
        assert np.allclose(rows, fusers.standardise(node.signals))
        assert (
            fit.target.iloc[start : start + len(node.remaining)].tolist()
            == node.ablation("ablation_test")["drop"].tolist()
        )
        start += len(node.remaining)


def test_a_fuser_fitted_once_scores_the_current_signals(params):
    path, once = walk_down()[:3], params.replace(refit="once")
    choice = next_layer("Linear-Regression", path, once)
    root = fusers.fit(
        "Linear-Regression", [(path[0].signals, path[0].ablation("ablation_test")["drop"])], 20, 0
    )
    signals = path[-1].signals
    standard = (signals - signals.mean()) / signals.std(ddof=0)
    expected = root.regressor.intercept_ + standard.to_numpy() @ root.weights.to_numpy()
    assert np.allclose(choice.scores, expected) and choice.layer == signals.index[np.argmin(expected)]


def test_the_forest_depends_on_the_seed_alone(tmp_path):
    path = [made_node(layers=12)]
    weights = [
        strategies.fitted_fuser("Random-Forest", path, smoke_params(tmp_path, seed=seed)).weights
        for seed in (0, 0, 1)
    ]
    assert weights[0].equals(weights[1]) and not weights[0].equals(weights[2])


def test_a_single_layer_needs_no_measurement(params):
    last = made_node((0, 1, 2, 3, 5))
    last.record.pop("signals"), last.record.pop("ablation_test")
    for name in (*SIGNALS, *FUSERS, "Greedy-Ablation"):
        assert next_layer(name, [last], params).layer == 4


@pytest.mark.parametrize("name", [*STRATEGIES, *CONTROLS, "Random-All-0"])
def test_walks_end_when_no_layer_is_left_or_enough_are_removed(name, params):
    equal = name == "Equal-Training"
    three = (None, None, None) if equal else (0, 1, 2)
    assert next_layer(name, [made_node((None,) * 6 if equal else (0, 1, 2, 3, 4, 5))], params) is None
    assert next_layer(name, [made_node(three)], params) is not None
    assert next_layer(name, [made_node(three)], params.replace(max_removed=3)) is None
    assert next_layer(name, [made_node(three[:2])], params.replace(max_removed=3)) is not None
    assert [strategies.depth(name, 6, params.replace(max_removed=most)) for most in (0, 1, 6, 99)] == [
        6,
        1,
        6,
        6,
    ]


def test_equal_training_removes_nothing(params):
    assert next_layer("Equal-Training", [made_node((None, None))], params).layer is None


def test_random_draws_among_the_layers_that_are_left(params):
    counts = Counter()
    for seed in range(300):
        choice = next_layer("Random", [made_node((2, 4))], params.replace(seed=seed))
        counts[choice.layer] += 1
        assert choice.ties == 1
    assert set(counts) == {0, 1, 3, 5} and min(counts.values()) > 40  # 75 expected each
    assert len({next_layer("Random", [made_node((2, 4))], params).layer for _ in range(5)}) == 1


def order_of(name, layers, params):
    removed = ()
    while choice := next_layer(name, [made_node(removed, layers=layers)], params):
        removed = (*removed, choice.layer)
    return removed


def test_random_orders(tmp_path):
    params = smoke_params(tmp_path, random_orders=7)
    tests = strategies.random_tests(params)
    assert {test: len(names) for test, names in tests.items()} == {"Random-All": 7, "Random-Inner": 7}
    orders = {name: order_of(name, 12, params) for names in tests.values() for name in names}
    for name in tests["Random-All"]:
        assert sorted(orders[name]) == list(range(12))
    for name in tests["Random-Inner"]:
        assert sorted(orders[name]) == list(range(1, 11)), "the first and the last layer stay"
    assert len(set(orders.values())) == 14, "orders of twelve or ten layers hardly ever repeat"
    assert orders == {name: order_of(name, 12, params) for name in orders}
    for other in (params.replace(seed=1), params.replace(dataset="imdb")):
        assert not any(orders[name] == order_of(name, 12, other) for name in orders), "each dataset and seed has orders of its own"


@pytest.mark.parametrize("name", ["Random", "Weight-Norm"], ids=["random removal", "ties"])
def test_datasets_do_not_share_their_draws(name, params):
    """If they did, nine datasets would be one draw, and an error over datasets would say nothing of others."""
    path = [made_node(signals={"Weight-Norm": dict.fromkeys(VALUES, 0.5)})]
    chosen = Counter(next_layer(name, path, params.replace(dataset=f"data-{i}")).layer for i in range(300))
    assert set(chosen) == set(VALUES) and min(chosen.values()) > 25  # 50 expected each


def test_random_orders_are_uniform(params):
    firsts = Counter(strategies.random_order(f"Random-Inner-{i}", 6, params)[0] for i in range(400))
    assert set(firsts) == {1, 2, 3, 4} and min(firsts.values()) > 65  # 100 expected each


def test_inner_orders_stop_at_the_limit(params):
    assert strategies.depth("Random-Inner-0", 12, params) == 10
    assert strategies.depth("Random-Inner-0", 12, params.replace(max_removed=11)) == 10
    assert strategies.depth("Random-Inner-0", 12, params.replace(max_removed=4)) == 4


def test_an_unknown_strategy_is_refused(params):
    with pytest.raises(KeyError, match="no strategy is called 'Magic'"):
        next_layer("Magic", [made_node()], params)


def test_two_layers_have_no_inner_one(tmp_path):
    params = smoke_params(tmp_path)
    assert list(strategies.random_tests(params)) == list(strategies.random_tests(params, 3)) == ["Random-All", "Random-Inner"]
    assert list(strategies.random_tests(params, 2)) == list(strategies.random_tests(params, 1)) == ["Random-All"]
    for layers in (1, 2):
        assert strategies.depth("Random-Inner-0", layers, params) == 0 and strategies.depth("Random-All-0", layers, params) == layers
        assert next_layer("Random-Inner-0", [made_node(layers=layers)], params) is None
