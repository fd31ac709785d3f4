"""File formats: whatever holds the same rows is read as the same data, and what is read is fingerprinted."""

import csv
import gzip
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import smoke_params
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paperlib.common.errors import UserError
from paperlib.data import contents, pretrained, sources, splits, subsets, tables
from paperlib.model import encoder
from paperlib.model.device import precision_of
from paperlib.nodes import fingerprint

TEXTS = ["NA", "null", "007", "1e5", "True", 'a "quoted", text', "two\nlines", "naïve", " spaces ", "<b>", "2001-01-01", "x"]
CLASSES = ["b", "a", "c"]


def rows(split):
    return pd.DataFrame({"text": [f"{text}" if split == "train" else f"{text} {split}" for text in TEXTS], "label": CLASSES * 4})


def save(frame, path, part=None):
    """Write a frame in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep={"csv": ",", "tsv": "\t"}[kind])
    else:
        frame.to_json(path, orient="records", lines=kind == "jsonl", force_ascii=False)


def files(suffix):
    def write(folder):
        for split in tables.SPLITS:
            save(rows(split), folder / f"{split}{suffix}")

    return write


def parts(names):
    """Return a writer of each split in two parts, called as `names` says."""

    def write(folder):
        for split in tables.SPLITS:
            for i, part in enumerate((rows(split)[:5], rows(split)[5:])):
                save(part, folder / names.format(split=split, i=i))
            if (folder / split).is_dir() or (folder / f"{split}.parquet").is_dir():
                for beside in ("_SUCCESS", ".part.crc"):  # as Spark does
                    ((folder / names.format(split=split, i=0)).parent / beside).write_text("")

    return write


def saved(folder):
    import datasets

    made = {split: datasets.Dataset.from_pandas(rows(split)) for split in tables.SPLITS}
    datasets.DatasetDict(made).save_to_disk(folder)


FORMATS = {suffix: files(suffix) for suffix in tables.SUFFIXES} | {
    "parts in a folder (Spark)": parts("{split}.parquet/part-0000{i}-ab12.snappy.parquet"),
    "parts in a folder without a suffix": parts("{split}/{i}.csv.gz"),
    "shards (hub)": parts("{split}-0000{i}-of-00002.parquet"),
    "save_to_disk": saved,
}


@pytest.fixture
def quiet(monkeypatch, tmp_path):
    """Let the library's progress bars be still, and the temporary folder be an empty one."""
    import datasets

    datasets.disable_progress_bars()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    yield
    datasets.enable_progress_bars()
    assert not list((tmp_path / "tmp").iterdir()), "nothing may be left behind"


def local(tmp_path, **settings):
    sizes = {"train_size": 6, "validation_size": 4, "test_size": 6, "signal_size": 4, "class_names": []}
    return smoke_params(tmp_path, data_source="data_dir", data_dir=str(tmp_path / "data"), **{**sizes, **settings})


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_rows_are_read_in_every_format(form, quiet, tmp_path):
    FORMATS[form](tmp_path / "data" / "newsgroup")
    read = [sources.read_table(tmp_path / "data" / "newsgroup"), sources.reading(local(tmp_path))]
    for frames, names, remarks in read:
        assert names == ["a", "b", "c"] and remarks == []
        for split, frame in frames.items():
            assert frame["text"].tolist() == rows(split)["text"].tolist()
            assert [names[code] for code in frame["label"]] == rows(split)["label"].tolist()


@pytest.mark.parametrize("form", FORMATS)
def test_every_file_that_is_read_counts_in_the_fingerprint(form, quiet, tmp_path):
    FORMATS[form](tmp_path / "data" / "newsgroup")
    params = local(tmp_path)
    read, before = sources.files_of(params), fingerprint.of_data(params)
    assert len(before) == len(read) == len(set(read)) >= 2
    assert {path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.name.endswith((*tables.SUFFIXES, ".arrow"))} - {
        path for path in read
    } <= {path for path in (tmp_path / "data").rglob("*.json")} - set(read), "all tables are read"
    for path in read:
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        assert fingerprint.of_data(params) != before, path.name
        path.write_bytes(content)
    (tmp_path / "data" / "newsgroup" / "notes.txt").write_text("not read")
    fingerprint._sha256_of.cache_clear()
    assert fingerprint.of_data(params) == before


ONE_TABLE = {
    "newsgroup.csv": lambda folder, frame: save(frame, folder / "newsgroup.csv"),
    "newsgroup.jsonl.gz": lambda folder, frame: save(frame, folder / "newsgroup.jsonl.gz"),
    "newsgroup.parquet": lambda folder, frame: save(frame, folder / "newsgroup.parquet"),
    "newsgroup": lambda folder, frame: [save(frame[i::3], folder / "newsgroup" / f"part-{i}.csv") for i in range(3)],
}


@pytest.mark.parametrize("name", ONE_TABLE)
def test_a_table_without_a_test_split_has_one_drawn(name, quiet, tmp_path):
    frame = pd.DataFrame({"text": [f"text {i % 90}" for i in range(100)], "label": (["a"] * 6 + ["b"] * 3 + ["c"]) * 10})
    ONE_TABLE[name](tmp_path / "data", frame)
    drawn, names, remarks = sources.read_table(tmp_path / "data" / name)
    assert remarks == [f"{name}: has no test split; 18 of its 90 distinct texts are drawn for it, the same at these sizes"]
    assert {split: len(frame) for split, frame in drawn.items()} == {"train": 72, "test": 18}
    assert not set(drawn["train"]["text"]) & set(drawn["test"]["text"])
    shares = drawn["test"]["label"].value_counts()
    assert names == ["a", "b", "c"] and abs(shares - 18 * pd.Series([0.6, 0.3, 0.1])).max() < 1
    again = sources.read_table(tmp_path / "data" / name).frames
    assert all(again[split].equals(drawn[split]) for split in drawn)
    frames = [sources.reading(local(tmp_path, seed=seed, train_size=54, validation_size=18, test_size=18)) for seed in (0, 1)]
    assert frames[0].remarks == remarks and frames[0].frames["test"].equals(frames[1].frames["test"]), "of every seed the same"


