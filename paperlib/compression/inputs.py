"""Turn a model and a table of a person's own into the parameters of a study."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PretrainedConfig

from paperlib import params as parameters
from paperlib.common import refusals
from paperlib.common.errors import UserError, is_full
from paperlib.common.files import in_one_piece
from paperlib.common.places import ROOT, path_text
from paperlib.data import pretrained, sources
from paperlib.evidence import transfer_file
from paperlib.evidence.transfer_file import Stored
from paperlib.model import checkpoint, encoder
from paperlib.nodes import fingerprint
from paperlib.params import Params

SHARES = (0.8, 0.2)  # of the training split, for training and validation, when it holds less than the profile asks
LATENT = "compress"  # folder of what was made on the way
TABLES = "tables"  # in it
OF_A_DATASET = ("data_source", "data_dir", "hub_id", "hub_config", "hub_revision", "hub_slices")  # parameters that say where one is


@dataclass(frozen=True)
class Inputs:
    """The study of a model on data, the fuser that a study of other data has saved, and lines that a person should read."""

    params: Params
    fuser: Stored | None
    remarks: list[str]
    taken: bool  # as a classifier of these classes that needs no training, though nobody said so
    made_of: dict[str, str]  # SHA-256 of the model and of the texts, wherever they lie and whatever they are called


def inputs_of(model: str | Path, data: str | Path, profile: str, seed: int, settings: str | dict) -> Inputs:
    """Return the checked parameters: `data` is a dataset of params/datasets or any table, `model` a folder or hub id.

    A model that is a classifier of these very classes is taken as fine-tuned, unless `fine_tuned` says otherwise. Raises
    UserError in one line, for what is said twice and differs, or cannot be obeyed, too.
    """
    own = parameters.parse_settings(settings) if isinstance(settings, str) else settings
    named = str(data) in parameters.names("dataset")
    study = parameters.load(profile, str(data) if named else parameters.DATASETS[0], seed, settings)
    _check_obeyed(model, data, seed, own, study)
    usual = study.replace(model=_model(model) if model else study.model, selection_split="validation")
    if named:
        params, remarks = usual, []
        if params.output_dir != parameters.load(profile).output_dir:  # beside the studies there, not among them
            params = params.replace(output_dir=str(Path(params.output_dir) / LATENT))
        frames, names = sources.read(params)
    else:
        path = _there(data)
        frames, names, remarks = _table(path, usual, own)
        params, said = _of_table(_name_of(path), frames, names, str(path), usual)
        remarks = [*remarks, *said]
    texts = _of_texts(sources.by_name(frames, names))
    params, head = _with_head(params, own, frames, names, numbered=named)
    made_of = {"model": _digest("\n".join(_identity(params)).encode()), "texts": texts}
    fuser, found = _fuser([study.profile_dir, study.default_dir], params.dataset)
    return Inputs(params, fuser, [*remarks, *head, *found], params.fine_tuned and not study.fine_tuned, made_of)


def _check_obeyed(model: str | Path, data: str | Path, seed: int, own: dict, study: Params) -> None:
    """Raise UserError for settings that say otherwise than what is given beside them, or are not looked at.

    A seed of 0 is what is given where nobody says one.
    """
    if own.get("selection_split", "validation") != "validation":
        raise UserError("selection_split: a model to keep is chosen by validation texts, lest the test texts flatter it")
    if model and "model" in own and _model(model) not in (study.model, str((ROOT / study.model).resolve())):
        raise UserError(f"MODEL and SET name two models, {refusals.quoted(str(model))} and {refusals.quoted(study.model)}: name one")
    if seed and study.seed != seed:
        raise UserError(f"SEEDS and SET give two seeds, {seed} and {study.seed}: give one")
    if str(data) not in parameters.names("dataset"):
        if unread := [name for name in OF_A_DATASET if name in own]:
            raise UserError(f"{unread[0]}: says where a dataset of params/datasets is, and DATA is a table of your own: leave it out")
    elif not study.data_dir and (Path.cwd() / data).exists():
        raise UserError(f"DATA: {data} is a dataset of params/datasets/, and here it is a file or folder: write ./{data} for that, or call it otherwise")


def _table(path: Path, usual: Params, own: dict) -> sources.Reading:
    """Read a table of a person's own, by the columns and class names of the settings."""
    fields = {"text_fields": own.get("text_fields", ["text"]), "label_field": own.get("label_field", "label")}
    shares = usual.test_size / (usual.train_size + usual.validation_size + usual.test_size)
    return sources.read_table(path, **fields, class_names=own.get("class_names", ()), test_share=shares)


