"""Which classes the labels of a dataset mean: numbers from 0, or names as a person spelt them."""

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

import numpy as np
import pandas as pd

from paperlib.common.errors import UserError

Labels = dict[str, pd.Series]  # one label a row, of each split
NO_NUMBER = ("nan", "na", "n/a", "null", "none")
MOST_CLASSES = 1000  # beyond it a label is rather a mistake
NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+|inf)", re.ASCII)
LIST = re.compile(r"\[.*\]", re.DOTALL)


def settle(labels: Labels, given: list[str], stated: list[str], where: dict[str, str]) -> tuple[Labels, list[str]]:
    """Return each split's labels as numbers from 0, and the class names in that order.

    `given` are the class names of the parameters, `stated` those that a table states for its numbers; either may be
    empty. White space around a name is not part of it. Labels are names where all of them are given ones, else numbers
    from 0 where all of a split are numbers. Without class names labels are names, in the order of their numbers if all
    are numbers, else of their letters; so the numbers 0 to n - 1 stay what they are.
    Raises UserError with one line that names the row, counted from 1; `where` is how messages name a split.
    """
    spelt = {split: _spelt(column, where[split]) for split, column in labels.items()}
    as_names = bool(given) and None not in _find(_all(spelt), given).values()
    joint = not as_names and _are_numbers(_all(spelt))
    for split, column in spelt.items():
        if joint or (given and not as_names and _are_numbers(column)):  # among numbers "nan" is a missing one
            column = spelt[split] = column.mask(column.str.casefold().isin(NO_NUMBER))
        if column.isna().any():
            raise UserError(f"{where[split]}: row {_row(column.isna())}: the label is missing")
    if not (given or stated):
        _check_same_kind(spelt, where)
        if joint:
            _check_spellings(spelt, where)
    names = given or stated or _names_of(_all(spelt), joint, where)
    coded = {split: bool(given or stated) and not as_names and _are_numbers(column) for split, column in spelt.items()}
    settled = {
        split: _codes(column, len(names), where[split]) if coded[split] else _positions(column, names, where[split])
        for split, column in spelt.items()
    }
    return settled, names


def alike(names: list[str]) -> list[tuple[str, str]]:
    """Return the pairs of class names that a person cannot tell apart, or only by their case."""
    seen: dict[str, str] = {}
    return [(seen[look], name) for name in names for look in [_look(name)] if seen.setdefault(look, name) != name]