def test_a_class_of_one_text_stays_in_the_training_split():
    frame = pd.DataFrame({"text": [f"t{i}" for i in range(12)], "label": [0] * 5 + [1] * 5 + [2, 3]})
    for share in (0.2, 0.5, 0.9):
        drawn = splits.with_test(frame, share, "here")
        assert {2, 3} <= set(drawn["train"]["label"]) and not {2, 3} & set(drawn["test"]["label"])


def test_every_class_keeps_a_text_to_train_on():
    """However large the share: a class that testing alone shows cannot be learnt."""
    frame = pd.DataFrame({"text": [f"t{i}" for i in range(203)], "label": [0] * 100 + [1] * 100 + [2] * 3})
    for share in (0.01, 0.3, 0.9, 0.999, 1.0):
        drawn = splits.with_test(frame, share, "here")
        assert set(drawn["train"]["label"]) == {0, 1, 2} and len(drawn["train"]) + len(drawn["test"]) == 203
        assert len(drawn["test"]) >= min(np.ceil(203 * share), 200) - 1


def test_one_saved_split_and_several(quiet, tmp_path):
    import datasets

    one = datasets.Dataset.from_pandas(pd.concat([rows("train"), rows("test")]), preserve_index=False)
    one.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=one).save_to_disk(tmp_path / "train only")
    for folder in ("one", "train only"):
        drawn, _, remarks = sources.read_table(tmp_path / folder)
        assert len(drawn["test"]) == 5 and len(remarks) == 1
    datasets.DatasetDict(train=one, dev=one).save_to_disk(tmp_path / "dev")
    with pytest.raises(UserError, match="^dev: there is no split test; there are: train, dev$"):
        sources.read_table(tmp_path / "dev")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_names_that_a_schema_states_are_honoured(suffix, quiet, tmp_path):
    import datasets

    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["positive", "negative"]))
    made = datasets.Dataset.from_dict({"text": [f"t{i}" for i in range(20)], "label": [0, 1] * 10}, features=features)
    if suffix == ".parquet":
        made.to_parquet(tmp_path / "mine.parquet")
    else:
        made.save_to_disk(tmp_path / "mine.arrow")
    path = tmp_path / f"mine{suffix}"
    frames, names, _ = sources.read_table(path)
    assert names == ["positive", "negative"]
    assert all(int(text[1:]) % 2 == label for frame in frames.values() for text, label in zip(frame["text"], frame["label"]))
    assert sources.read_table(path, class_names=["Positive", "Negative"]).class_names == ["Positive", "Negative"]
    with pytest.raises(UserError, match="the names that the table states for its labels .positive, negative. are not class_names$"):
        sources.read_table(path, class_names=["negative", "positive"])


def test_fields_that_are_named_are_never_ignored(quiet, tmp_path):
    frame = rows("train").assign(body=lambda rows: rows["text"] + " body", topic=["x", "y"] * 6)
    for split in tables.SPLITS:
        save(frame, tmp_path / "data" / "newsgroup" / f"{split}.csv")
    frames, names = sources.read(local(tmp_path, text_fields=["body"], label_field="topic"))
    assert names == ["x", "y"] and frames["train"]["text"].tolist() == frame["body"].tolist()
    with pytest.raises(UserError, match="^newsgroup/train: no column 'Body'; there are: text, label, body, topic; set text_fields=.text.$"):
        sources.read(local(tmp_path, text_fields=["Body"]))
    with pytest.raises(UserError, match="^newsgroup/train: no column 'kind'; .*; set label_field=label$"):
        sources.read(local(tmp_path, label_field="kind"))


def test_a_mirror_may_call_the_hubs_columns_text_and_label(quiet, tmp_path):
    for split in tables.SPLITS:
        save(rows(split), tmp_path / "data" / "yahoo" / f"{split}.csv")
    params = local(tmp_path, dataset="yahoo")
    assert params.label_field == "topic" and len(params.text_fields) == 3
    assert sources.read(params)[0]["train"]["text"].tolist() == rows("train")["text"].tolist()
    with pytest.raises(UserError, match="^yahoo/train: no column 'question_title'"):
        sources.read(params.replace(text_fields=["question_title"]))
    for split in tables.SPLITS:
        frame = rows(split).assign(topic=["x", "y"] * 6, question_title="q", question_content="?", best_answer=range(12))
        save(frame, tmp_path / "data" / "yahoo" / f"{split}.csv")
    frames, names = sources.read(params)
    assert names == ["x", "y"] and frames["train"]["text"].iloc[3] == "q ? 3"


@pytest.mark.parametrize("columns, advice", [(("Text", "label"), "set text_fields=.Text."), (("sentence", "label"), "set text_fields=.sentence."),
    (("text", "Class"), "set label_field=Class"), (("my text", "label"), "name it with text_fields"),
    (("text", " label"), "rename ' label'")])  # fmt: skip
def test_columns_in_other_spellings_are_named(columns, advice, quiet, tmp_path):
    save(rows("train").set_axis(columns, axis=1), tmp_path / "mine.csv")
    with pytest.raises(UserError, match=f"^mine.csv: no column '(text|label)'; there are: {columns[0]}, {columns[1]}; {advice}$"):
        sources.read_table(tmp_path / "mine.csv")