def _name_of(path: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.name.split(".")[0]).strip("-._")[:40]
    return f"table-{name}".strip("-") if name in ("", *parameters.RESERVED) else name


def _of_table(name: str, frames: sources.Frames, names: list[str], origin: str, usual: Params) -> tuple[Params, list[str]]:
    """Keep rows split and with their classes by name in the cache, and fit the sizes of the subsets to them.

    By name, as a number means one class to the data and may mean another to a model. The study has a folder of its own
    there, for these rows, where they are from, and the model: nothing that another run still reads is written over. Where
    `output_dir` is given, it is there instead.
    """
    frames = sources.by_name(frames, names)
    digest = hashlib.sha256(f"{origin} {usual.model}".encode())
    for frame in frames.values():
        digest.update(pd.util.hash_pandas_object(frame[["text", "label"]], index=False).to_numpy().tobytes())
    place = usual.cache_path if usual.output_dir == parameters.load(usual.profile).output_dir else ROOT / usual.output_dir
    folder = place / LATENT / digest.hexdigest()[:12]
    for split, frame in frames.items():
        path = folder / TABLES / name / f"{split}.parquet"
        if not path.exists():
            try:
                with in_one_piece(path) as partial:
                    frame.to_parquet(partial, index=False)
            except OSError as error:
                if is_full(error):
                    raise
                raise UserError(f"{place.name}: the folder cannot be written ({error.strerror})") from None
    sizes = _sizes(frames, usual)
    remarks = [f"{name}: {sum(sizes.values())} texts in all: {_in_words(sizes)}"] * any(sizes[each] < getattr(usual, each) for each in sizes)
    table = {"dataset": name, "data_source": "data_dir", "data_dir": str(folder / TABLES), "class_names": names, "hub_id": "",
             "text_fields": ["text"], "label_field": "label", "output_dir": str(folder)}  # fmt: skip
    return usual.replace(**table, **sizes, signal_size=min(usual.signal_size, sizes[f"{usual.signal_split}_size"])), remarks


def _of_texts(frames: sources.Frames) -> str:
    """Return the SHA-256 of all texts and their classes, in whichever order and split they are."""
    rows = pd.concat(frames.values())[["text", "label"]]
    return _digest(np.sort(pd.util.hash_pandas_object(rows, index=False).to_numpy()).tobytes())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sizes(frames: dict, usual: Params) -> dict[str, int]:
    """Return the sizes of the subsets: the profile's, or less where the table has fewer distinct texts."""
    test = frames["test"].drop_duplicates("text")
    there = frames["train"].drop_duplicates("text")
    there = len(there[~there["text"].isin(set(test["text"]))])
    if there >= usual.train_size + usual.validation_size:
        sizes = {"train_size": usual.train_size, "validation_size": usual.validation_size}
    else:
        validation = min(usual.validation_size, max(round(SHARES[1] * there), there - usual.train_size))
        sizes = {"train_size": min(usual.train_size, there - validation), "validation_size": validation}
    sizes["test_size"] = min(usual.test_size, len(test))
    if min(sizes.values()) < 2:
        raise UserError(f"the table has too few texts: {_in_words(sizes)}")
    return sizes


