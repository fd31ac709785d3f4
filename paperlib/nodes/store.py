"""Keep the records of a study's nodes on disk, whole or not at all."""

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path

from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_json
from paperlib.common.messages import count
from paperlib.common.records import ORIGINAL, STUDY_FILE, is_node, is_of_commit, read_sealed, seal
from paperlib.data import pretrained
from paperlib.nodes.fingerprint import of_measuring, of_study, of_training
from paperlib.nodes.node import Node, Removed, label, parse_label
from paperlib.nodes.weights import Weights
from paperlib.params import EXPERIMENTS, Params

MEASURED = {"signals", "block_influence"}  # parts of a record that the parameters of measuring change
KNOWN_SIGNALS = "known_signals"  # part of a record: the signals that another study of the same model measured alike


class Store:
    """The records of one study, and the cache of its weights.

    Records live in `folder` (nodes/*.json). When a folder holds the records of another study (other parameters, data
    or computing code), they are moved aside to nodes-<fingerprint>, and moved back when that study is opened again.

    `training` is the fingerprint of the fine-tunes alone: studies that measure other signals of the same models share
    their weights, and everything else that was recorded in one of the folders that `beside` returns.

    `commit` returns the commit of a model of the hub that this computer holds, "" of any other model. A fingerprint knows
    such a model by its name alone, so that records can be read where it is not held: one study is of one commit.
    """

    def __init__(
        self, folder: Path, weights: Path, fingerprint: str, limit_gb: float, training: str = "",
        measuring: dict[str, str] | None = None, beside: Callable[[], Sequence[Path]] = tuple, commit: Callable[[], str] = str
    ):  # fmt: skip
        self.folder, self.fingerprint, self.training = folder, fingerprint, training or fingerprint
        self._all_weights, self.weights = weights, Weights(self._weights_folder, limit_gb)
        self._ask, self._known_commit, self._compared = commit, commit(), False
        self.measuring = measuring or {}  # by what each signal is measured (fingerprint.of_measuring)
        self._beside = beside  # asked when it is wanted: records are moved aside meanwhile

    @property
    def commit(self) -> str:
        """Commit of a hub's model: the one that was there first, "" until one is."""
        self._known_commit = self._known_commit or self._ask()
        return self._known_commit

    def claim(self) -> None:
        """Make `folder` hold this study's records, moving those of another study aside.

        Raises UserError where they are of another commit of the model than the one that this computer holds.
        """
        owner = self._owner()
        if owner != self.fingerprint:
            self._make_way(owner)
        self._check_commit(self.commit)
        if _study_in(self.folder).get("fingerprint") != self.fingerprint:
            atomic_write_json(self.folder / STUDY_FILE, seal(self._stamps() | {"measuring": self.measuring}))

    def read(self, removed: Removed) -> Node | None:
        """Return a node, or None when it is absent or of another study, or damaged and thus deleted: it is computed again."""
        path = self._record_path(removed)
        record = read_sealed(path)
        if record is None and path.exists() and (record := read_sealed(path)) is None:  # it may have been written just now
            warnings.warn(f"nodes/{path.name} was changed or cut short: computed again", stacklevel=2)
            path.unlink(missing_ok=True)
        if record is None:
            return None
        return self._own(record, removed)

    def adopt(self, removed: Removed) -> Node | None:
        """Return a node; where only another study trained the same model, take over all it recorded but what it measured otherwise."""
        if (node := self.read(removed)) is not None:
            return node
        found = self._elsewhere(removed)
        return self.write(found) if found else None

    def look(self, removed: Removed) -> Node | None:
        """Return a node as `adopt` does, but claim, write and delete nothing: for who only looks."""
        if (node := self._own(read_sealed(self._record_path(removed)) or {}, removed)) is not None:
            return node
        found = self._elsewhere(removed)
        return Node(found) if found else None

    def _own(self, record: dict, removed: Removed) -> Node | None:
        """Return the node of a record, None where it is another study's or another node's."""
        wanted = (self.fingerprint, label(removed))
        return Node(record) if (record.get("fingerprint"), record.get("removed")) == wanted else None

    def _elsewhere(self, removed: Removed) -> dict:
        """Return what other studies recorded of the same model, but what they measured otherwise; {} where none trained it."""
        found = {}
        for folder, measuring in self.relatives.items():
            record = read_sealed(folder / self._record_path(removed).name) or {}
            if (record.get("training"), record.get("removed")) == (self.training, label(removed)) and is_of_commit(record, self.commit):
                if record["fingerprint"] == self.fingerprint:
                    return record
                found = _together(found, self._measured_alike(record, measuring))
        return found

    def _measured_alike(self, record: dict, measuring: dict[str, str]) -> dict:
        """Return another study's record of the same model without the measurements that this one makes in another way."""
        alike = {name for name, how in self.measuring.items() if measuring.get(name) == how}
        signals = record.get(KNOWN_SIGNALS, {}) | (record.get("signals") or {})
        known = {name: column for name, column in signals.items() if name in alike}
        otherwise = MEASURED - alike - ({"signals"} if known else set())
        kept = {name: part for name, part in record.items() if name not in MEASURED - alike}
        seconds = {name: spent for name, spent in record.get("seconds", {}).items() if name not in otherwise}
        return kept | {KNOWN_SIGNALS: known, "seconds": seconds}

    @cached_property
    def relatives(self) -> dict[Path, dict[str, str]]:
        """Folders of other studies' records of models that were trained as this study's are, and how each measures signals."""
        studies = {folder: _study_in(folder) for folder in self._beside() if folder != self.folder}
        return {folder: study.get("measuring", {}) for folder, study in studies.items() if study.get("training") == self.training}

    def known(self) -> int:
        """Count the models that need not be trained again, here or in a relative."""
        folders = [self.folder] * (_study_in(self.folder).get("training") == self.training) + list(self.relatives)
        paths, now = [path for folder in folders for path in folder.glob("*.json") if is_node(path.stem)], self.commit
        return len({path.name for path in paths if not now or is_of_commit(read_sealed(path) or {}, now)})

    def displaced(self) -> int:
        """Count the records here that `claim` moves aside and that are of no use to this study: their models were trained otherwise."""
        return len(self.labels()) if _study_in(self.folder).get("training", self.training) != self.training else 0

    def labels(self) -> list[str]:
        """List the labels of the records present, sound or not; "" is the original model."""
        names = [path.stem for path in self.folder.glob("*.json")]
        return ["" if name == ORIGINAL else name for name in names if is_node(name)]

    def write(self, record: dict) -> Node:
        """Write a record with its study's fingerprint and a checksum; return the node. Raises UserError as `claim` does."""
        if not self._compared:  # a model may have been fetched since
            self._check_commit(record.get("model_commit", ""))
        if not is_of_commit(record, self.commit):
            raise _of_another(self.commit, record["model_commit"])
        record = seal({**record, **self._stamps()})
        name = record["removed"] or ORIGINAL
        atomic_write_json(self.folder / f"{name}.json", record)
        return Node(record)

    def _check_commit(self, now: str) -> None:
        """Raise UserError where a record here is of another commit of the model than `now`."""
        for name in self.labels() if now else []:
            if not is_of_commit(record := read_sealed(self._record_path(parse_label(name))) or {}, now):
                raise _of_another(record["model_commit"], now)
        self._compared = bool(now)

    def _stamps(self) -> dict[str, str]:
        return {"fingerprint": self.fingerprint, "training": self.training}

    def _owner(self) -> str | None:
        """Return the fingerprint of the study that holds the folder; where the file that says so is damaged, its records do."""
        for path in (self.folder / STUDY_FILE, *sorted(self.folder.glob("*.json"))):
            if (record := read_sealed(path)) and "fingerprint" in record:
                return record["fingerprint"]
        return None

    def _make_way(self, owner: str | None) -> None:
        """Move the owner's records aside, and bring this study's back if they were moved aside before."""
        try:
            if owner is None and self.folder.exists() and not any(self.folder.iterdir()):
                self.folder.rmdir()  # emptied by hand, or left by a kill: nobody's, and in the way of what was moved aside
            if self.folder.exists() and owner is not None:
                self.folder.replace(_aside(self.folder, owner))
            if _aside(self.folder, self.fingerprint).exists() and not self.folder.exists():
                _aside(self.folder, self.fingerprint).replace(self.folder)
        except OSError as error:
            raise UserError(f"{self.folder.name}: older records cannot be moved aside ({error.strerror})") from None

    def _weights_folder(self) -> Path:
        """Return the folder of the weights of all studies that train as this one does."""
        return self._all_weights / "-".join(filter(None, (self.training[:16], self.commit[:16])))

    def _record_path(self, removed: Removed) -> Path:
        return self.folder / f"{label(removed) or ORIGINAL}.json"