FAULTS = {
    "two tables": (["a.csv", "b.csv"], "mine: it holds a.csv and b.csv; call them train and test"),
    "two formats": (["part-0.csv", "part-1.jsonl"], r"mine: its parts are of several formats \(.csv, .jsonl\)"),
    "twice": (["train.csv", "train.tsv", "test.csv"], "mine: there are both train.csv and train.tsv; remove one"),
    "no test": (["train.csv"], "mine: there is no test.parquet or test.csv, nor one of another format .*"),
    "nothing": (["notes.md"], "mine: there is no train.parquet or train.csv, nor one of another format .*"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_does_not_say_what_is_what_is_refused(fault, quiet, tmp_path):
    names, says = FAULTS[fault]
    for name in names:
        save(rows("train"), tmp_path / "mine" / name) if not name.endswith("md") else save(rows("train"), tmp_path / "mine" / "x.md")
    with pytest.raises(UserError, match=f"^{says}$"):
        sources.read_table(tmp_path / "mine")


LAID_OUT = {  # what is read, for the left-out to lie beside
    "train and test": ["train.csv", "test.csv"], "folders": ["train/0.csv", "test/0.csv"], "parts": ["0.csv", "1.csv"],
    "shards": ["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"],
}  # fmt: skip
LEFT_OUT = {
    "train and test": ["train2.csv", "train_part2.csv", "train.CSV", "Test.csv", "test.xlsx", "train.txt", "train.csv.zip",
                       "more/1.csv", "a/b/c.jsonl", "_train.csv", "x.json"],
    "folders": ["train/more/1.csv", "train/1.CSV", "train/2.txt", "train/3.xlsx", "train/_4.csv", "train/label=a/5.parquet", "train/6.csv.bz2", "train2/0.csv"],
    "parts": ["2.CSV", "sub/1.csv", "2.Csv.Gz", "3.txt", "_2.csv", "4.feather", "train.d/0.csv"],
    "shards": ["train-00001-of-00002.PARQUET", "data/train-00001-of-00002.parquet", "test.arrow"],
}  # fmt: skip


def laid_out(folder, layout, *others):
    """Write a folder's tables, which are read, and others."""
    for i, name in enumerate([*LAID_OUT[layout], *others]):
        frame = rows("train").assign(text=lambda frame: frame["text"] + f" {i}")
        save(frame, folder / "plain" / f"x{'.parquet' if 'parquet' in name else '.csv'}")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        next((folder / "plain").iterdir()).rename(folder / name)
    (folder / "plain").rmdir()
    for path in folder.rglob("*.json"):
        path.write_text('{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n')
    return folder


@pytest.mark.parametrize("layout, name", [(layout, name) for layout, names in LEFT_OUT.items() for name in names])
def test_what_looks_like_a_table_is_read_or_refused(layout, name, tmp_path):
    """In any case of letters, and at any depth: nobody's rows are left out in silence."""
    folder = laid_out(tmp_path / "mine", layout, name)
    with pytest.raises(UserError, match=f"^mine: {name} would not be read; name it as those that are, or move it out of the folder$"):
        sources.read_table(folder)
    (folder / name).unlink()
    assert len(sources.read_table(folder).frames) == 2


@pytest.mark.parametrize("layout", [layout for layout in LAID_OUT if layout != "parts"])
def test_other_splits_are_said_not_to_be_read(layout, quiet, tmp_path):
    folder = laid_out(tmp_path / "mine", layout, "validation.csv", "dev/0.csv", "dev/1.csv", "unsupervised-00000-of-00002.parquet", "Valid_matched.tsv")
    why = "not read: the texts to train on, to validate and to test are drawn from train and test"
    assert sources.read_table(folder).remarks == [f"mine: Valid_matched.tsv, dev, unsupervised.parquet, validation.csv are {why}"]
    import datasets

    made = {split: datasets.Dataset.from_pandas(rows(split)) for split in ("train", "validation", "test")}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "saved")
    assert sources.read_table(tmp_path / "saved").remarks == [f"saved: validation is {why}"]


@pytest.mark.parametrize("layout", LAID_OUT)
def test_what_others_put_beside_tables_is_not_mentioned(layout, tmp_path):
    folder = laid_out(tmp_path / "mine", layout)
    beside = ["_SUCCESS", ".0.csv.crc", "._train.csv", ".DS_Store", "Thumbs.db.tmp", "README.md", "LICENSE", "LICENSE.txt", "notes.txt",
              "dataset_info.json", "dataset_infos.json", "label2id.json", "mine.py", ".git/x.csv",
              ".cache/huggingface/download/train.csv.metadata", "_temporary/0/part-0.csv", "_delta_log/0.json", "__MACOSX/train.csv",
              "_metadata", "train.csv.dvc", ".gitattributes", "cache-12ab.arrow"]  # fmt: skip
    before = sources.read_table(folder)
    for name in beside:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{\n  "made": [{"by": "hand"}]\n}\n')
    if layout != "parts":  # where it may be one of two tables
        (folder / "card.json").write_text('{"rows": 12}\n')
    after = sources.read_table(folder)
    assert after.remarks == before.remarks and all(after.frames[split].equals(frame) for split, frame in before.frames.items())


def test_neither_a_file_nor_a_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for path in ("/dev/null", tmp_path / "pipe.csv"):
        with pytest.raises(UserError, match=r"^(null|pipe.csv): cannot be read \(Not a directory\)$"):
            sources.read_table(path)
    for path in (tmp_path / ("x" * 300), tmp_path / "x\0y", tmp_path / "pipe.csv" / "x"):
        with pytest.raises(UserError, match="^there is no file or folder "):
            sources.read_table(path)
    laid_out(tmp_path / "mine", "train and test")
    (tmp_path / "mine" / "train.csv").unlink()
    os.mkfifo(tmp_path / "mine" / "train.csv")
    with pytest.raises(UserError, match="^mine/train.csv: neither a file nor a folder$"):
        sources.read_table(tmp_path / "mine")


def test_a_folder_that_one_may_not_look_into_is_refused(monkeypatch, tmp_path):
    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)$"):
        sources.read_table(tmp_path)


