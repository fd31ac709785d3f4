"""Find the tables of a file or a folder, and whatever else there looks like one."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from paperlib.common.errors import UserError, words_of

SPLITS = ("train", "test")
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
        raise UserError(f"{where}/{path.name}: cannot be read ({words_of(error)})") from None


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise UserError(f"{path.name}: not one of the formats that are read: {', '.join(SUFFIXES)}, or a folder of save_to_disk")


def _any_of(split: str) -> str:
    return f"{split}.parquet or {split}.csv, nor one of another format ({', '.join(SUFFIXES[2:])})"
