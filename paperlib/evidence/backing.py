"""Know which models' records a unit's tables rest on, and whether those are there."""

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from paperlib.common.records import ORIGINAL, read_sealed
from paperlib.nodes.node import Removed, label, parse_label

# For each table for which models are computed: by column, the measurement that a record must hold where the column has a
# value. The other tables are made of the same records; epochs.csv is made of other studies', and stands without them.
BACKED: dict[str, dict[str, str]] = {
    "steps": {"validation_accuracy": "validation_correct"},
    "signals": {"layer": "signals"},
    "ablation": {"drop_test": "ablation_test", "drop_validation": "ablation_validation"},
    "randomization": {},
    "subsets": {"accuracy_test": "subsets_test", "accuracy_validation": "subsets_validation"},
    "shapley": {"accuracy_test": "subsets_test", "accuracy_validation": "subsets_validation"},
    "regret": {"accuracy_test": "subsets_test", "accuracy_validation": "subsets_validation", "method": "block_influence"},
}
# These speak of the original model alone: what they call removed are sets of layers that it skips, and no models.
OF_ORIGINAL = {"subsets", "shapley", "regret"}


def records(folder: Path, tables: Iterable[str]) -> dict[Path, set[str]]:
    """Return the records that these unharmed tables of a unit rest on, each with the measurements that it must hold."""
    wanted: dict[Removed, set[str]] = defaultdict(set)
    for table in tables:
        for removed, parts in _rests_on(folder / f"{table}.csv", BACKED.get(table)):
            wanted[removed] |= parts
    return {folder / "nodes" / f"{label(removed) or ORIGINAL}.json": parts for removed, parts in wanted.items()}


def are_there(folder: Path, tables: Iterable[str], study: str | None) -> bool:
    """Say whether all records that these tables rest on are there, sound, of this study, and hold what the tables tell."""
    return all(_holds(path, parts, study) for path, parts in records(folder, tables).items())


def _rests_on(path: Path, columns: dict[str, str] | None) -> Iterable[tuple[Removed, set[str]]]:
    """Yield what the rows of a table rest on; nothing when it is absent, and of an order all models that it went through."""
    if columns is None or not path.exists():
        return
    with open(path, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            removed = () if path.stem in OF_ORIGINAL else parse_label(row["order"] if "order" in row else row["removed"])
            yield removed, {part for column, part in columns.items() if row[column]}
            if "order" in row:
                yield from ((removed[:depth], set()) for depth in range(len(removed)))


def _holds(path: Path, parts: set[str], study: str | None) -> bool:
    record = read_sealed(path) or {}
    return record.get("fingerprint") == study and all(record.get(part) is not None for part in parts)