def test_rows_longer_than_the_first_line_are_not_shifted(quiet, tmp_path):
    (tmp_path / "mine.csv").write_text("text,label\nhello, world,1\nfoo, bar,2\n")
    with pytest.raises(UserError, match="^mine.csv: its rows have more cells than its first line; put texts with commas in quotes$"):
        sources.read_table(tmp_path / "mine.csv")


@pytest.mark.parametrize("name", ["mine.xlsx", "mine.pkl", "mine"])
def test_another_format_is_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b"?")
    with pytest.raises(UserError, match=f"^{name}: not one of the formats that are read: .parquet, .csv, .*save_to_disk$"):
        sources.read_table(tmp_path / name)
    with pytest.raises(UserError, match="^there is no file or folder .*/absent$"):
        sources.read_table(tmp_path / "absent")


def test_odd_names_of_folders_are_no_patterns(quiet, tmp_path):
    folder = tmp_path / "we [i]rd * {x}" / ".hidden"
    save(rows("train"), folder / "mine?.csv")
    save(rows("test"), folder / "mine1.csv")
    assert "NA test" not in sources.read_table(folder / "mine?.csv").frames["train"]["text"].tolist()


def test_a_test_class_that_training_never_shows(quiet, tmp_path):
    folder = tmp_path / "data" / "newsgroup"
    save(rows("train"), folder / "train.csv")
    save(rows("test").assign(label=["b", "z", "c"] * 4), folder / "test.csv")
    with pytest.raises(UserError, match="^newsgroup/test: row 2: class 'z' does not occur in newsgroup/train$"):
        sources.reading(local(tmp_path))
    declared = sources.reading(local(tmp_path, class_names=["a", "b", "c", "z"]))  # a mirror may lack a class
    assert declared.remarks == ["newsgroup/test: row 2: class 'z' does not occur in newsgroup/train"]


def test_a_class_of_one_text_is_said(quiet, tmp_path):
    save(pd.DataFrame({"text": [f"t{i}" for i in range(21)], "label": [0, 1] * 10 + [7]}), tmp_path / "mine.csv")
    assert sources.read_table(tmp_path / "mine.csv").remarks[1] == "mine.csv: a single text of class 7"


def drawn(tmp_path, train, test, **settings):
    for split, labels in (("train", train), ("test", test)):
        save(pd.DataFrame({"text": [f"{split} {i}" for i in range(len(labels))], "label": labels}), tmp_path / "data/newsgroup" / f"{split}.csv")
    params = local(tmp_path, **settings)
    return subsets.load(params, encoder.load_tokenizer(params))


def test_subsets_on_which_an_accuracy_says_nothing_are_refused(quiet, tmp_path):
    few, many = ["a"] * 99 + ["b"], ["a", "b"] * 50
    with pytest.raises(UserError, match="^newsgroup: all 6 texts drawn for test are of class 'a'; raise test_size$"):
        drawn(tmp_path, many, few)
    with pytest.raises(UserError, match="^newsgroup: all 6 texts drawn for train are of class 'a'; raise train_size$"):
        drawn(tmp_path, few, many)
    with pytest.raises(UserError, match="^newsgroup: all 4 texts drawn for validation are of class 'a'; raise validation_size$"):
        drawn(tmp_path, ["a"] * 94 + ["b"] * 6, many, train_size=40, validation_size=4)
    with pytest.raises(UserError, match="^newsgroup/train: 150 classes, more than train_size = 64$"):
        drawn(tmp_path, list(range(150)), list(range(150)), train_size=64)


def test_classes_that_are_not_drawn_are_said(quiet, tmp_path):
    labels = ["a"] * 60 + ["b"] * 60 + ["c"] * 2
    said, _ = drawn(tmp_path, labels, labels).remarks  # the other: of words that the smoke profile does not know
    assert said == "newsgroup: 1 of 3 classes, such as 'c', are so rare that none of their texts is among the 6 to train on"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.txt", "merges.txt", "spiece.model", "bpe.codes"])
def test_every_file_of_a_model_counts_in_the_fingerprint(name, tmp_path):
    """A tokeniser of byte pairs keeps its merges beside its vocabulary, one of sentence pieces a single file."""
    (tmp_path / "model").mkdir()
    params, seen = local(tmp_path, model=str(tmp_path / "model")), []
    for content in ("", "a", "b"):
        (tmp_path / "model" / name).write_text(content)
        (tmp_path / "model" / "notes.md").write_text(content)
        seen.append(tuple(fingerprint.of_model(params)))
    assert len(set(seen)) == 3 and all(len(files) == 1 for files in seen)


def test_remarks_on_data_are_said_once_and_in_order(monkeypatch, capsys, tmp_path):
    from paperlib.driver import run

    said = {0: ("newsgroup: a", "newsgroup: b"), 1: ("newsgroup: a", "newsgroup: c")}
    monkeypatch.setattr(run, "check_inputs", lambda params: said[params.seed])
    run._check([local(tmp_path, seed=seed) for seed in said])
    assert capsys.readouterr().out == "newsgroup: a\nnewsgroup: b\nnewsgroup: c\n"


def test_the_readme_lists_every_format():
    text = Path(__file__).with_name("README.md").read_text()
    section = text.split("## File formats")[1].split("\n## ")[0]
    assert all(f"`{suffix}`" in section for suffix in tables.SUFFIXES) and "save_to_disk" in section
    assert all(test in globals() for test in section.split("`") if test.startswith("test_"))


STRAY_QUOTES = {
    "a text that begins with one": 'plain\t0\n"Hello there, he said\t1\nplain too\t0\nGo away" she said\t1\n',
    "never closed": 'plain\t0\n"Hello there\t1\nplain too\t0\n',
}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".tsv.gz"])
@pytest.mark.parametrize("fault", STRAY_QUOTES)
def test_a_stray_quote_does_not_make_one_text_of_several_rows(fault, suffix, quiet, tmp_path):
    text = f"text\tlabel\n{STRAY_QUOTES[fault]}".replace("\t", "\t" if "tsv" in suffix else ",").replace("there, he", "there he")
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode())
    with pytest.raises(UserError, match=rf"^mine{suffix}: row 2: a quote opens a text and does not close it"):
        sources.read_table(path)


