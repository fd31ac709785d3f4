"""Find the tables of a file or a folder, and read them through `datasets`, which knows the formats."""

import contextlib
import csv
import glob
import gzip
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from paperlib.common.errors import UserError

SPLITS = ("train", "test")
# Every cell of a CSV is the text that it is, "NA" and "null" included; only an empty cell is missing.
CELLS = {"encoding": "utf-8", "keep_default_na": False, "na_values": [""]}
ROWS = 10_000  # read at a time
# Suffix: the library's name of the format, and how it is to be read.
FORMATS = {
    ".parquet": ("parquet", {"batch_size": ROWS}),
    ".csv": ("csv", {**CELLS, "sep": ","}),
    ".tsv": ("csv", {**CELLS, "sep": "\t"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".arrow": ("arrow", {}),
}
PACKED = tuple(f"{suffix}.gz" for suffix in (".csv", ".tsv", ".jsonl", ".json"))
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".json", *PACKED)
# What `save_to_disk` writes beside its tables.
SPLITS_FILE, STATE_FILE = "dataset_dict.json", "state.json"
SHARD = r"-\d+-of-\d+"  # as the hub names the parts of a split


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
    if path.is_file():
        return {"all": Table(path.name, _suffix(path), (path,))}
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


def read(table: Table) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return the rows of a table, and the class names that it states, by column (`ClassLabel` of `datasets`).

    Nothing is written but for a lock file in a temporary folder. Raises UserError with one line that names the file.
    """
    import datasets  # slow to import, and seldom needed

    try:
        with _quiet(datasets), tempfile.TemporaryDirectory() as scratch:
            stream = _open(datasets, table, scratch)
            parts = [part.to_pandas() for part in stream.with_format("arrow").iter(batch_size=ROWS)]
    except UserError:
        raise
    except UnicodeDecodeError:
        raise UserError(f"{table.where}: is not UTF-8 text") from None
    except Exception as error:  # pyarrow, pandas and the library raise a dozen kinds; each means that it is no table
        raise UserError(f"{table.where}: cannot be read ({_first_line(error)})") from None
    features = stream.features or {}
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(features))
    for name in [name for name, feature in features.items() if type(feature).__name__ == "Json"]:
        frame[name] = frame[name].map(json.loads, na_action="ignore")  # a column of several types
    stated = {name: feature.names for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)}
    return frame.loc[:, ~frame.columns.str.startswith("__index_level_")], stated


def _open(datasets, table: Table, scratch: str):
    kind, options = FORMATS[table.suffix.removesuffix(".gz")]
    if kind == "csv":  # it has no types: a text that reads 007 stays it
        options = {**options, "features": datasets.Features(dict.fromkeys(_header(table), datasets.Value("string")))}
    files = {"train": [glob.escape(str(file)) for file in table.files]}
    return datasets.load_dataset(kind, data_files=files, split="train", streaming=True, cache_dir=scratch, **options)


def _header(table: Table) -> list[str]:
    """Return the columns of a CSV; a first row that is longer would silently shift all cells by one column.

    A stray quote would silently make one text of several rows.
    """
    for file in table.files:
        _check_quotes(file, table)
    options = FORMATS[table.suffix.removesuffix(".gz")][1]
    heads = [pd.read_csv(file, nrows=5, dtype=str, **options) for file in table.files]
    if any(not isinstance(head.index, pd.RangeIndex) for head in heads):
        raise UserError(f"{table.where}: its rows have more cells than its first line; put texts with commas in quotes")
    return list(heads[0].columns)


def _check_quotes(file: Path, table: Table) -> None:
    """Refuse a CSV in which a quote that opens a text does not close it, but stands in it, or is never closed."""
    csv.field_size_limit(sys.maxsize)
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8-sig", newline="") as lines:
        rows, row = csv.reader(lines, delimiter=FORMATS[table.suffix.removesuffix(".gz")][1]["sep"], strict=True), 0
        try:
            for row, _ in enumerate(rows, start=1):  # the first one holds the columns' names
                pass
        except csv.Error:
            raise UserError(f"{table.where}: row {row}: a quote opens a text and does not close it; double the quotes within it") from None


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
    if found[0].is_dir():
        return _saved(found[0], where) if (found[0] / STATE_FILE).is_file() else _one_table(_tables_in(found[0]), where)
    return Table(where, _suffix(found[0]), (found[0],))


def _parts(folder: Path, where: str) -> Table:
    """Return a folder's only table; files whose names differ in more than a number may be several tables."""
    files = _tables_in(folder)
    if not files:
        raise UserError(f"{where}: there is no {_any_of('train')}")
    if len({re.sub(r"\d+", "#", file.name) for file in files}) > 1 and not all(file.name.startswith("part-") for file in files):
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
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name.endswith(SUFFIXES) and p.name[0] not in "._")


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


@contextlib.contextmanager
def _quiet(datasets) -> Iterator[None]:
    """Keep the library from logging what is said in one line."""
    before = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL + 1)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before)


def _first_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]
