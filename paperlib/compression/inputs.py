"""Turn a model and a table of a person's own into the parameters of a study."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoConfig

from paperlib import params as parameters
from paperlib.common.errors import UserError
from paperlib.common.files import in_one_piece
from paperlib.common.places import ROOT
from paperlib.data import sources
from paperlib.evidence import transfer_file
from paperlib.evidence.transfer_file import Stored
from paperlib.params import Params

SHARES = (0.8, 0.2)  # of the training split, for training and validation, when it holds less than the profile asks
UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls a class without a name
HEADLESS = ("random-bert", "all-MiniLM-L6-v2")  # encoders of the profiles
LATENT = "compress"  # folder of what was made on the way
TABLES = "tables"  # in it


@dataclass(frozen=True)
class Inputs:
    """The study of a model on data, the fuser that a study of other data has saved, and lines that a person should read."""

    params: Params
    fuser: Stored | None
    remarks: list[str]


def inputs_of(model: str | Path, data: str | Path, profile: str, seed: int, settings: str | dict) -> Inputs:
    """Return the checked parameters: `data` is a dataset of params/datasets or any table, `model` a folder or hub id.

    A model that is a classifier of these very classes is taken as fine-tuned. Raises UserError in one line.
    """
    named = str(data) in parameters.names("dataset")
    study = parameters.load(profile, str(data) if named else parameters.DATASETS[0], seed, settings)
    usual = study.replace(model=_model(model) if model else study.model, selection_split="validation")
    if named:
        params, remarks = usual, []
        if params.output_dir != parameters.load(profile).output_dir:  # beside the studies there, not among them
            params = params.replace(output_dir=str(Path(params.output_dir) / LATENT))
    else:
        params, remarks = _of_table(_there(data), usual, settings)
    params, head = _head(params)
    fuser, found = _fuser([study.profile_dir, study.default_dir], params.dataset)
    return Inputs(params, fuser, [*remarks, *head, *found])


def _of_table(path: Path, usual: Params, settings: str | dict) -> tuple[Params, list[str]]:
    """Read a table, keep it split and numbered in the cache, and fit the sizes of the subsets to it.

    The study has a folder of its own there, for this path and model: other tables may have the same name.
    """
    own = parameters.parse_settings(settings) if isinstance(settings, str) else settings
    fields = {"text_fields": own.get("text_fields", ["text"]), "label_field": own.get("label_field", "label")}
    shares = usual.test_size / (usual.train_size + usual.validation_size + usual.test_size)
    frames, names, remarks = sources.read_table(path, **fields, class_names=own.get("class_names", ()), test_share=shares)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.name.split(".")[0]).strip("-._")[:40]
    name = f"table-{name}".strip("-") if name in ("", *parameters.RESERVED) else name
    folder = usual.cache_path / LATENT / hashlib.sha256(f"{path} {usual.model}".encode()).hexdigest()[:12]
    for split, frame in frames.items():
        if not all(name.isdigit() for name in names):  # by name, so that a model's own order of classes can be taken
            frame = frame.assign(label=frame["label"].map(dict(enumerate(names))))
        with in_one_piece(folder / TABLES / name / f"{split}.parquet") as partial:
            frame.to_parquet(partial, index=False)
    sizes = _sizes(frames, usual)
    if sizes["train_size"] < usual.train_size:
        remarks = [*remarks, f"{path.name}: {sum(sizes.values())} texts in all: {_listed(sizes)}"]
    table = {"dataset": name, "data_source": "data_dir", "data_dir": str(folder / TABLES), "class_names": names, "hub_id": "",
             "text_fields": ["text"], "label_field": "label", "output_dir": str(folder)}  # fmt: skip
    return usual.replace(**table, **sizes, signal_size=min(usual.signal_size, sizes["train_size"])), remarks


def _sizes(frames: dict, usual: Params) -> dict[str, int]:
    """Return the sizes of the subsets: the profile's, or less where the table has fewer distinct texts."""
    test = frames["test"].drop_duplicates("text")
    there = frames["train"].drop_duplicates("text")
    there = len(there[~there["text"].isin(set(test["text"]))])
    if there >= usual.train_size + usual.validation_size:
        sizes = {"train_size": usual.train_size, "validation_size": usual.validation_size}
    else:
        validation = min(usual.validation_size, round(SHARES[1] * there))
        sizes = {"train_size": min(usual.train_size, there - validation), "validation_size": validation}
    sizes["test_size"] = min(usual.test_size, len(test))
    if min(sizes.values()) < 2:
        raise UserError(f"the table has too few texts: {_listed(sizes)}")
    return sizes


def _head(params: Params) -> tuple[Params, list[str]]:
    """Say whether the model's own head fits the data's classes; then its order of classes is the data's."""
    own = _own_classes(params)
    if not own:
        return params, []
    _, names = sources.read(params)
    numbers = all(name.isdigit() for name in names)
    fits = set(names) <= set(own) if not numbers else len(names) <= len(own)
    if not fits:
        what = "without names" if all(map(UNNAMED.fullmatch, own)) else f"({', '.join(own[:4])}, ...)"
        return params, [f"the model's own head has {len(own)} classes {what}: not those of the data, so a new one is trained"]
    ordered = params.replace(class_names=own, fine_tuned=True)
    return ordered, ["the model is a classifier of these classes: its head is kept, and the original is not trained"]


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


def _own_classes(params: Params) -> list[str]:
    """Return the classes of the head that a model has, [] when it has none."""
    if params.model in HEADLESS:
        return []
    folder = ROOT / Path(params.model).expanduser()
    try:
        config = AutoConfig.from_pretrained(folder if folder.is_dir() else params.model, revision=params.model_revision, trust_remote_code=False)
    except Exception:  # no such model, which loading it says better; or one that is made here
        return []
    if not any("ForSequenceClassification" in name for name in config.architectures or []):
        return []
    return [str(config.id2label[i]) for i in range(config.num_labels)]


def _there(data: str | Path) -> Path:
    """Return the path of a table: relative to where one stands, or to the project."""
    path = Path(data).expanduser()
    found = [place for place in (Path.cwd() / path, ROOT / path) if place.exists()]
    if not found:
        raise UserError(f"DATA: there is no file or folder {data}, nor a dataset of that name ({', '.join(parameters.names('dataset'))})")
    return found[0].resolve()


def _model(model: str | Path) -> str:
    path = Path.cwd() / Path(model).expanduser()
    return str(path.resolve()) if path.is_dir() else str(model)


def _listed(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sizes.items())