def test_quotes_that_close_and_long_texts_are_no_fault(quiet, tmp_path):
    texts = ['he said "hi"', '"all of it"', "two\nlines, and a comma", "long " * 50_000, "it's 5\" long"]
    save(pd.DataFrame({"text": texts * 2, "label": ["a"] * 5 + ["b"] * 5}), tmp_path / "mine.csv")
    assert contents.read(tables.find(tmp_path / "mine.csv")["all"])[0]["text"].tolist() == texts * 2


SWALLOWED = {"a row": (11, 12), "two rows": (11, 13), "most rows": (11, 51), "nearly all rows": (2, 59), "all rows": (1, 60)}


def unquoted(path, first, last, label_first, quoted_elsewhere=False):
    """Write 60 rows without quoting, as many benchmarks are; a quote opens the text of one row, and another ends that of a later one."""
    separator, order = "," if ".csv" in path.name else "\t", 1 if label_first else -1
    texts = {row: f"{row} so to speak" if first < row < last else f'{row} "so" to speak' for row in range(1, 61)}
    if quoted_elsewhere:
        texts |= {row: f'"{row}{separator} in quotes"' for row in (first - 1, last + 1) if row in texts}
    texts |= {first: f'"Wonderful {first}' + ", said my mother" * (separator != ","), last: f'and so {last} ends"'}
    lines = [separator.join(["abc"[row % 3], text][::order]) for row, text in texts.items()]
    content = "\n".join([separator.join(["label", "text"][::order]), *lines]) + "\n"
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())


@pytest.mark.parametrize("label_first", [True, False])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".tsv.gz"])
@pytest.mark.parametrize("extent", SWALLOWED)
def test_a_quote_that_another_row_closes_does_not_swallow_the_rows_between(extent, suffix, label_first, tmp_path):
    first, last = SWALLOWED[extent]
    for quoted_elsewhere in {False, last - first > 1}:  # two lines are no proof where texts are quoted
        unquoted(tmp_path / f"mine{suffix}", first, last, label_first, quoted_elsewhere)
        with pytest.raises(UserError, match=f"^mine{suffix}: rows {first} to {last} would become one text, which a quote opens; put that one in quotes"):
            sources.read_table(tmp_path / f"mine{suffix}")


def test_rows_of_another_length_do_not_hide_a_swallowed_one(tmp_path):
    lines = ["text\tlabel", *(f"text {i}\t{i % 2}" for i in range(20))]
    lines[3], lines[5], lines[6], lines[9] = '"Wonderful, she said\t0', "", "cut short", 'and so on"\t1'
    (tmp_path / "mine.tsv").write_text("\n".join(lines))
    with pytest.raises(UserError, match="^mine.tsv: rows 3 to 8 would become one text"):
        sources.read_table(tmp_path / "mine.tsv")
    for part in range(2):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / f"{part}.tsv").write_text("\n".join(lines))
    with pytest.raises(UserError, match="^mine/0.tsv: rows 3 to 8 would"):
        sources.read_table(tmp_path / "mine")


LINES = st.text(st.sampled_from("xyz \t,;\"'\n01é"), min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(LINES, min_size=4, max_size=30), suffix=st.sampled_from([".csv", ".tsv"]), label_first=st.booleans(), data=st.data())
def test_what_is_properly_written_is_always_read(texts, suffix, label_first, data, tmp_path):
    """Texts of several lines, with the separator in them, by either of the usual writers."""
    path, separator = tmp_path / f"mine{suffix}", contents.SEPARATORS[suffix]
    frame = pd.DataFrame({"text": texts, "label": data.draw(st.lists(st.sampled_from(["good", "bad"]), min_size=len(texts), max_size=len(texts)))})
    frame = frame[["label", "text"]] if label_first else frame
    if data.draw(st.booleans()):
        frame.to_csv(path, sep=separator, index=False, quoting=data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])))
    else:
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=separator).writerows([frame.columns, *frame.to_numpy()])
    read = contents.read(tables.find(path)["all"])[0]
    assert read.to_dict("list") == frame.to_dict("list")


def test_one_line_of_a_text_may_look_like_a_row(tmp_path):
    """By chance, in a file that quotes its texts: two coincidences in one text are none."""
    frame = pd.DataFrame({"text": ["the score was 1,0\nat half time", "one, two", "x", "y"], "label": [0, 1, 0, 1]})
    save(frame, tmp_path / "mine.csv")
    assert contents.read(tables.find(tmp_path / "mine.csv")["all"])[0]["text"].tolist() == frame["text"].tolist()


TWICE = {
    ".csv": "text,label,label\na,0,x\nb,1,y\n", ".tsv": "label\ttext\ttext\n0\ta\tb\n1\tc\td\n",
    ".jsonl": '{"text": "a", "label": 0}\n{"text": "a", "label": 0, "label": 1}\n', ".json": '[{"text": "a", "label": 0, "label": 1}]',
}  # fmt: skip


@pytest.mark.parametrize("suffix", [*TWICE, ".parquet"])
def test_two_columns_of_one_name_are_refused(suffix, tmp_path):
    if suffix in TWICE:
        (tmp_path / f"mine{suffix}").write_text(TWICE[suffix])
    else:
        pq.write_table(pa.Table.from_arrays([pa.array(["a", "b"]), pa.array([0, 1]), pa.array([1, 0])], ["text", "label", "label"]), tmp_path / "mine.parquet")
    says = "(two columns are called '(text|label)'; rename one$|cannot be read .a row with two values of one name)"
    with pytest.raises(UserError, match=f"^mine{suffix}: {says}"):
        sources.read_table(tmp_path / f"mine{suffix}")