def _look(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join("".join(letter for letter in text if unicodedata.category(letter) != "Cf").split())  # Cf is invisible


def _spelt(column: pd.Series, where: str) -> pd.Series:
    """Return labels as text without the white space around them, missing ones as None; refuse bytes and lists of labels."""
    own_bytes = column.map(lambda label: isinstance(label, bytes)).astype(bool)
    if own_bytes.any():
        raise UserError(f"{where}: row {_row(own_bytes)}: the label is bytes, not text or a number")
    if column.dtype in ("float32", "float16"):  # 0.1 is 0.1 there, and 0.10000000149011612 beyond
        column = column.map(lambda label: str(column.dtype.type(label)), na_action="ignore").astype(object)
    lists = column.map(lambda label: isinstance(label, (list, tuple, dict, set, np.ndarray)))
    spelt = column.where(~lists).map(lambda label: str(label).strip(), na_action="ignore").astype(object)
    bracketed = spelt.dropna().astype(str).str.fullmatch(LIST)
    if lists.any() or (len(bracketed) and bracketed.all()):
        row = _row(lists) if lists.any() else _row(spelt.notna())
        raise UserError(f"{where}: row {row}: the label is a list; a text has one label")
    return spelt.mask(spelt.isna() | (spelt == ""), None).astype("str")


def _all(spelt: Labels) -> list[str]:
    """List the distinct labels of all splits, in order of appearance."""
    return list(dict.fromkeys(label for column in spelt.values() for label in column.dropna().unique()))


def _number(text: str) -> Decimal | None:
    """Return the number that a label spells, exactly: two long codes must not become one."""
    try:
        return Decimal(text) if NUMBER.fullmatch(text) else None
    except InvalidOperation:  # 1e99999999999999999999
        return None


def _places(names: list[str]) -> dict[Decimal | str, int]:
    """Return the place of each name, by what tells it from others: the number where all are different ones, else the text."""
    numbers = [_number(name.strip()) for name in names]
    keys = numbers if None not in numbers and len(set(numbers)) == len(numbers) else [name.strip() for name in names]
    return {key: place for place, key in enumerate(keys)}


def _find(labels: list[str], names: list[str]) -> dict[str, int | None]:
    """Return the place of each label among the names, or None; 1, "1.0" and "01" are one where all names are different numbers."""
    places = _places(names)
    by_number = not any(isinstance(key, str) for key in places)
    return {label: places.get(_number(label) if by_number else label) for label in labels}


def _are_numbers(labels: pd.Series | list[str]) -> bool:
    """Tell whether labels are numbers, but for words that stand for a missing one."""
    distinct = pd.Series(labels, dtype=object).dropna().unique()
    words = [label for label in distinct if _number(label) is None]
    return len(words) < len(distinct) and all(word.casefold() in NO_NUMBER for word in words)


def _check_same_kind(spelt: Labels, where: dict[str, str]) -> None:
    """Refuse names in one split and numbers in the other: nothing says which number is which name."""
    kinds = {split: "numbers" if _are_numbers(column) else "names" for split, column in spelt.items()}
    shared = set.intersection(*(set(column) for column in spelt.values()))
    if len(set(kinds.values())) > 1 and not shared:
        said = " and ".join(f"{kind} in {where[split]}" for split, kind in kinds.items())
        raise UserError(f"labels are {said}; write them the same way, or give class_names")


def _check_spellings(spelt: Labels, where: dict[str, str]) -> None:
    """Refuse two spellings of one number, such as 1.1 and 1.10: nothing says whether they are one class.

    But 1 and 1.0 are one, as pandas makes the one of the other, and so are 01 in one split and 1 in the other.
    """
    for split, column in spelt.items():
        _check_one_spelling(list(column.unique()), _plain, where[split])
    _check_one_spelling(_all(spelt), lambda label: re.sub(r"^([+-]?)0+(?=\d)", r"\1", _plain(label)), " and ".join(where[split] for split in spelt))


def _check_one_spelling(labels: list[str], form: Callable[[str], str], where: str) -> None:
    first: dict[Decimal, str] = {}
    for label in labels:
        other = first.setdefault(_number(label), label)
        if form(other) != form(label):
            raise UserError(f"{where}: labels {other!r} and {label!r} are one number; write them the same way, or list both in class_names if they are two")


def _names_of(labels: list[str], numbers: bool, where: dict[str, str]) -> list[str]:
    """Return the classes that occur, in order; of several spellings of one number the shortest is its name."""
    if not numbers:
        names = sorted(labels)
    else:
        spellings: dict[Decimal, str] = {}
        for label in sorted(map(_plain, labels), key=lambda text: (-len(text), text)):
            spellings[_number(label)] = label
        names = [spellings[value] for value in sorted(spellings)]
    if len(names) > MOST_CLASSES:
        raise UserError(f"{next(iter(where.values()))}: {len(names)} different labels, more than {MOST_CLASSES}: rather not classes")
    return names


def _plain(number: str) -> str:
    """Return 1.0, as a table with gaps spells a whole number, as 1."""
    return re.sub(r"\.0*$", "", number)


def _codes(column: pd.Series, classes: int, where: str) -> pd.Series:
    """Return labels that are numbers from 0 as such."""
    values = column.map(_number)
    wrong = values.map(lambda value: not (value.is_finite() and 0 <= value < classes and value % 1 == 0))
    if wrong.any():
        raise UserError(f"{where}: row {_row(wrong)}: label {column.iloc[_row(wrong) - 1]} is not a whole number from 0 to {classes - 1}")
    return values.astype("int64")


def _positions(column: pd.Series, names: list[str], where: str) -> pd.Series:
    """Return the place of each label among the names."""
    found = column.map(_find(list(column.unique()), names))
    if found.isna().any():
        words = found.isna() & column.map(lambda label: _number(label) is None, na_action="ignore").astype(bool)
        row = _row(words if words.any() else found.isna())  # a slip among numbers, say
        raise UserError(f"{where}: row {row}: label {column.iloc[row - 1]!r} is not one of the {len(names)} class names")
    return found.astype("int64")


def _row(wrong: pd.Series) -> int:
    return int(np.flatnonzero(wrong.to_numpy())[0]) + 1
