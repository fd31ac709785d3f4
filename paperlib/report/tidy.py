"""Make the tables of a notebook readable on a page: numbers to the right, no empty heads, one row of headings."""

import re

from bs4 import Tag

NUMBER = re.compile(r"[+−-]?[\d,]*\.?\d+(?:e[+-]?\d+)?(?: ?%)?(?: ± [\d.]+)?|[–-]|[+−-]?inf|nan|NaN|<NA>|< ?0\.\d+|None|")
EMPTY = {"", "–", "-", "nan", "NaN", "<NA>", "None"}


def table(element: Tag) -> None:
    """Change a table in place: join a row of names to the headings, make empty heads plain cells, align numbers."""
    heads = element.select("thead tr")
    if len(heads) == 2:
        _join(*heads)
    for cell in element.select("th"):
        if not cell.get_text(strip=True):
            cell.name = "td"
            cell.attrs.pop("scope", None)
    _align(element)


def _join(headings: Tag, names: Tag) -> None:
    """Put the names of an index, which pandas writes in a row of their own, into the empty corner of the headings."""
    given, corner = [cell.get_text(strip=True) for cell in names.find_all("th")], headings.find_all("th")
    named = [text for text in given if text]
    if len(given) != len(corner) or given[: len(named)] != named or any(c.get("colspan") for c in corner):
        return  # not such a row
    blank = [cell for cell in corner if not cell.get_text(strip=True)]
    if len(blank) < len(named):  # the corner names the columns
        return
    for cell, text in zip(corner, named):
        cell.string = text
    names.decompose()


def _align(element: Tag) -> None:
    """Align the columns to the right in which all that is not empty is a number."""
    rows = [row.find_all("td", recursive=False) for row in element.select("tbody tr")]  # heads of rows may span several
    if not rows or len({len(row) for row in rows}) > 1 or any(cell.get("colspan") for row in rows for cell in row):
        return
    heads = [row.find_all(["td", "th"], recursive=False)[-len(rows[0]) :] for row in element.select("thead tr")]
    for place, column in enumerate(zip(*rows)):
        texts = [cell.get_text(" ", strip=True) for cell in column]
        if all(map(NUMBER.fullmatch, texts)) and not set(texts) <= EMPTY:
            for cell in (*column, *(row[place] for row in heads if len(row) == len(rows[0]))):
                cell["class"] = [*cell.get("class", []), "number"]
