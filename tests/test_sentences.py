"""Generated sentences say noise, ties and coincidences; the first screen's numbers equal those computed by hand."""

import numpy as np
import pandas as pd
import pytest

from paperlib.evidence import headline, sentences, statistics, unit_numbers
from paperlib.evidence.estimates import Results, Untestable


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.00003, "p < 0.0001"), (0.0002, "p = 0.0002"), (0.061, "p = 0.061"), (1.0, "p = 1.000"), (np.nan, "no p")],
)
def test_p_never_reads_zero(p, text):
    assert sentences.p_text(p) == text
    assert sentences.p_value(p) == ("–" if np.isnan(p) else text.removeprefix("p = ").removeprefix("p "))


@pytest.mark.parametrize(("each", "said"), [
    ([], "0 datasets with 0 seeds"), ([1], "1 dataset with 1 seed"), ([3], "1 dataset with 3 seeds"), ([1, 1], "2 datasets with 1 seed each"),
    ([2, 3, 3], "3 datasets with 2 or 3 seeds each"), ([3, 1, 2], "3 datasets with 1 to 3 seeds each"),
])  # fmt: skip
def test_no_seed_is_made_up_for_a_dataset_that_lacks_it(each, said):
    assert sentences.extent(each) == said


def test_shared_random_orders_are_named():
    assert sentences.shared_orders(0) == "" and "Random's orders, 2 in all**" in sentences.shared_orders(2)


def test_how_a_fine_tune_ended_is_said_where_there_was_none_too():
    assert sentences.last_loss({"last_loss": 1.234, "diverged": False}) == "The last step of training had a loss of 1.23"
    assert sentences.last_loss({"last_loss": None, "diverged": True}) == "The last step of training had a loss that is no number"
    assert sentences.last_loss({"last_loss": None, "diverged": False}) == "The model was taken as it is, not trained"


def test_walks_that_are_one_are_said_to_be():
    assert sentences.same_walks({"a": [1, 2], "b": [1, 2], "c": [1, 2]}).startswith("**All 3 walks are one walk**")
    some = sentences.same_walks({"a": [1, 2], "b": [2, 1], "c": [1, 2], "d": [2, 1], "e": [1]})
    assert "a and c; b and d" in some and " e" not in some.partition(":")[2].partition(".")[0]
    assert sentences.same_walks({"a": [1], "b": [2]}) == "No two of the 2 walks are the same to the end."


def test_the_two_smallest_drops_are_compared_on_the_same_examples():
    right = pd.DataFrame({0: [True] * 8 + [False] * 2, 1: [True] * 6 + [False] * 4, 2: [False] * 10})
    said = unit_numbers.least_two(pd.Series({2: 0.8, 0: 0.0, 1: 0.2}), right)
    error = 100 * (0.2 - 0.04) ** 0.5 / 10**0.5  # 2 lost and 0 gained of 10
    assert said.startswith(f"The two smallest, of layers 1 and 2, are apart by +20.0 ± {error:.1f} points (p = 0.500: ")
    assert unit_numbers.least_two(pd.Series({0: 0.1}), right) == ""


def test_fusers_that_never_differ_from_ablation():
    assert "fusion is that measurement under another name" in sentences.same_choices(pd.Series({"LR": 1.0, "RF": 1.0}), 5)
    assert sentences.same_choices(pd.Series({"LR": 1.0, "RF": 0.6}), 5).endswith("chosen by RF at 2.")


def test_a_model_that_met_itself():
    said = sentences.same_model(pd.Series({"Greedy": 0, "Equal": 7}), "Forest")
    assert said.startswith("In the row of Greedy no example") and "same as that of Forest, it is one model" in said
    assert sentences.same_model(pd.Series({"Greedy": 0, "LR": 0}), "Forest").startswith("In every row")
    assert sentences.same_model(pd.Series({"Greedy": 1}), "Forest") == ""


@pytest.mark.parametrize(("values", "text"), [
    ([1.0, 3.0, 2.0], "b"), ([3.0, 1.0, 3.0 + 1e-13], "a and c"), ([2.0, 2.0, 2.0], "all 3 alike"), ([np.nan, 1.0, 1.0], "b and c"),
    ([np.nan] * 3, "none"), ([5.0, 5.0, 5.0, 5.0, 1.0], "4 alike, a among them"),
])  # fmt: skip
def test_leaders_are_all_who_have_the_largest_value(values, text):
    values = pd.Series(values, index=list("abcde")[: len(values)])
    assert sentences.leaders(values) == text
    largest = values.max() - 1e-12
    assert sentences.leading(values) == [name for name, value in values.items() if value >= largest]


