"""Keep node records on disk, whole or not at all, and their weights in a cache of limited size."""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from paperlib.errors import UserError
from paperlib.files import atomic_write_json
from paperlib.node import Node, Removed, label

STUDY_FILE = "study.json"  # says to which study the records beside it belong
ORIGINAL = "original"  # file name of the node from which nothing is removed


class Store:
    """The records and weights of one study.

    Records live in `folder` (nodes/*.json). When a folder holds the records of another study (other parameters, data
    or computing code), they are moved aside to nodes-<fingerprint>, and moved back when that study is opened again.
    """

    def __init__(self, folder: Path, weights: Path, fingerprint: str, limit_gb: float):
        self.folder, self.weights, self.fingerprint = folder, weights / fingerprint[:16], fingerprint
        self.limit_bytes = limit_gb * 1e9

    def claim(self) -> None:
        """Make `folder` hold this study's records, moving those of another study aside."""
        owner = self._owner()
        if owner == self.fingerprint:
            return
        try:
            if self.folder.exists():
                self.folder.replace(_aside(self.folder, owner or "unknown"))
            if _aside(self.folder, self.fingerprint).exists():
                _aside(self.folder, self.fingerprint).replace(self.folder)
        except OSError as error:
            raise UserError(f"{self.folder.name}: older records cannot be moved aside ({error.strerror})") from None
        atomic_write_json(self.folder / STUDY_FILE, {"fingerprint": self.fingerprint})

    def read(self, removed: Removed) -> Node | None:
        """Return a node, or None when it is absent, damaged or of another study: it is then computed again."""
        try:
            record = json.loads(self._record_path(removed).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        sound = isinstance(record, dict) and record.get("sha256") == _checksum(record)
        return Node(record) if sound and record["fingerprint"] == self.fingerprint else None

    def labels(self) -> list[str]:
        """List the labels of the records present, sound or not; "" is the original model."""
        names = [path.stem for path in self.folder.glob("*.json") if path.name != STUDY_FILE]
        return ["" if name == ORIGINAL else name for name in names]

    def write(self, record: dict) -> Node:
        """Write a record with its study's fingerprint and a checksum; return the node."""
        record = {**record, "fingerprint": self.fingerprint}
        record["sha256"] = _checksum(record)
        name = record["removed"] or ORIGINAL
        atomic_write_json(self.folder / f"{name}.json", record)
        return Node(record)

    def load_weights(self, removed: Removed) -> dict[str, torch.Tensor] | None:
        """Return a node's state dictionary and mark it as used, or None when it was evicted or is damaged."""
        path = self._weights_path(removed)
        try:
            state = load_file(path)
            os.utime(path)
        except (OSError, SafetensorError):
            path.unlink(missing_ok=True)
            return None
        return state

    def has_weights(self, removed: Removed) -> bool:
        """Say whether a node's weights are in the cache."""
        return self._weights_path(removed).exists()

    def save_weights(self, removed: Removed, state: dict[str, torch.Tensor]) -> None:
        """Write a node's state dictionary, whole or not at all."""
        path = self._weights_path(removed)
        partial = path.with_suffix(f".partial-{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, partial)
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise UserError(f"weights cannot be written to the cache: {error}") from None

    def evict(self, keep: set[Removed]) -> None:
        """Delete the weights that were not used for longest until the cache is within its limit; spare `keep`."""
        spared = {self._weights_path(removed) for removed in keep}
        files = sorted(self.weights.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
        held = sum(path.stat().st_size for path in files)
        for path in files:
            if held <= self.limit_bytes:
                return
            if path not in spared:
                held -= path.stat().st_size
                path.unlink()

    def _owner(self) -> str | None:
        try:
            return json.loads((self.folder / STUDY_FILE).read_text(encoding="utf-8"))["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _record_path(self, removed: Removed) -> Path:
        return self.folder / f"{label(removed) or ORIGINAL}.json"

    def _weights_path(self, removed: Removed) -> Path:
        return self.weights / f"{label(removed) or ORIGINAL}.safetensors"


def _aside(folder: Path, fingerprint: str) -> Path:
    return folder.with_name(f"{folder.name}-{fingerprint[:16]}")


def _checksum(record: dict) -> str:
    content = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
