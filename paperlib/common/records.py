"""Records: JSON files sealed with a checksum, so that one that was changed or cut short is never read as a result."""

import hashlib
import json
import re
from pathlib import Path

SEAL = "sha256"  # the entry of a record that holds the checksum of all others
STUDY_FILE = "study.json"  # says to which study the node records beside it belong
ORIGINAL = "original"  # name of the record of the node from which nothing is removed
ROUND = r"(none|\d+(\+\d+)*)"  # a layer, none, or several at once
LABEL = re.compile(rf"{ROUND}(-{ROUND})*")  # name of the record of any other node


def seal(record: dict) -> dict:
    """Return a record with the checksum of its content as its last entry."""
    content = {key: value for key, value in record.items() if key != SEAL}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {**content, SEAL: digest}


def read_sealed(path: Path) -> dict | None:
    """Read a sealed record; None when it is absent, cut short or changed in any way."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get(SEAL) == seal(record)[SEAL] else None


def harmed_records(folder: Path) -> list[Path]:
    """List the node records in a folder that were changed or cut short since they were written."""
    own = [path for path in sorted(folder.glob("*.json")) if path.name == STUDY_FILE or is_node(path.stem)]
    return [path for path in own if read_sealed(path) is None]


def is_node(name: str) -> bool:
    """Say whether a file of this name, without suffix, holds a node's record."""
    return name == ORIGINAL or LABEL.fullmatch(name) is not None


def is_of_commit(record: dict, commit: str) -> bool:
    """Say whether a record is of this commit of a hub's model; where either says nothing, nothing speaks against it.

    A fingerprint knows such a model by its name alone, so that results can be read where the model is not held.
    """
    return not commit or record.get("model_commit", "") in ("", commit)