@pytest.mark.parametrize(("value", "text"), [(0.256, "+0.26"), (np.nan, "undefined"), (np.inf, "undefined")])
def test_what_is_no_number_is_undefined(value, text):
    assert sentences.defined(value, "+.2f") == text


def test_a_table_of_one_number():
    assert sentences.all_equal(pd.DataFrame([[0.441] * 2] * 5), "no choice") == "All 10 entries are the same number: no choice."
    assert sentences.all_equal(pd.DataFrame([[0.4, 0.425]]), "") == "The entries differ by up to 2.5 points."


def test_a_difference_is_called_noise_unless_its_p_is_small():
    assert sentences.noise(1.6, 2.4, 0.55) == "+1.6 ± 2.4 points (p = 0.550: within what chance alone gives)"
    assert sentences.noise(9.0, 2.4, 0.00001) == "+9.0 ± 2.4 points (p < 0.0001: more than chance)"
    assert "right on the same examples" in sentences.noise(0.0, 0.0, 1.0)


def test_strategies_above_a_control_by_chance_alone():
    gaps, p = pd.Series([2.0, 1.0, -3.0]), pd.Series([0.061, 0.5, 0.01])
    assert sentences.above(gaps, p, "the control") == (
        "2 of 3 are above the control, none by more than chance: the smallest p among them is 0.061."
    )
    assert "1 of them by more than chance" in sentences.above(gaps, pd.Series([0.02, 0.5, 0.9]), "x")
    assert sentences.above(-gaps.abs(), p, "it") == "None is above it."


def test_what_a_teacher_can_pass_on():
    assert "hardly surer than that" in sentences.teacher(0.06, 20) and "1.2 times a blind guess" in sentences.teacher(0.06, 20)
    assert "leaves 50% to the other classes" in sentences.teacher(0.5, 10)
    assert "repeats the label" in sentences.teacher(0.99, 2)
    assert "hard to put down to it" in sentences.doubt(0.06, 20) and sentences.doubt(0.5, 10) == ""
    said = sentences.loss_share(cross_entropy=2.332, total=1.19, alpha=0.5)
    assert "the teacher's term is 0.024, or **2%**: the labels do nearly all of the teaching." in said
    assert "nearly all" not in sentences.loss_share(1.0, 1.0, 0.5)


def test_decisions_by_a_hair_are_named_and_so_are_ties():
    scores = pd.DataFrame({"close": [14.03, 14.04, 20.0], "clear": [1.0, 2.0, 3.0], "tied": [1.0, 1.0, 2.0], "Weight-Norm": [1.0, 3.0, 1.001]})
    said = sentences.closest_calls(scores)
    assert "close (layer 1 before layer 2 by 0.071 %) and Weight-Norm (layer 1 before layer 3 by 0.1 %). " in said
    assert "another seed may turn that of close round." in said, "a fine-tune hardly changes weights"
    assert said.endswith("**A tie, broken by lot**: tied.") and "clear (" not in said and "tied (" not in said
    assert sentences.closest_calls(scores[["close"]]).endswith("by 0.071 %). Other texts or another seed may turn it round.")
    assert sentences.closest_calls(scores[["Weight-Norm"]]).endswith("by 0.1 %).")
    assert sentences.closest_calls(scores[["tied"]]) == "No other first choice is closer than 1%. **A tie, broken by lot**: tied."
    assert sentences.closest_calls(scores[["clear"]]) == "No first choice is closer than 1%."


def test_of_several_that_lead_none_is_named_alone():
    values = pd.Series({"a": 1.0, "b": 3.0, "c": 3.0, "d": 2.0})
    assert sentences.leaders(values) == "b and c" and sentences.leaders(-values) == "a"
    assert sentences.leaders(values, most=1) == "2 alike, b among them"
    assert sentences.leaders(pd.Series({"a": 1.0, "b": 1.0})) == "all 2 alike" and sentences.leaders(values[["d"]]) == "d"
    alike = pd.DataFrame([[1, 1, -1.0], [1, 1, -1], [-1, -1, 1]], index=list("xyz"), columns=list("xyz"))
    assert unit_numbers.most_alike(alike, 4) == "Most alike: x–y (+1.00); most opposed: x–z and y–z (-1.00)."