LATIN = {
    "text": lambda i: {"text": f"na\u00efve {i}", "label": i % 2}, "label": lambda i: {"text": f"text {i}", "label": ["caf\u00e9", "b"][i % 2]},
    "another column": lambda i: {"text": f"text {i}", "label": i % 2, "by": "Zo\u00eb"},
}  # fmt: skip


@pytest.mark.parametrize("place", LATIN)
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_text_in_another_encoding_is_said_to_be_none(suffix, place, tmp_path):
    made = [LATIN[place](i) for i in range(12)]
    if suffix == ".parquet":  # a file that lies: strings there are UTF-8
        columns = {name: pa.array([str(row[name]).encode("latin-1") for row in made]) for name in made[0]}
        columns = {name: pa.Array.from_buffers(pa.string(), len(made), column.buffers()) for name, column in columns.items()}
        pq.write_table(pa.table(columns), tmp_path / "mine.parquet")
    else:
        text = {".json": json.dumps(made, ensure_ascii=False), ".jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made),
                ".csv": pd.DataFrame(made).to_csv(index=False)}[suffix]  # fmt: skip
        (tmp_path / f"mine{suffix}").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=rf"^mine{suffix}: (is not UTF-8 text$|cannot be read \(.*UTF8)"):
        sources.read_table(tmp_path / f"mine{suffix}")


SPELT = {
    "dates": ["2024-01-01", "2024-01-02"], "times": ["2024-01-01T10:00:00Z", "2024-01-01 10:00"], "codes": ["007", "08"], "long numbers": [2**70, 2**70 + 1],
    "long numbers and a fraction": [2**60, 2**60 + 1, 0.5], "numbers": [1, 2], "fractions": [0.1, 2.5], "truth": [True, False], "words": ["NA", "null"],
}  # fmt: skip


@pytest.mark.parametrize("what", SPELT)
def test_labels_and_texts_are_what_is_written_in_every_format(what, tmp_path):
    """Dates stay as they are spelt, and numbers of any length are numbers of their own."""
    kinds = SPELT[what]
    made = [{"text": f"text {i}", "label": kinds[i % len(kinds)]} for i in range(12)]
    if isinstance(kinds[0], str):
        made += [{"text": kind, "label": kinds[0]} for kind in kinds]  # of texts, too
    (tmp_path / "mine.json").write_text(json.dumps(made))
    (tmp_path / "mine.jsonl").write_text("\ufeff" + "\n".join(map(json.dumps, made)), encoding="utf-8")
    pd.DataFrame([{name: str(value) for name, value in row.items()} for row in made]).to_csv(tmp_path / "mine.csv", index=False)
    read = [sources.read_table(tmp_path / f"mine{suffix}") for suffix in (".csv", ".json", ".jsonl")]
    assert sorted(read[0].class_names) == sorted(map(str, kinds))
    for frames, names, _ in read[1:]:
        assert names == read[0].class_names and all(frames[split].equals(read[0].frames[split]) for split in frames)


def test_dates_may_be_all_the_texts(tmp_path):
    made = [{"text": f"2024-01-{i + 1:02d}", "label": i % 2} for i in range(20)]
    (tmp_path / "mine.json").write_text(json.dumps(made))
    frames = sources.read_table(tmp_path / "mine.json").frames
    assert sorted(pd.concat(frames.values())["text"]) == [row["text"] for row in made]


NO_ROWS_OF_JSON = {
    "nothing": ("", "no rows"), "blank lines": ("\n \n", "no rows"), "an empty list": ("[]", "no rows"),
    "a number": ("3", "row 1: not an object"), "lists": ('[["a", 0], ["b", 1]]', "row 1: not an object"), "texts": ('["a", "b"]', "row 1: not an object"),
    "half a character": ('{"text": "a", "label": 0}\n{"text": "x\\ud800y", "label": 1}', "row 2: holds half a character"),
    "half a character in a label": ('{"text": "a", "label": "\\uDC00"}', "row 1: holds half a character"), "cut short": ('{"text": "a", "label": 0', "cannot be read"),
    "nested": ("[" * 10**5, "cannot be read"), "digits": (f'{{"text": "a", "label": {"9" * 5000}}}', "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("fault", NO_ROWS_OF_JSON)
def test_json_without_rows_of_texts_is_refused(fault, suffix, tmp_path):
    content, says = NO_ROWS_OF_JSON[fault]
    (tmp_path / f"mine{suffix}").write_text(content)
    with pytest.raises(UserError, match=f"^mine{suffix}: {says}"):
        sources.read_table(tmp_path / f"mine{suffix}")


ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.lists(st.integers(), max_size=2),
                     st.sampled_from(["1e99999999999999999999", "nan", "inf", "[a]", "1", "01", "1.0", "\0", "\uff11", "a", "b"]))  # fmt: skip
ROWS_OF_ANYTHING = st.lists(st.fixed_dictionaries({"text": st.one_of(st.text(min_size=1), ANYTHING), "label": ANYTHING}), max_size=8)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(
    st.binary(max_size=60), st.text("text,label\n\r\t\"01ab\0 ", max_size=60).map(lambda text: f"text,label\n{text}".encode()),
    ROWS_OF_ANYTHING.map(lambda rows: json.dumps(rows).encode()),
), names=st.lists(st.text(max_size=3), max_size=3))  # fmt: skip
def test_whatever_a_file_holds_is_read_or_refused_in_one_line(content, names, tmp_path):
    for suffix in tables.SUFFIXES:
        (tmp_path / f"mine{suffix}").write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
        try:
            sources.read_table(tmp_path / f"mine{suffix}", class_names=names)
        except UserError as error:
            assert str(error).startswith("mine") and "\n" not in str(error)


