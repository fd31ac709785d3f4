"""Labels in any spelling: the classes are the person's, and in an order that does not depend on the rows."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib.common.errors import UserError
from paperlib.data import labels

WHERE = {"train": "mine/train", "test": "mine/test"}
PADDING = st.sampled_from(["", " ", "\t", "  ", "\n"])
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).map(str.strip).filter(lambda word: word and word[0] not in "[+-.0123456789")
NUMBERS = st.one_of(st.integers(-(10**18), 10**18).map(str), st.decimals(-100, 100, places=1).map(str), st.integers(0, 99).map("{:03d}".format))

cheap = settings(max_examples=80)


def settle(train, test=None, given_names=(), stated=()):
    columns = {"train": pd.Series(train), "test": pd.Series(train if test is None else test)}
    return labels.settle(columns, list(given_names), list(stated), WHERE)


def shown(codes, names):
    return [names[code] for code in codes]


@cheap
@given(st.lists(WORDS, min_size=2, max_size=12, unique=True), st.data())
def test_names_are_kept_whatever_white_space_is_around_them(names, data):
    rows = data.draw(st.permutations(names)) + data.draw(st.lists(st.sampled_from(names), max_size=10))
    padded = [data.draw(PADDING) + row + data.draw(PADDING) for row in rows]
    codes, found = settle(padded)
    assert shown(codes["train"], found) == rows and sorted(found) == sorted(names)
    assert settle(padded[::-1])[1] == found, "the order of the rows must not matter"


@cheap
@given(st.lists(NUMBERS, min_size=2, max_size=15, unique_by=Decimal), st.data())
def test_numbers_are_classes_of_their_own_in_the_order_of_numbers(numbers, data):
    rows = data.draw(st.permutations(numbers))
    codes, found = settle(rows)
    assert [Decimal(name) for name in found] == sorted(map(Decimal, numbers)), "no class is added, none is lost"
    assert [Decimal(name) for name in shown(codes["train"], found)] == list(map(Decimal, rows))


@cheap
@given(st.integers(2, 40), st.sampled_from([int, float, str, "{}.0".format, " {} ".format, "{:02d}".format]), st.randoms())
def test_numbers_from_zero_stay_what_they_are(n, spelling, random):
    rows = list(range(n)) * 2
    random.shuffle(rows)
    codes, found = settle([spelling(row) for row in rows], sorted(rows))
    assert codes["train"].tolist() == rows and codes["test"].tolist() == sorted(rows)
    assert list(map(int, found)) == list(range(n))


@cheap
@given(st.lists(st.one_of(WORDS, NUMBERS), min_size=2, max_size=8, unique=True), st.data())
def test_class_names_that_are_given_decide_the_numbers(names, data):
    if len(labels._places(names)) < len(names):  # 1 and 01, say
        names = [f"x{name}" for name in names]
    order = data.draw(st.permutations(names))
    rows = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=10))
    codes, found = settle(rows, given_names=order)
    assert found == order and codes["train"].tolist() == [order.index(row) for row in rows]


@pytest.mark.parametrize(
    "rows, names",
    [
        ([1, 2, 3, 4, 5], ["1", "2", "3", "4", "5"]),
        ([20, 0, 10], ["0", "10", "20"]),
        ([310, 101, 205], ["101", "205", "310"]),
        ([0, 1, 2, 7], ["0", "1", "2", "7"]),
        ([-1, 1, 0], ["-1", "0", "1"]),
        ([0.5, 4.5, 1.0, 10.0], ["0.5", "1", "4.5", "10"]),
        ([f"{i:02d}" for i in range(1, 13)], [f"{i:02d}" for i in range(1, 13)]),
        ([str(i) for i in range(1, 13)], [str(i) for i in range(1, 13)]),
        (["0.0", "1.0"], ["0", "1"]),
        (["low", "low ", " mid", "high"], ["high", "low", "mid"]),
        ([True, False], ["False", "True"]),
        (["1", "1.0", "2.00", "2"], ["1", "2"]),
        (["\u0661", "1", "2"], ["1", "2", "\u0661"]),
        (["1e99999999999999999999", "2"], ["1e99999999999999999999", "2"]),
        (["10%", "1,5", "1.2.3"], ["1,5", "1.2.3", "10%"]),
        (np.array([0.1, 2.5, 1.0], "float32"), ["0.1", "1", "2.5"]),
        (np.array([0.1, 2.5, 1.0], "float16"), ["0.1", "1", "2.5"]),
        (["12345678901234567890", "12345678901234567891"], ["12345678901234567890", "12345678901234567891"]),
    ],
)
def test_what_was_misread_before(rows, names):
    codes, found = settle(rows)
    assert found == names and sorted(set(codes["train"])) == list(range(len(names)))


def test_a_number_in_two_spellings_is_one_class():
    codes, found = settle(["1.0", "2.0"], ["1", "2"])
    assert found == ["1", "2"] and codes["train"].tolist() == codes["test"].tolist() == [0, 1]
    codes, found = settle([3, 5], ["5", "3"])
    assert found == ["3", "5"] and codes["test"].tolist() == [1, 0]


def test_given_names_that_are_numbers_are_names_of_numbers_too():
    for rows in ([1, 3, 2], [1.0, 3.0, 2.0], ["1", "3.0", " 2"]):
        assert settle(rows, given_names=["1", "2", "3"])[0]["train"].tolist() == [0, 2, 1]
    codes, _ = settle([0, 1, 2], [1, 2], given_names=["1", "2", "3"])  # 0 is no name: they are numbers, in both splits
    assert codes["train"].tolist() == [0, 1, 2] and codes["test"].tolist() == [1, 2]


def test_names_that_a_table_states_for_its_numbers():
    codes, names = settle([1, 0, 1], stated=["1", "0"])
    assert names == ["1", "0"] and codes["train"].tolist() == [1, 0, 1], "numbers from 0, however the names are spelt"


REFUSED = {
    "a list": ([[0, 1], [1]], None, "mine/train: row 1: the label is a list; a text has one label"),
    "a list in the second row": (["a", ["b"]], None, "mine/train: row 2: the label is a list"),
    "a list as text": (["[0 1]", "[1]"], None, "mine/train: row 1: the label is a list"),
    "names and numbers": (["low", "mid", "high"], [0, 1, 2], "labels are names in mine/train and numbers in mine/test; write"),
    "numbers and names": (["0", "1"], ["low", "high"], "labels are numbers in mine/train and names in mine/test; write"),
    "blank": (["a", "  ", "b"], None, "mine/train: row 2: the label is missing"),
    "missing": (["a", "b"], ["a", None], "mine/test: row 2: the label is missing"),
    "missing among numbers": (["1", "2"], ["1", "N/A"], "mine/test: row 2: the label is missing"),
    "bytes": ([b"a", b"b"], None, "mine/train: row 1: the label is bytes, not text or a number"),
    "a gap of a smaller kind": (np.array([0.5, np.nan], "float32"), None, "mine/train: row 2: the label is missing"),
    "rather a measurement": ([i / 7 for i in range(1001)], None, "mine/train: 1001 different labels, more than 1000"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_labels_that_cannot_be_classes_are_refused(fault):
    train, test, says = REFUSED[fault]
    with pytest.raises(UserError) as error:
        settle(train, test)
    assert str(error.value).startswith(says) and "\n" not in str(error.value)


def test_a_number_of_any_length_that_is_no_class_is_refused():
    for label in ("9" * 40, "-" + "9" * 40, "1e999", "0." + "0" * 40 + "1"):
        with pytest.raises(UserError, match="row 1: label .* is not a whole number from 0 to 1"):
            settle([label, "1"], given_names=["low", "high"])
    with pytest.raises(UserError, match="row 1: label .* is not one of the 2 class names"):  # beyond all measure
        settle(["1e99999999999999999999", "1"], given_names=["low", "high"])


SPELLINGS = st.sampled_from(["1", "+1", "01", "1.10", "1.1", "1e0", "10e-1", "0.1e1", "12e1", "120", "0", "-0", "00", "1e10", "1e010"])


@cheap
@given(st.lists(SPELLINGS, min_size=2, max_size=6, unique=True), st.booleans())
def test_two_spellings_of_one_number_are_never_made_one_class_in_silence(spellings, one_table):
    columns = {"all": pd.Series(spellings)} if one_table else {"train": pd.Series(spellings), "test": pd.Series(spellings)}
    where = {split: f"mine/{split}" for split in columns}
    if len({Decimal(text) for text in spellings}) == len(spellings):
        assert len(labels.settle(columns, [], [], where)[1]) == len(spellings)
    else:
        with pytest.raises(UserError, match="^mine/(all|train): labels '.*' and '.*' are one number; write them the same way, or list both in class_names"):
            labels.settle(columns, [], [], where)
    codes, names = labels.settle(columns, spellings, [], where)
    assert names == spellings and codes[next(iter(columns))].tolist() == list(range(len(spellings))), "given names are what is given"


def test_two_spellings_of_one_number_in_two_splits():
    assert settle(["01", "02"], [1, 2])[1] == ["1", "2"], "each split may pad its numbers in its own way"
    with pytest.raises(UserError, match="^mine/train and mine/test: labels '1.1' and '1.10' are one number"):
        settle(["1.1", "1.2"], ["1.10", "1.2"])


@pytest.mark.parametrize("one, other", [("caf\u00e9", "cafe\u0301"), ("a", "a\u200b"), ("a", "\ufeffa"), ("Spam", "spam"), ("\uff11", "1"), ("\ufb01ne", "fine"),
                                        ("two words", "two\u00a0words"), ("two words", "two  words")])  # fmt: skip
def test_class_names_that_look_alike_are_found(one, other):
    assert labels.alike(["x", one, "y", other]) == [(one, other)]
    assert settle(["x", one, "y", other])[1] == sorted(["x", one, "y", other]), "they are classes of their own"


def test_class_names_that_differ_do_not_look_alike():
    assert labels.alike(["a", "b", "ab", "caf\u00e9", "cafe", "1", "01", "1.0", "\u0661", "good!", "good"]) == []


def test_too_many_classes_of_one_table_are_refused_too():
    with pytest.raises(UserError, match="^mine: 1001 different labels, more than 1000: rather not classes$"):
        labels.settle({"all": pd.Series(i / 7 for i in range(1001))}, [], [], {"all": "mine"})


@pytest.mark.parametrize("names", [["a", "b"], ["1", "2"]])
def test_a_missing_label_among_given_names_is_missing(names):
    for nothing in (None, "", " ", float("nan")):
        with pytest.raises(UserError, match="^mine/train: row 3: the label is missing$"):
            settle([*names, nothing], names, given_names=names)


def test_numbers_in_one_split_may_be_among_the_names_of_the_other():
    codes, names = settle(["1", "2", "other"], ["2", "1"])
    assert names == ["1", "2", "other"] and codes["test"].tolist() == [1, 0]
