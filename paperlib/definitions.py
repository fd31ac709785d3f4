"""What each parameter means, as `params/defaults.yaml` says it, beside what its check allows: for pages and forms."""

import re
from dataclasses import dataclass
from typing import Any

from paperlib.params import PARAMS_DIR, Params

LINE = re.compile(r"(?P<name>\w+): (?P<default>.*?)\s+# (?P<meaning>.+)")
OF_PAPER = re.compile(r"(?:^|; )(?=[^;]*\bpaper\b[^;]*$)")  # the last part of a comment, where it speaks of the paper
KINDS = {"boolean": "`true`, `false`", "integer": "whole number", "number": "number", "array": "list of texts", "string": "text"}
BOUNDS = {"minimum": "from {:.10g}", "exclusiveMinimum": "above {:.10g}", "maximum": "to {:.10g}", "exclusiveMaximum": "below {:.10g}"}


@dataclass(frozen=True)
class Definition:
    """One parameter: its section of defaults.yaml, its default as it is written there, its meaning, what the paper says.

    `kind` is the JSON type, `choices` what may be chosen where that is a list, `allowed` both and the limits, in words.
    """

    section: str
    name: str
    default: str
    meaning: str
    paper: str
    kind: str
    choices: tuple[str, ...]
    allowed: str


def definitions() -> list[Definition]:
    """Return all parameters in the order of defaults.yaml."""
    schema = Params.model_json_schema()["properties"]
    text = (PARAMS_DIR / "defaults.yaml").read_text(encoding="utf-8")
    found = []
    for block in text.strip().split("\n\n")[1:]:  # the first is a preface
        title, *lines = block.split("\n")
        parts = [LINE.fullmatch(line).groupdict() for line in lines if not line.startswith("#")]
        found += [_definition(title.removeprefix("# "), **each, schema=schema[each["name"]]) for each in parts]
    return found


def allowed(schema: dict[str, Any]) -> str:
    """Say in words, as Markdown, what the JSON schema of a parameter allows."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    words = [KINDS[schema["type"]], *(text.format(schema[bound]) for bound, text in BOUNDS.items() if bound in schema)]
    return " ".join(words) + ", not empty" * bool(schema.get("minLength") or schema.get("minItems"))


def _definition(section: str, name: str, default: str, meaning: str, schema: dict[str, Any]) -> Definition:
    explained, *of_paper = OF_PAPER.split(meaning)
    said = of_paper[0].removeprefix("paper: ") if of_paper else ""
    return Definition(
        section, name, default, explained, said, schema["type"], tuple(schema.get("enum", ())), allowed(schema)
    )