def _with_head(params: Params, own: dict, frames: sources.Frames, names: list[str], numbered: bool) -> tuple[Params, list[str]]:
    """Say whether the model's own head fits the data's classes; then its order of classes is taken, each by its name.

    Numbers fit a head whose classes have other names, or none, only where they are all that count its outputs from 0. A
    head that fits is taken as it is, unless the settings, `own`, say that it is to be trained.
    `numbered`: the rows as they are read may hold classes by number, in the order of `names`.
    """
    config, asked = _own_config(params), own.get("fine_tuned")
    classes = checkpoint.classes_of(config)
    if not classes:
        return params, []
    if not checkpoint.is_of_one_label(config):
        why = f"the model's own head is for {config.problem_type}, and here a text has one label: the original is trained for that"
        return params, [] if asked else [why]
    by_name = set(names) <= set(classes)
    counted = not by_name and names == [str(number) for number in range(len(classes))] and asked is not False
    if not (by_name or counted):
        return params, [] if asked else [_why_another(classes, names, asked)]
    said = "the model is a classifier of these classes: its head is kept, and the original is not trained"
    if counted:
        said = f"the labels count the {len(classes)} outputs of the model's own head from 0: it is kept, and the original is not trained"
    elif classes != names and numbered:
        params, _ = _of_table(params.dataset, frames, names, params.dataset, params)
    if asked is False:
        return params.replace(class_names=classes), ["the model is a classifier of these classes: it is trained further, as fine_tuned=false asks"]
    seen = "texts that it was trained on, if any are among those to test with, flatter it"
    return params.replace(class_names=classes, fine_tuned=True), [said, seen]


def _why_another(classes: list[str], names: list[str], asked: bool | None) -> str:
    """Say of a model's own head why it is not kept, and what becomes of it."""
    if checkpoint.is_named(classes):
        why = "a new one is asked for (fine_tuned=false)" if asked is False else "not those of the data"
        return f"the model's own head has {len(classes)} classes ({', '.join(classes[:4])}{', ...' * (len(classes) > 4)}): {why}, so a new one is trained"
    end = "a new one is trained" if len(classes) != len(names) else "it is trained further, as for these"
    return f"the model's own head has {len(classes)} classes without names: nothing says that they are those of the data, so {end}"


def _fuser(folders: list[Path], dataset: str) -> tuple[Stored | None, list[str]]:
    """Read the fuser that a study left in one of the folders, unless it has seen the test texts of this very dataset."""
    path = next(filter(Path.exists, (folder / transfer_file.FILE for folder in folders)), None)
    if path is None:
        return None, []
    stored = transfer_file.load(path)
    seen = sorted({unit.rsplit(" ", 1)[0] for unit in stored.origin["units"]})
    if dataset in seen:
        return None, [f"{path.name}: fitted on {dataset}'s own test texts, so its order is not walked"]
    return stored, [f"{path.name}: a fuser fitted on {', '.join(seen)}; its order is walked too"]


def _identity(params: Params) -> list[str]:
    """Return what identifies a model: the hub's, which is there by now, by its commit."""
    return [*fingerprint.of_model(params), params.model_revision, *filter(None, [pretrained.commit(params)])]


def _own_config(params: Params) -> PretrainedConfig:
    try:
        return encoder.own_config(params)
    except UserError:  # no such model, which loading it says better
        return PretrainedConfig()


def _there(data: str | Path) -> Path:
    """Return the path of a table: relative to where one stands, or to the project."""
    path = _path(data, "DATA")
    found = [place for place in (Path.cwd() / path, ROOT / path) if place.exists()]
    if not found:
        raise UserError(f"DATA: there is no file or folder {data}, nor a dataset of that name ({', '.join(parameters.names('dataset'))})")
    return found[0].resolve()


def _model(model: str | Path) -> str:
    path = Path.cwd() / _path(model, "MODEL")
    return str(path.resolve()) if path.is_dir() else str(model)


def _path(text: str | Path, what: str) -> Path:
    try:
        return Path(path_text(str(text)))
    except ValueError as error:
        raise UserError(f"{what}: {str(text)[:60]} {error}") from None


def _in_words(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sizes.items())
