"""Write params/README.md: every parameter with its meaning, default, allowed values and what the paper says of it."""

import re
from collections.abc import Iterator
from typing import Any

from paperlib import params
from paperlib.common import escape
from paperlib.common.files import atomic_write_text
from paperlib.common.markdown_table import markdown_table
from paperlib.params import PARAMS_DIR, Params

PAGE = PARAMS_DIR / "README.md"
LINE = re.compile(r"(?P<name>\w+): (?P<default>.*?)\s+# (?P<meaning>.+)")
VALUE = re.compile(r"^(\w+): (.*?)(?:\s+#.*)?$", re.MULTILINE)
OF_PAPER = re.compile(r"(?:^|; )(?=[^;]*\bpaper\b[^;]*$)")  # the last part of a comment, where it speaks of the paper
KINDS = {"boolean": "`true`, `false`", "integer": "whole number", "number": "number", "array": "list of texts", "string": "text"}
BOUNDS = {"minimum": "from {:.10g}", "exclusiveMinimum": "above {:.10g}", "maximum": "to {:.10g}", "exclusiveMaximum": "below {:.10g}"}
INTRODUCTION = """\
# Parameters

Written from `defaults.yaml`, the profiles and the checks of `paperlib/params.py` by `python -m paperlib.report.parameters`.

Set one for a run with `make reproduce SET="train_size=1024 epochs=2"`; for good in a file of `profiles/` or `datasets/`; in a notebook, in the
cell marked `parameters`. Precedence: `defaults.yaml`, then the profile, then the dataset, then `SET`. Unknown names, wrong types and
impossible values stop the run with one line that says what is allowed. A value with spaces goes in double quotes inside single ones:
`SET='data_dir="my data"'`. Numbers such as 2e-5 are written `2.0e-5`: YAML reads the short form as text.
"""


def page() -> str:
    """Return the page as Markdown: one table for each section of defaults.yaml, and one of what the profiles change."""
    heads = ["parameter", "default", "allowed", "meaning", "the paper"]
    tables = [f"## {title}\n\n{markdown_table(heads, rows)}" for title, rows in _sections()]
    return "\n".join([INTRODUCTION, *tables, _profiles()])


def _sections() -> Iterator[tuple[str, list[list[str]]]]:
    schema = Params.model_json_schema()["properties"]
    text = (PARAMS_DIR / "defaults.yaml").read_text(encoding="utf-8")
    for block in text.strip().split("\n\n")[1:]:  # the first is a preface
        title, *lines = block.split("\n")
        found = [LINE.fullmatch(line).groupdict() for line in lines if not line.startswith("#")]
        yield title.removeprefix("# "), [_row(**each, schema=schema[each["name"]]) for each in found]


def _row(name: str, default: str, meaning: str, schema: dict[str, Any]) -> list[str]:
    explained, *of_paper = OF_PAPER.split(meaning)
    said = of_paper[0].removeprefix("paper: ") if of_paper else ""
    return [f"`{name}`", f"`{default}`", allowed(schema), *map(escape.markdown, (explained, said))]


def allowed(schema: dict[str, Any]) -> str:
    """Say in words what the JSON schema of a parameter allows."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    words = [KINDS[schema["type"]], *(text.format(schema[bound]) for bound, text in BOUNDS.items() if bound in schema)]
    return " ".join(words) + ", not empty" * bool(schema.get("minLength") or schema.get("minItems"))


def _profiles() -> str:
    """Tabulate what each profile changes; an empty cell means the default."""
    texts = {name: (PARAMS_DIR / "profiles" / f"{name}.yaml").read_text() for name in params.names("profile")}
    files = {name: dict(VALUE.findall(text)) for name, text in texts.items()}
    changed = [name for name in Params.model_fields if any(name in values for values in files.values())]
    rows = [[f"`{name}`", *(f"`{each[name]}`" if name in each else "" for each in files.values())] for name in changed]
    return f"## What the profiles change\n\n{markdown_table(['parameter', *files], rows)}"


if __name__ == "__main__":
    atomic_write_text(PAGE, page())
