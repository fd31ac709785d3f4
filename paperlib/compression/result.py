"""What a compression ends with: a folder that plain transformers loads, a table and a picture."""

import contextlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from paperlib.common import places
from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_text, bring_back, put, sha256_file, sha256_folder
from paperlib.common.places import ROOT
from paperlib.compression import card, tradeoff
from paperlib.evidence import provenance
from paperlib.figures import drawing
from paperlib.nodes.fingerprint import resolved
from paperlib.params import Params

METRICS, MAKER = "metrics.json", "paperlib compress"
LEFT_OUT = shutil.ignore_patterns(".*")


@dataclass(frozen=True)
class Result:
    """A compressed classifier; `folder` is where it was made, `save` takes it away."""

    folder: Path
    sha256: str  # of the folder as it was made
    table: pd.DataFrame  # one row for each form of each model, index `model`
    params: Params
    about: dict

    @property
    def sentence(self) -> str:
        """What removing layers buys beyond quantising, and the other way round."""
        return tradeoff.sentence(self.table)

    def plot(self) -> Figure:
        """Draw the trade-off."""
        return tradeoff.plot(self.table)

    def save(self, folder: Path | str) -> Path:
        """Write the model, its card, metrics and trade-off into a folder, whole or not at all; return it.

        Raises UserError when the folder holds something else, what was made of another model or of other texts too, or
        cannot be written, or the model is no longer there.
        """
        target = check_target(Path(folder))
        check_same(target, self.params, self.about["made_of"])
        if sha256_folder(self.folder) != self.sha256:
            raise UserError("this model was removed or made anew since by another run: compress it again")
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            shutil.copytree(self.folder, partial, ignore=LEFT_OUT)
            self._write_beside(partial, target.name)
            for path in (path for path in partial.rglob("*") if path.is_file()):
                shutil.copymode(partial / METRICS, path)  # weights are saved as private files; these are for sharing
            put(partial, target)
        except OSError as error:
            raise UserError(f"OUT: {target.name} cannot be written ({error.strerror or error})") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target

    def _write_beside(self, folder: Path, name: str) -> None:
        atomic_write_text(folder / "README.md", card.write(self.table, self.params, self.about, name))
        atomic_write_text(folder / "tradeoff.csv", self.table.to_csv())
        alt = f"Test accuracy against latency, size and memory. {self.sentence}"
        drawing.save(self.plot(), folder, "tradeoff", alt, banner=provenance.banner(self.params))
        files = {path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}
        rows = json.loads(self.table.reset_index().to_json(orient="records"))
        run = json.loads(json.dumps(provenance.collect(self.params, computed=resolved(self.params)), default=str))
        record = {"made_by": MAKER, **self.about, "sentence": self.sentence, "rows": rows, "files": files, "run": run}
        atomic_write_text(folder / METRICS, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def check_target(folder: Path) -> Path:
    """Return a folder as an absolute path, with what a run that was killed had moved aside there put back.

    Raises UserError when it holds something that we did not write, or cannot be written.
    """
    try:
        text = places.path_text(str(folder))
        target = (Path.cwd() / text).resolve()
        places.check_own_folder(str(target), ROOT)
    except ValueError as error:
        raise UserError(f"OUT: {error}") from None
    with contextlib.suppress(OSError):  # said below, where it cannot be written
        bring_back(target)
    if target.exists() and not _is_ours(target):
        raise UserError(f"OUT: {target.name} is there already and holds what was not written by this command, or was changed since: name another folder")
    try:
        with tempfile.TemporaryDirectory(dir=next(parent for parent in target.parents if parent.exists())):
            return target
    except OSError as error:
        raise UserError(f"OUT: {target.name} cannot be written ({error.strerror or error})") from None


def check_apart(target: Path, read: Path | str, what: str) -> None:
    """Raise UserError when what is read, a model or data, would be written over."""
    try:
        path = (Path.cwd() / places.path_text(str(read))).resolve()
    except ValueError:  # said by who reads it
        return
    if str(read) and path.exists() and path.is_relative_to(target):
        raise UserError(f"OUT: {target.name} is or holds what {what} names: name another folder")


def check_same(target: Path, params: Params, made_of: dict[str, str]) -> None:
    """Raise UserError when a folder holds what was made of another model or of other texts, by their names or by their content."""
    if not (target / METRICS).exists():
        return
    record = json.loads((target / METRICS).read_text(encoding="utf-8"))
    was = record["run"]["parameters"]
    model, advice = Path(was["model"]).name, "name another folder, or remove it"
    if (was["model"], was["dataset"]) != (provenance.scrub(params.model), params.dataset):
        raise UserError(f"OUT: {target.name} holds what was made of {model} for {was['dataset']}: {advice}")
    before = record.get("made_of", made_of)  # an older one says nothing of content
    if before["model"] != made_of["model"]:
        raise UserError(f"OUT: {target.name} holds what was made of another model called {model}: {advice}")
    if before["texts"] != made_of["texts"]:
        raise UserError(f"OUT: {target.name} holds what was made for other texts called {was['dataset']}: {advice}")


def _is_ours(folder: Path) -> bool:
    """Say whether a folder is empty, or holds what we wrote, as we wrote it, and nothing else."""
    if not folder.is_dir():
        return False
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    try:
        record = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        return record["made_by"] == MAKER and all(name == METRICS or sha256_file(path) == record["files"][name] for name, path in there.items())
    except (OSError, ValueError, KeyError, TypeError):
        return not any(folder.iterdir())