def _of_another(was: str, now: str) -> UserError:
    return UserError(f"this study was begun with commit {was[:12]} of its model, and here is {now[:12]}: remove its outputs, or bring that commit back")


def moved_aside(records: int) -> str:
    """Say what becomes of so many records that a study must displace."""
    return f"{count(records, 'record')} of other code, texts, settings or precision will be moved aside, and not be lost"


def store_of(params: Params) -> Store:
    """Return the store of this study."""
    weights, beside = params.cache_path / "weights", partial(_record_folders, params)
    return Store(params.unit_dir / "nodes", weights, of_study(params), params.cache_gb, of_training(params), of_measuring(params), beside,
                 commit=lambda: pretrained.commit(params))  # fmt: skip


def _record_folders(params: Params) -> list[Path]:
    """List where this dataset and seed has records: in the default study, in experiments, and moved aside."""
    unit = params.unit_dir.relative_to(params.profile_dir)
    runs = [params.default_dir, *sorted((params.default_dir.parent / EXPERIMENTS / params.profile).glob("*"))]
    return [folder for run in runs for folder in sorted((run / unit).glob("nodes*"))]


def _study_in(folder: Path) -> dict:
    """Return what the records in a folder are stamped with, and how their signals were measured."""
    return read_sealed(folder / STUDY_FILE) or {}


def _together(first: dict, other: dict) -> dict:
    """Return all that two records of one model hold."""
    both = other | {name: part for name, part in first.items() if part is not None}
    return both | {name: other.get(name, {}) | first.get(name, {}) for name in ("seconds", KNOWN_SIGNALS)}


def _aside(folder: Path, fingerprint: str) -> Path:
    return folder.with_name(f"{folder.name}-{fingerprint[:16]}")
