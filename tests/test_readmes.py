"""What the README files say: links that lead somewhere, names that exist, parameters as they are."""

import re

import pytest

from paperlib import definitions
from paperlib.common.places import ROOT
from paperlib.params import Params
from paperlib.report import parameters

FOLDERS = ("", "notebooks", "outputs/reference", "paperlib", "paperlib/driver", "params", "tests")
PAGES = [ROOT / folder / "README.md" for folder in FOLDERS]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def anchors(text):
    """Return what a forge calls the headings of a page: lower case, words joined by hyphens."""
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.M)}


@pytest.mark.parametrize("page", PAGES, ids=[folder or "root" for folder in FOLDERS])
def test_links_lead_somewhere(page):
    links = LINK.findall(page.read_text())
    for link in (link for link in links if not link.startswith("https://")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link
    assert page.name in {path.name for path in PAGES} and (links or page.parent.name in ("params", "tests", "paperlib", "driver"))


def test_every_page_is_linked_from_the_first():
    links = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall(PAGES[0].read_text())}
    assert set(PAGES[1:]) <= links


def test_the_first_page_is_short():
    text = PAGES[0].read_text()
    assert len(text.splitlines()) <= 150 and "<this repository>" not in text


def test_the_commands_named_are_those_of_make():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(), re.M)}
    assert {"reproduce", "test", "compare"} < named <= targets


def test_the_page_of_parameters_is_written_from_them():
    assert parameters.PAGE.read_text() == parameters.page(), "run python -m paperlib.report.parameters"


def test_every_parameter_has_a_line_of_its_own():
    named = re.findall(r"^\| `(\w+)` \| `.*?` \|", parameters.page().partition("## What the profiles")[0], re.M)
    assert named == list(Params.model_fields)


@pytest.mark.parametrize(
    "schema, words",
    [
        ({"type": "integer", "minimum": 4, "maximum": 512}, "whole number from 4 to 512"),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 2**31}, "whole number from 0 below 2147483648"),
        ({"type": "number", "exclusiveMinimum": 0.0, "exclusiveMaximum": 1.0}, "number above 0 below 1"),
        ({"type": "string", "minLength": 1}, "text, not empty"),
        ({"type": "string", "enum": ["auto", "cpu"]}, "`auto`, `cpu`"),
        ({"type": "boolean"}, "`true`, `false`"),
    ],
)
def test_what_is_allowed_is_said_in_words(schema, words):
    assert definitions.allowed(schema) == words


def test_where_is_names_what_is_there():
    """Every file of the table exists, and every function that it names is defined in a file beside it."""
    house = ROOT / "paperlib" / "README.md"
    rows = re.findall(r"^\| .+? \| (\[[^|]+\)) \| (`[^|]+`) \|$", house.read_text(), re.M)
    assert len(rows) >= 15
    for files, functions in rows:
        text = "\n".join((house.parent / name).read_text() for name in LINK.findall(files))
        for name in re.findall(r"`([^`]+)`", functions):
            assert re.search(rf"^\s*(?:def|class) {name}\b", text, re.M), f"{name} in {files}"
