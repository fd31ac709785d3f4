"""Say in one line what is wrong with a parameter."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

LONGEST_QUOTE = 80  # characters of a value in a message


def one_line(error: ValidationError, origin: Mapping[str, str], known: Collection[str]) -> str:
    """Say the first problem in one line: source, parameter, what is allowed; `known` are the names of all parameters."""
    first = error.errors()[0]
    if not first["loc"]:  # from a check of several parameters, which names the parameter itself
        message = first["msg"].removeprefix("Value error, ")
        return f"{origin.get(message.split(':')[0], 'parameters')}: {message}"
    name = str(first["loc"][0])
    source = origin.get(name, "params/defaults.yaml")
    if first["type"] == "extra_forbidden":
        return f"{source}: unknown parameter {name!r}{_suggestion(name, known)}"
    if first["type"] == "missing":
        return f"{source}: {name} is missing"
    hint = _number_hint(first["input"])
    said = " ".join(first["msg"].split()).partition(" after validation")[0]
    if first["type"] == "value_error":  # from a validator of ours, which says it all
        return f"{source}: {name}: {said.removeprefix('Value error, ')}"
    return f"{source}: {name}: {re.sub('^[A-Z][a-z]+ should ', 'must ', said)}, not {quoted(first['input'])}{hint}"


def quoted(value: Any) -> str:
    """Return a value as a message quotes it: not at length."""
    text = repr(value)
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"


def _suggestion(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else "; params/defaults.yaml lists them all"


def _number_hint(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+", value):
        mantissa, exponent = re.split("[eE]", value)
        return f" (YAML reads {value} as text: write {mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d})"
    return ""
