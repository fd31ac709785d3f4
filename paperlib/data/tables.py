"""Find the tables of a file or a folder, and read their rows as they are: nothing is converted."""

import csv
import gzip
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from paperlib.common.errors import UserError

SPLITS = ("train", "test")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
# Every cell of a CSV is the text that it is, "NA", "null" and 007 included; only an empty cell is missing.
CELLS = {"dtype": str, "keep_default_na": False, "na_values": [""]}
PACKED = tuple(f"{suffix}.gz" for suffix in (".csv", ".tsv", ".jsonl", ".json"))
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".json", *PACKED)
# What `save_to_disk` writes beside its tables.
SPLITS_FILE, STATE_FILE = "dataset_dict.json", "state.json"
SHARD = r"-\d+-of-\d+"  # as the hub names the parts of a split
# What else holds tables, in whatever it is packed; and what others put beside them, which holds none.
TABULAR = (*SUFFIXES, ".arrow", ".feather", ".ndjson", ".tab", ".xlsx", ".xls", ".ods", ".orc", ".avro", ".pkl", ".pickle", ".db", ".sqlite", ".h5", ".hdf5")
PACKING = re.compile(r"\.(gz|bz2|xz|zst|zip)$")
BESIDE = re.compile(r"(dataset_infos?|dataset_dict|state|metadata|config|labels?|label2id|id2label|classes|class_names)\.json|cache-.*\.arrow")
OBJECTS = re.compile(rb"(\xef\xbb\xbf)?\s*(\[\s*\{|\{.*\}\s*\n\s*\{)")  # a list of them, or lines
OTHER_SPLIT = re.compile(r"(validation|valid|val|development|dev|evaluation|eval|unsupervised|unlabell?ed)(?![a-z])", re.IGNORECASE)
LONG_TEXT = 10  # lines
SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Table:
    """One table: how messages name it, its suffix, and the files that hold its rows, in this order."""

    where: str
    suffix: str
    files: tuple[Path, ...]


def find(path: Path) -> dict[str, Table]:
    """Return the tables of a file or a folder by split; a table that is the only one is called `all`.

    A folder holds `train` and `test`, each a file or a folder of parts, or is one table in parts, or was written by
    `save_to_disk`. Raises UserError when it holds none of these, or when it does not say which table is which.
    """
    try:
        if path.is_file():
            return {"all": Table(path.name, _suffix(path), (path,))}
        return _tables_of(path)
    except OSError as error:  # /dev/null, say, or a folder that one may not look into
        raise UserError(f"{path.name}: cannot be read ({error.strerror})") from None


def _tables_of(path: Path) -> dict[str, Table]:
    if (path / SPLITS_FILE).is_file():
        return _saved_splits(path)
    if (path / STATE_FILE).is_file():
        return {"all": _saved(path, path.name)}
    found = {split: table for split in SPLITS if (table := _split(path, split))}
    if not found:
        return {"all": _parts(path, path.name)}
    if absent := [split for split in SPLITS if split not in found]:
        raise UserError(f"{path.name}: there is no {_any_of(absent[0])}")
    return found


def unread(path: Path, found: dict[str, Table]) -> list[str]:
    """Remark on the splits of a folder that no study reads, such as validation.csv.

    Raises UserError when it holds anything else that looks like a table and is none of those found, at any depth: rows
    that a person takes to be read would be left out.
    """
    read = {file for table in found.values() for file in table.files}
    others = set()
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if name[0] not in "._")  # of git, of Spark's attempts, of operating systems
        for file in sorted(Path(folder, name) for name in files):
            if file in read or not _looks_like_a_table(file, read):
                continue
            within = file.relative_to(path)
            if not OTHER_SPLIT.match(within.parts[0]):
                raise UserError(f"{path.name}: {within} would not be read; name it as those that are, or move it out of the folder")
            others.add(re.sub(SHARD, "", within.parts[0]))
    said = f"{', '.join(sorted(others))} {'is' if len(others) == 1 else 'are'} not read"
    return [f"{path.name}: {said}: the texts to train on, to validate and to test are drawn from train and test"] * bool(others)


def _looks_like_a_table(file: Path, read: set[Path]) -> bool:
    """Tell by the name; a .txt is one where it is named as what is read, but for numbers: 2.txt beside 1.csv.

    A .json is one by what it holds: many are none, such as the settings of a model, or a card.
    """
    name = file.name.casefold()
    if name[0] == "." or BESIDE.fullmatch(name):
        return False
    if name.endswith(".json"):
        return file.is_file() and OBJECTS.match(file.read_bytes()) is not None
    stem, _, suffix = PACKING.sub("", name).rpartition(".")
    return f".{suffix}" in TABULAR or (suffix == "txt" and _without_numbers(stem) in {_without_numbers(other.name.casefold().split(".")[0]) for other in read})


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", name)


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
        raise UserError(f"{table.where}: cannot be read ({_first_line(error)})") from None
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


