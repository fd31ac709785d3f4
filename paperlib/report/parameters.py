"""Write params/README.md: every parameter with its meaning, default, allowed values and what the paper says of it."""

import re
from collections.abc import Iterator
from itertools import groupby

from paperlib import params
from paperlib.common import escape
from paperlib.common.files import atomic_write_text
from paperlib.common.markdown_table import markdown_table
from paperlib.definitions import Definition, definitions
from paperlib.params import PARAMS_DIR, Params

PAGE = PARAMS_DIR / "README.md"
VALUE = re.compile(r"^(\w+): (.*?)(?:\s+#.*)?$", re.MULTILINE)
INTRODUCTION = """\
# Parameters

Written from `defaults.yaml`, the profiles and the checks of `paperlib/params.py` by `python -m paperlib.report.parameters`.

Set one for a run with `make reproduce SET="train_size=1024 epochs=2"`; for good in a file of `profiles/` or `datasets/`; in a notebook, in the
cell marked `parameters`. Precedence: `defaults.yaml`, then the profile, then the dataset, then `SET`. Unknown names, wrong types and
impossible values stop the run with one line that says what is allowed. A value with spaces goes in double quotes inside single ones:
`SET='data_dir="my data"'`. Texts and paths are taken as they stand, `#` and `:` included. Numbers are plain
decimals, and such as 2e-5 are written `2.0e-5`: YAML reads the short form as text.
"""


def page() -> str:
    """Return the page as Markdown: one table for each section of defaults.yaml, and one of what the profiles change."""
    heads = ["parameter", "default", "allowed", "meaning", "the paper"]
    tables = [f"## {title}\n\n{markdown_table(heads, rows)}" for title, rows in _sections()]
    return "\n".join([INTRODUCTION, *tables, _profiles()])


def _sections() -> Iterator[tuple[str, list[list[str]]]]:
    for title, group in groupby(definitions(), key=lambda each: each.section):
        yield title, [_row(each) for each in group]


def _row(each: Definition) -> list[str]:
    return [f"`{each.name}`", f"`{each.default}`", each.allowed, *map(escape.markdown, (each.meaning, each.paper))]


def _profiles() -> str:
    """Tabulate what each profile changes; an empty cell means the default."""
    texts = {name: (PARAMS_DIR / "profiles" / f"{name}.yaml").read_text() for name in params.names("profile")}
    files = {name: dict(VALUE.findall(text)) for name, text in texts.items()}
    changed = [name for name in Params.model_fields if any(name in values for values in files.values())]
    rows = [[f"`{name}`", *(f"`{each[name]}`" if name in each else "" for each in files.values())] for name in changed]
    return f"## What the profiles change\n\n{markdown_table(['parameter', *files], rows)}"


if __name__ == "__main__":
    atomic_write_text(PAGE, page())
