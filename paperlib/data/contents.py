"""Read the rows of tables as they are: nothing is converted, and nothing becomes another text or label in silence."""

import csv
import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from paperlib.common.errors import UserError, words_of
from paperlib.data.tables import Table

SEPARATORS = {".csv": ",", ".tsv": "\t"}
# Every cell of a CSV is the text that it is, "NA", "null" and 007 included; only an empty cell is missing.
CELLS = {"dtype": str, "keep_default_na": False, "na_values": [""]}
LONG_TEXT = 10  # lines
SPACE = re.compile(r"\s*")


def read(table: Table) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return the rows of a table, and the class names that it states, by column (`ClassLabel` of `datasets`).

    Raises UserError with one line that names the file.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_json, ".json": _read_json}
    try:
        frame, stated = readers.get(table.suffix.removesuffix(".gz"), _read_arrow)(table)
    except UserError:
        raise
    except UnicodeDecodeError:
        raise UserError(f"{table.where}: is not UTF-8 text") from None
    except Exception as error:  # pyarrow and pandas raise a dozen kinds; each means that it is no table
        raise UserError(f"{table.where}: cannot be read ({words_of(error)})") from None
    return frame.loc[:, ~frame.columns.str.startswith("__index_level_")], stated


def _read_csv(table: Table) -> tuple[pd.DataFrame, dict]:
    """Read a CSV; a first row that is longer than its header would silently shift all cells by one column."""
    separator, frames = SEPARATORS[table.suffix.removesuffix(".gz")], []
    for file in table.files:
        where = table.where if len(table.files) == 1 else f"{table.where}/{file.name}"
        several, least = _several_lines(file, separator, where)
        with _text_of(file) as lines:
            frame = pd.read_csv(lines, sep=separator, **CELLS)
        if not isinstance(frame.index, pd.RangeIndex):
            raise UserError(f"{where}: its rows have more cells than its first line; put texts with commas in quotes")
        _check_one_row(several, least, frame, where)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True), {}