def _split(folder: Path, split: str) -> Table | None:
    """Return the table of a split: one file, a folder of parts, or shards as the hub names them."""
    found = [path for suffix in ("", *SUFFIXES) for path in [folder / f"{split}{suffix}"] if path.exists()]
    found = [path for path in found if path.suffix or path.is_dir()]
    if len(found) > 1:
        raise UserError(f"{folder.name}: there are both {found[0].name} and {found[1].name}; remove one")
    shards = [path for path in _tables_in(folder) if re.match(re.escape(split) + SHARD, path.name)]
    if found and shards:
        raise UserError(f"{folder.name}: there are both {found[0].name} and {shards[0].name}; remove one")
    if not found:
        return _one_table(shards, f"{folder.name}/{split}") if shards else None
    where = f"{folder.name}/{found[0].name}"
    if not (found[0].is_dir() or found[0].is_file()):
        raise UserError(f"{where}: neither a file nor a folder")
    if found[0].is_dir():
        return _saved(found[0], where) if (found[0] / STATE_FILE).is_file() else _one_table(_tables_in(found[0]), where)
    return Table(where, _suffix(found[0]), (found[0],))


def _parts(folder: Path, where: str) -> Table:
    """Return a folder's only table; files whose names differ in more than a number may be several tables."""
    files = _tables_in(folder)
    if not files:
        raise UserError(f"{where}: there is no {_any_of('train')}")
    if len({_without_numbers(file.name) for file in files}) > 1 and not all(file.name.startswith("part-") for file in files):
        raise UserError(f"{where}: it holds {files[0].name} and {files[1].name}; call them train and test")
    return _one_table(files, where)


def _one_table(files: list[Path], where: str) -> Table:
    suffixes = sorted({_suffix(file) for file in files})
    if len(suffixes) != 1:
        raise UserError(f"{where}: its parts are of several formats ({', '.join(suffixes)})" if files else f"{where}: a folder without a table")
    _check_all_there(files, where)
    return Table(where, suffixes[0], tuple(files))


def _check_all_there(files: list[Path], where: str) -> None:
    """Refuse parts that say how many they are, such as train-00000-of-00002, and are not as many."""
    said = [numbers for file in files for numbers in re.findall(r"-(\d+)-of-(\d+)", file.name)[-1:]]
    totals = {int(of) for _, of in said}
    if said and (len(said) < len(files) or len(totals) > 1 or len(said) != totals.pop() or len(set(said)) < len(said)):
        raise UserError(f"{where}: of its parts by number, such as {files[0].name}, some are missing, or there are others beside them")


def _tables_in(folder: Path) -> list[Path]:
    """List the tables of a folder by name, without what Spark and others put beside them (`_SUCCESS`, `.part.crc`)."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name.endswith(SUFFIXES) and p.name[0] not in "._" and not BESIDE.fullmatch(p.name))


def _saved_splits(folder: Path) -> dict[str, Table]:
    """Return the splits that `DatasetDict.save_to_disk` wrote."""
    names = _json_of(folder / SPLITS_FILE, folder.name).get("splits")
    if not isinstance(names, list) or not names:
        raise UserError(f"{folder.name}/{SPLITS_FILE}: names no split")
    wanted = {"all": names[0]} if len(names) == 1 else {split: split for split in SPLITS}
    if absent := [name for name in wanted.values() if name not in names]:
        raise UserError(f"{folder.name}: there is no split {absent[0]}; there are: {', '.join(map(str, names))}")
    return {split: _saved(folder / str(name), f"{folder.name}/{name}") for split, name in wanted.items()}


def _saved(folder: Path, where: str) -> Table:
    """Return the table that `Dataset.save_to_disk` wrote."""
    try:
        names = [Path(entry["filename"]).name for entry in _json_of(folder / STATE_FILE, where)["_data_files"]]
    except (KeyError, TypeError):
        names = []
    if not names:
        raise UserError(f"{where}/{STATE_FILE}: names no table")
    return Table(where, ".arrow", tuple(folder / name for name in names))


def _json_of(path: Path, where: str) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{where}/{path.name}: cannot be read ({_first_line(error)})") from None


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise UserError(f"{path.name}: not one of the formats that are read: {', '.join(SUFFIXES)}, or a folder of save_to_disk")


def _any_of(split: str) -> str:
    return f"{split}.parquet or {split}.csv, nor one of another format ({', '.join(SUFFIXES[2:])})"


def _first_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]