def test_shown_layers_count_from_one():
    table = pd.DataFrame({"layer": [0, 1], "removed": ["", "3-0"], "order": ["none-none", "10"], "accuracy": [0, 1]})
    shown = unit_numbers.from_one(table)
    assert shown.to_dict("list") == {"layer": [1, 2], "removed": ["nothing", "4-1"], "order": ["none-none", "11"], "accuracy": [0, 1]}
    assert table["layer"].tolist() == [0, 1], "the table itself is left as it is"


def test_same_curves_are_groups_of_equal_walks():
    steps = pd.DataFrame([(name, step, value) for name, values in {"a": (1, 2), "b": (1, 3), "c": (1, 2), "d": (0, 0)}.items()
                          for step, value in enumerate(values)], columns=["strategy", "step", "accuracy"])  # fmt: skip
    assert statistics.same_curves(steps) == [("a", "c")]


# The first screen


def results(datasets=("imdb",), pruned=0.75, control=0.5, distilled=0.8, seeds=1):
    rows, models = [], []
    for place, dataset in enumerate(datasets):
        for seed in range(seeds):
            for strategy, accuracies in {"Random-Forest": (0.5, 0.6, pruned), "Equal-Training": (0.5, control, 0.4)}.items():
                rows += [(dataset, seed, strategy, step, value + 0.01 * place * step, 4, 100) for step, value in enumerate(accuracies)]
            models += [(dataset, seed, "distilled", distilled), (dataset, seed, "ce_control", 0.7)]
    steps = pd.DataFrame(rows, columns=["dataset", "seed", "strategy", "step", "accuracy", "layers", "test_size"])
    return Results.from_tables(steps=steps, distillation=pd.DataFrame(models, columns=["dataset", "seed", "model", "accuracy"]))


def test_four_numbers_and_their_sampling_errors():
    table = headline.four(results())
    assert table.iloc[0].to_dict() == pytest.approx(
        {"original": 0.5, "pruned": 0.75, "distilled": 0.8, "control": 0.5, "ce_control": 0.7, "left": 2, "layers": 4, "test_size": 100})  # fmt: skip
    summary = headline.summary(table)
    np.testing.assert_allclose(summary["error"], np.sqrt(np.array([0.25, 0.1875, 0.16, 0.25]) / 100))
    assert summary["left"].tolist() == [4, 2, 2, 4]
    two = headline.summary(headline.four(results(seeds=4)))
    np.testing.assert_allclose(two["error"], summary["error"] / 2)


def test_the_sentence_follows_from_the_numbers():
    def said(**changed):
        return headline.sentence(headline.four(results(**changed)))

    assert "is ahead of the original (+25.0 ± 6.6 points), and is ahead of the original that trains on instead" in said()
    assert said().endswith(": here removing layers helped.")
    assert "but is behind the original that trains on instead" in said(control=0.99)
    assert said(control=0.99).endswith(": training longer helps, removing layers costs accuracy.")
    assert said(control=0.8).endswith(": training longer explains the gain.")
    same = said(pruned=0.61, control=0.55)
    assert "cannot be told from the original" in same and "nor from the original that trains on instead" in same and ": " not in same


def test_what_a_teacher_adds_stands_beside_what_training_adds():
    said = headline.teacher(headline.four(results()))
    assert said == ("Distillation, a further round with a teacher, makes no difference that can be told (+5.0 ± 5.9 points); "
                    "against the same round without one: +10.0 ± 6.1 points.")  # fmt: skip


def test_several_datasets_are_counted():
    table = headline.four(results(("imdb", "yelp"), control=0.99))
    assert "higher on 2 of 2 datasets" in headline.sentence(table) and "higher on 0 of 2 datasets" in headline.sentence(table)
    gap = headline.gap(table, "pruned", "control")
    assert gap.value == pytest.approx(100 * (0.75 - 0.99 + 0.77 - 1.0) / 2)


def test_without_a_walk_there_is_no_headline():
    with pytest.raises(Untestable):
        headline.four(Results.from_tables(steps=results().steps))


def test_names_are_joined_as_a_sentence_does():
    assert [sentences.listed(list(names)) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