def _text_of(file: Path) -> TextIO:
    return (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8-sig", newline="")


def _several_lines(file: Path, separator: str, where: str) -> tuple[dict[int, list[list[str]]], int]:
    """Return the records of a CSV that stand on several lines, most of which may be rows, as cells of lines, by row from 1.

    Also returns how many of their lines must be like other rows for `_check_one_row`. Raises UserError when two columns
    have one name, or a quote that opens a text does not close it, but stands in it.
    """
    several, quoted, row, header = {}, False, -1, []
    try:
        with _text_of(file) as lines:
            for row, (cells, own) in enumerate(_records(lines, separator)):
                header = header or cells
                rows = [line.split(separator) for line in own]
                if len(rows) > 1 < len(header) and sum(len(cells) == len(header) for cells in rows) > len(rows) / 2:
                    several[row] = rows
                else:
                    quoted |= separator.join(cells) != own[0]
    except csv.Error:
        raise UserError(f"{where}: row {row + 1}: a quote opens a text and does not close it; double the quotes within it") from None
    _check_columns(header, where)
    return several, 3 if quoted else 2


def _records(lines: TextIO, separator: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the cells of each record of a CSV, and the lines on which it stands; blank ones are none."""
    taken: list[str] = []
    csv.field_size_limit(sys.maxsize)
    for cells in csv.reader((taken.append(line) or line for line in lines), delimiter=separator, strict=True):
        if own := [text for line in taken if (text := line.rstrip("\r\n"))]:
            yield cells, own
        taken.clear()


def _check_one_row(several: dict[int, list[list[str]]], least: int, frame: pd.DataFrame, where: str) -> None:
    """Refuse a quote that opens a text and closes it rows later: what is one record is rather a row on each line.

    It is where most of its lines, and at least two or, in a file that quotes elsewhere, three, have a cell for each column
    and in one of these what rows of the table have there, such as a class: lines of a text do not, or but one of them by
    chance. It also is where all lines have a cell for each column and outnumber the rows that are left.
    """
    columns = range(frame.shape[1])
    known = [set(frame.iloc[:, column].dropna()) for column in columns if several]
    for row, lines in several.items():
        rows = [cells for cells in lines if len(cells) == len(columns)]
        alike = max(sum(cells[column] in known[column] for cells in rows) for column in columns)
        if alike >= max(least, len(lines) // 2 + 1) or len(rows) == len(lines) > max(LONG_TEXT, len(frame)):
            end = row + len(lines) - 1
            raise UserError(f"{where}: rows {row} to {end} would become one text, which a quote opens; put that one in quotes, with each quote in it doubled")


def _check_columns(names: list[str], where: str) -> None:
    """Refuse two columns of one name: nothing says which is meant."""
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise UserError(f"{where}: two columns are called {twice[0]!r}; rename one")


def _read_json(table: Table) -> tuple[pd.DataFrame, dict]:
    """Read objects, one after the other or in a list: numbers and dates stay as they are spelt."""
    rows, escaped = [], False
    for file in table.files:
        with _text_of(file) as lines:
            text = lines.read()
        escaped = escaped or re.search(r"\\u[dD]", text) is not None
        for value in _values(text):
            rows += value if isinstance(value, list) else [value]
    if not rows:
        raise UserError(f"{table.where}: no rows")
    for row, values in enumerate(rows, start=1):
        if not isinstance(values, dict):
            raise UserError(f"{table.where}: row {row}: not an object with a text and a label")
        if escaped and not _is_text(json.dumps(values, ensure_ascii=False)):
            raise UserError(f"{table.where}: row {row}: holds half a character, which is no text")
    return pd.DataFrame(rows, dtype=object), {}


def _values(text: str) -> Iterator[object]:
    """Yield the values of a JSON text, or of JSON lines, exactly: whole numbers of any length, dates as texts."""
    decoder, place = json.JSONDecoder(object_pairs_hook=_object), 0
    while (place := SPACE.match(text, place).end()) < len(text):
        value, place = decoder.raw_decode(text, place)
        yield value


def _object(pairs: list[tuple[str, object]]) -> dict:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError(f"a row with two values of one name: {', '.join(name for name, _ in pairs)}")
    return values


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a surrogate that is not one of a pair
        return False
    return True


def _read_arrow(table: Table) -> tuple[pd.DataFrame, dict]:
    """Read parquet, or what `save_to_disk` wrote."""
    parts = [pq.ParquetFile(file).read() if table.suffix == ".parquet" else pa.ipc.open_stream(file.read_bytes()).read_all() for file in table.files]
    features = [json.loads((part.schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {}) for part in parts]
    stated = [{name: own["names"] for name, own in each.items() if _kind(own) == "ClassLabel"} for each in features]
    named = [names for names in stated if names] or [{}]
    if any(names != named[0] for names in named):
        raise UserError(f"{table.where}: its parts state different names for their labels")
    for part in parts:
        _check_columns(part.column_names, table.where)
    frame = pd.concat([_frame(part) for part in parts], ignore_index=True)
    for name in [name for name, own in features[0].items() if _kind(own) == "Json"]:
        frame[name] = frame[name].map(json.loads, na_action="ignore")  # a column of several types
    return frame, named[0]


def _kind(feature: object) -> str:
    """Return what a column is to `datasets`, which also has lists for features."""
    return feature.get("_type", "") if isinstance(feature, dict) else ""


def _frame(part: pa.Table) -> pd.DataFrame:
    """Return a part of a table for pandas, all of it looked at: a text that is none would be found out only when it is used."""
    for place, field in enumerate(part.schema):
        if pa.types.is_dictionary(field.type):
            part = part.set_column(place, field.name, part[place].cast(field.type.value_type))
    part.validate(full=True)
    return part.to_pandas(ignore_metadata=True)