def test_characters_of_two_escapes_are_texts(tmp_path):
    made = [{"text": f"\U0001f600 {i}", "label": i % 2} for i in range(12)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, made)))
    assert "\U0001f600 0" in pd.concat(sources.read_table(tmp_path / "mine.jsonl").frames.values())["text"].tolist()


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
def test_any_name_of_a_folder_or_file_is_a_path(suffix, tmp_path):
    for folder in ("zip::x", "https:", "a b#%20", "~", "[x]{y}*?"):
        (tmp_path / folder).mkdir()
        save(rows("train"), tmp_path / f"plain{suffix}")
        (tmp_path / f"plain{suffix}").rename(tmp_path / folder / f"my::{folder}{suffix}")
        assert sources.read_table(tmp_path / folder / f"my::{folder}{suffix}").class_names == ["a", "b", "c"]


def test_parts_that_state_other_names_are_no_table(tmp_path):
    import datasets

    for part, names in enumerate((["good", "bad"], ["bad", "good"])):
        features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=names))
        datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, features=features).to_parquet(tmp_path / f"{part}.parquet")
    with pytest.raises(UserError, match="its parts state different names for their labels$"):
        sources.read_table(tmp_path)


def test_labels_of_several_types_that_were_saved_are_read_as_they_were(quiet, tmp_path):
    import datasets

    made = [{"text": f"text {i}", "label": [1, "one"][i % 2]} for i in range(12)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, made)))
    datasets.Dataset.from_json(str(tmp_path / "mine.jsonl"), cache_dir=str(tmp_path / "cache")).save_to_disk(tmp_path / "saved")
    assert sources.read_table(tmp_path / "saved").class_names == sources.read_table(tmp_path / "mine.jsonl").class_names == ["1", "one"]


@pytest.mark.parametrize("names", [
    ["train-00000-of-00002", "test"], ["train-00000-of-00002", "train-00001-of-00003", "test"], ["train/x-00001-of-00003", "test"],
    ["train-00000-of-00001", "train", "test"], ["train/x-00000-of-00001", "train/x", "test"],
], ids=["one of two", "of two counts", "in a folder", "beside a whole", "beside a whole in a folder"])  # fmt: skip
def test_parts_that_are_not_all_there_are_no_table(names, quiet, tmp_path):
    for name in names:
        save(rows(name[:5].rstrip("-/x")), tmp_path / "mine" / f"{name}.parquet")
    with pytest.raises(UserError, match="^mine.*: (of its parts by number, such as .*, some are missing|there are both)"):
        sources.read_table(tmp_path / "mine")


def test_several_columns_of_text_may_have_gaps_whatever_they_hold(quiet, tmp_path):
    frame = pd.DataFrame({"title": ["a", None, "c", "d"], "day": pd.to_datetime(["2001-01-01", None, "2001-01-03", "2001-01-04"]),
                          "body": ["x", "y", None, "z"], "label": ["p", "q", "p", "q"]})  # fmt: skip
    for split in tables.SPLITS:
        save(frame, tmp_path / "mine" / f"{split}.parquet")
    read = sources.read_table(tmp_path / "mine", text_fields=["title", "day", "body"])[0]["train"]["text"].tolist()
    assert read[1] == "  y" and read[0].startswith("a 2001-01-01") and read[2].startswith("c 2001-01-03")


def test_how_a_source_or_a_device_is_asked_for_makes_no_other_study(quiet, tmp_path):
    FORMATS[".csv"](tmp_path / "data" / "newsgroup")
    usual = local(tmp_path, device="cpu", precision="fp32")
    asked = [usual, *(usual.replace(**{name: "auto"}) for name in ("data_source", "device"))]
    if precision_of(usual.replace(precision="auto")) == "fp32":
        asked.append(usual.replace(precision="auto"))
    assert len({fingerprint.of_study(params) for params in asked}) == 1
    assert fingerprint.of_study(usual.replace(precision="bf16")) != fingerprint.of_study(asked[0])


def test_a_study_whose_texts_have_changed_since_it_was_begun_is_not_gone_on_with(quiet, tmp_path, monkeypatch):
    """As when the main revision of a dataset on the hub moves, which no fingerprint can see."""
    from paperlib.nodes import compute
    from paperlib.tree import Study

    FORMATS[".csv"](tmp_path / "data" / "newsgroup")
    params = local(tmp_path, epochs=1, train_size=4)
    Study(params).node(())
    compute._bench.cache_clear()
    drawn = subsets.draw
    monkeypatch.setattr(subsets, "draw", lambda frames, params: {s: frame.sample(frac=1, random_state=1) for s, frame in drawn(frames, params).items()})
    with pytest.raises(UserError, match="^newsgroup: its texts are no longer those with which this study was begun"):
        Study(params).node((0,))
    compute._bench.cache_clear()


def test_a_study_whose_model_on_the_hub_has_moved_since_it_was_begun_is_not_gone_on_with(tmp_path, monkeypatch):
    from paperlib.nodes import compute
    from paperlib.tree import Study

    params, held = smoke_params(tmp_path, epochs=1), {"commit": "a" * 40}
    monkeypatch.setattr(pretrained, "commit", lambda params: held["commit"])
    assert Study(params).node((0,)).record["model_commit"] == "a" * 40
    compute._bench.cache_clear()
    held["commit"] = "b" * 40
    with pytest.raises(UserError, match="^model random-bert: this study was begun with its commit aaaaaaaaaaaa, and here is bbbbbbbbbbbb: remove its outputs"):
        compute.bench_of(params)
    said = "^this study was begun with commit aaaaaaaaaaaa of its model, and here is bbbbbbbbbbbb: remove its outputs, or bring that commit back$"
    for harm in (lambda: None, (params.unit_dir / "nodes" / "original.json").unlink):  # whichever of its records is left
        harm()
        with pytest.raises(UserError, match=said):
            Study(params)
    held["commit"] = ""
    study = Study(params)  # the model is to be fetched yet
    held["commit"] = "b" * 40
    with pytest.raises(UserError, match=said):
        study.node(())
    assert study.store.read((0,)) and not study.store.read(()), "nothing of the other commit was written"
    compute._bench.cache_clear()
    held["commit"] = "a" * 40
    study = Study(params)
    study.node(())
    held["commit"] = "b" * 40  # moved by another program while this one runs
    with pytest.raises(UserError, match=said):
        study.node((1,))
    compute._bench.cache_clear()


def test_a_table_that_is_changed_is_read_anew_in_the_same_process(quiet, tmp_path):
    from paperlib.tree import Study

    FORMATS[".csv"](tmp_path / "data" / "newsgroup")
    params = local(tmp_path, epochs=1, train_size=4)
    before = Study(params).node(()).record["texts"]
    for split in tables.SPLITS:
        save(rows(split).iloc[::-1].assign(label=CLASSES * 4), tmp_path / "data" / "newsgroup" / f"{split}.csv")
    assert Study(params).node(()).record["texts"] != before


def test_a_tokeniser_that_leaves_out_the_attention_mask_is_asked_for_it(tmp_path):
    tokenizer = encoder.load_tokenizer(smoke_params(tmp_path))
    tokenizer.model_input_names = ["input_ids"]
    batch = subsets._tokenise(pd.DataFrame({"text": ["rain"], "label": [0]}), tokenizer, 6)
    assert batch["attention_mask"].shape == (1, 6) and 0 < batch["attention_mask"].sum() < 6


def test_texts_of_several_classes_are_said(quiet, tmp_path):
    frame = rows("train")
    twice = pd.concat([frame, frame[:2].assign(label="c"), frame[4:5]])
    save(twice, tmp_path / "mine" / "train.csv")
    save(rows("test"), tmp_path / "mine" / "test.csv")
    assert sources.read_table(tmp_path / "mine")[2] == [
        "mine/train: 2 texts are of several classes in different rows; the first row counts",
        "mine/train: of its 15 rows 3 repeat the text of an earlier one; they are left out",
    ]


LEFT = {  # how often each of 40 training texts stands there, how many of them are to test with, whether as another class; what is said
    "nothing": (1, 0, False, []),
    "repeated": (2, 0, False, ["mine/train: of its 80 rows 40 repeat the text of an earlier one; they are left out"]),
    "shared": (1, 10, False, ["mine/train: of its 40 rows 10 hold a text of mine/test; they are left out"]),
    "all of it": (3, 10, True, ["mine/train: of its 120 rows 80 repeat the text of an earlier one and 10 hold a text of mine/test, 10 of them "
                                "with another label; they are left out"]),
}


@pytest.mark.parametrize("case", LEFT)
def test_rows_that_are_left_out_are_counted(case, tmp_path):
    times, shared, other, says = LEFT[case]
    train = pd.DataFrame({"text": [f"text {i}" for i in range(40)], "label": ["a", "b"] * 20})
    test = pd.DataFrame({"text": [f"text {i}" for i in range(40 - shared, 60)], "label": (["b", "a"] if other else ["a", "b"]) * ((20 + shared) // 2)})
    for split, frame in (("train", pd.concat([train] * times)), ("test", test)):
        save(frame, tmp_path / "mine" / f"{split}.csv")
    assert sources.read_table(tmp_path / "mine").remarks == says
    save(pd.concat([test, test[:1]]), tmp_path / "mine" / "test.csv")
    assert sources.read_table(tmp_path / "mine").remarks == [*says, f"mine/test: of its {len(test) + 1} rows 1 repeat the text of an earlier one; they are left out"]


def test_classes_that_look_alike_are_said(tmp_path):
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(24)], "label": ["caf\u00e9", "cafe\u0301", "x", "x\u200b"] * 6})
    save(frame, tmp_path / "mine.csv")
    read = sources.read_table(tmp_path / "mine.csv")
    said = r"mine.csv: classes 'cafe\u0301' and 'caf\xe9' look alike and are two (and 1 more such pair); write them the same way if they are one"
    assert read.remarks[0] == said
    assert len(sources.read_table(tmp_path / "mine.csv", class_names=sorted(set(frame["label"]))).remarks) == 1, "those that are given are meant"


def test_what_a_message_lists_has_neither_lines_nor_escapes(tmp_path):
    label = ["a", "b"] * 20 + ["x\ny\x1b[31m"]
    save(pd.DataFrame({"text": [f"text {i}" for i in range(41)], "label": label}), tmp_path / "mine.jsonl")
    assert sources.read_table(tmp_path / "mine.jsonl").remarks[1] == r"mine.jsonl: a single text of class x\ny\x1b[31m"
    (tmp_path / "mine.json").write_text('[{"te\\u001bxt": "a", "label": 0}]')
    with pytest.raises(UserError, match=r"there are: te\\x1bxt, label; "):
        sources.read_table(tmp_path / "mine.json")


def test_two_classes_of_one_name_in_a_schema_are_refused(quiet, tmp_path):
    import datasets

    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=[" a", "a"]))
    datasets.Dataset.from_dict({"text": ["x", "y"] * 8, "label": [0, 1] * 8}, features=features).save_to_disk(tmp_path / "mine")
    with pytest.raises(UserError, match="^mine: the table states two classes of one name, 'a', for its labels$"):
        sources.read_table(tmp_path / "mine")


def test_the_label_may_not_be_among_the_texts(tmp_path):
    save(rows("train"), tmp_path / "mine.csv")
    with pytest.raises(UserError, match="^mine.csv: text_fields names 'label', the column of the label: a text must not tell its label$"):
        sources.read_table(tmp_path / "mine.csv", text_fields=["text", "label"])


def test_a_training_split_that_is_the_test_split_is_refused_in_words(quiet, tmp_path):
    for split in tables.SPLITS:
        save(rows("train"), tmp_path / "data" / "newsgroup" / f"{split}.csv")
    with pytest.raises(UserError, match="^newsgroup/train without the texts of the test split: 0 distinct texts, fewer than train_size"):
        subsets.draw(sources.read(local(tmp_path))[0], local(tmp_path))
