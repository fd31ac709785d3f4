"""A model that is a classifier already: whose classes its head has, in which order, and what becomes of it."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import run_cells, smoke_params

from paperlib.common.errors import UserError
from paperlib.compression import inputs
from paperlib.data import made, sources
from paperlib.model import checkpoint, encoder
from paperlib.params import write_settings

TOPICS = ["weather", "kitchen", "harbour", "garden"]


@pytest.fixture
def classifier(tmp_path):
    """Return a function that saves a classifier of these classes, with its tokeniser, and returns its folder."""

    def save(names, folder="classifier"):
        params = smoke_params(tmp_path, model="random-bert")
        model = encoder.load_model(params, names)
        with torch.no_grad():
            model.classifier.bias.add_(1.0)
        model.save_pretrained(tmp_path / folder)
        encoder.load_tokenizer(params).save_pretrained(tmp_path / folder)
        return str(tmp_path / folder)

    return save


def head(model):
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("bert.")}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("names", [TOPICS[::-1], ["a", "b", "c", "d"]], ids=["another order", "others"])
def test_a_model_taken_as_it_is_must_have_the_datas_classes_in_their_order(names, classifier, tmp_path):
    params = smoke_params(tmp_path, model=classifier(TOPICS), fine_tuned=True)
    with pytest.raises(UserError, match="^fine_tuned: the classes of model .* are weather, kitchen, harbour, garden, in this order, and not"):
        encoder.load_model(params, names)
    encoder.load_model(params, TOPICS)


def test_a_model_taken_as_it_is_without_names_is_taken_at_its_word(classifier, tmp_path):
    params = smoke_params(tmp_path, model=classifier([f"LABEL_{i}" for i in range(4)]), fine_tuned=True)
    assert encoder.load_model(params, TOPICS).config.id2label == dict(enumerate(TOPICS))


@pytest.mark.parametrize(("name", "words"), [("00_published", ("params", "import torch", "claims, ")), ("01_signals", ("",))])
def test_the_notebooks_speak_of_a_model_that_is_not_trained(name, words, classifier, tmp_path, capsys):
    """The one measures a model on two classes of its own, the other shows losses and seconds: of each, the cells with such words."""
    params = smoke_params(tmp_path, model=classifier(TOPICS), fine_tuned=True)
    settings = write_settings(params.model_dump(include={"output_dir", "cache_dir", "model", "fine_tuned"}))
    assert run_cells(name, words, profile="smoke", settings=settings)["params"].fine_tuned


def test_a_head_of_other_classes_gives_way_to_one_that_is_drawn(classifier, tmp_path):
    """Of as many classes, too, when transformers would keep its weights under other names."""
    folder = classifier(TOPICS)
    saved = head(encoder.load_model(smoke_params(tmp_path, model=folder), TOPICS))
    assert saved["classifier.bias"].mean() > 0.9, "the head that fits is the one that was saved"
    drawn = [encoder.load_model(smoke_params(tmp_path, model=folder, seed=seed), TOPICS[::-1]) for seed in (0, 0, 1)]
    assert not same(head(drawn[0]), saved) and same(head(drawn[0]), head(drawn[1])) and not same(head(drawn[0]), head(drawn[2]))
    assert drawn[0].classifier.bias.abs().max() == 0
    kept = encoder.load_model(smoke_params(tmp_path, model=folder), TOPICS).bert.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in drawn[0].bert.state_dict().items()), "the encoder stays"


def test_classes_of_a_head_that_counts_from_one_are_no_fault():
    from transformers import BertConfig

    config = BertConfig(architectures=["BertForSequenceClassification"])
    config.id2label = {1: "good", 2: "bad"}
    assert checkpoint.classes_of(config) == ["LABEL_0", "good"] and checkpoint.classes_of(BertConfig()) == []
    config.id2label = {0: " other", 1: "good\n"}
    assert checkpoint.classes_of(config) == ["other", "good"], "class_names, which must name them, hold no white space around a name"


# `make compress`: a table beside a classifier


def taken_of(tmp_path, names, labels, classifier, **settings):
    """Return what compression takes of a table with these labels (by topic) beside a classifier of these classes."""
    frame = made.make(60, seed=5)
    frame["label"] = frame["label"].map(dict(enumerate(labels)))
    frame = frame[frame["label"].notna()]
    frame.to_csv(tmp_path / "mine.csv", index=False)
    places = {"output_dir": f"{tmp_path}/out", "cache_dir": f"{tmp_path}/cache"}
    found = inputs.inputs_of(classifier(names), tmp_path / "mine.csv", "smoke", 0, places | settings)
    return frame, found


def read_as(frame, found):
    """Return, for each label as written, the class of the model that its rows are read as."""
    frames, names = sources.read(found.params)
    read = pd.concat(frames.values()).drop_duplicates("text").set_index("text")["label"].map(dict(enumerate(names)))
    written = frame.drop_duplicates("text").set_index("text")["label"].astype(str)
    return {label: set(read[written.index[written == label]]) for label in written.unique()}


@pytest.mark.parametrize(("names", "labels"), [
    (TOPICS, TOPICS), (TOPICS[::-1], TOPICS), (["0", "1", "2", "3", "4"], ["1", "2", "4", "3"]), (["3", "2", "1", "0"], [0, 1, 2, 3]),
    ([*TOPICS, "sky"], TOPICS),
], ids=["as they are", "another order", "numbers, not all of them", "numbers in another order", "one more"])  # fmt: skip
def test_labels_that_are_the_heads_classes_are_these_by_name(names, labels, classifier, tmp_path):
    frame, found = taken_of(tmp_path, names, labels, classifier)
    assert found.params.fine_tuned and found.params.class_names == names
    assert read_as(frame, found) == {str(label): {str(label)} for label in labels}


@pytest.mark.parametrize("names", [TOPICS, [f"LABEL_{i}" for i in range(4)]], ids=["named", "without names"])
def test_numbers_that_count_all_outputs_are_these(names, classifier, tmp_path):
    frame, found = taken_of(tmp_path, names, [0, 1, 2, 3], classifier)
    assert found.params.fine_tuned and read_as(frame, found) == {str(i): {name} for i, name in enumerate(names)}
    assert found.remarks[-2].startswith("the labels count the 4 outputs of the model's own head from 0")


def test_a_head_of_several_labels_is_trained_for_one_of_them(classifier, tmp_path):
    def of_several(names):
        path = Path(classifier(names)) / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "problem_type": "multi_label_classification"}))
        return str(path.parent)

    _, found = taken_of(tmp_path, TOPICS, TOPICS, of_several)
    assert not found.params.fine_tuned
    assert found.remarks[-1] == "the model's own head is for multi_label_classification, and here a text has one label: the original is trained for that"


@pytest.mark.parametrize(("names", "labels", "asked", "taken", "unasked"), [
    (TOPICS, TOPICS, None, TOPICS, True), (TOPICS, TOPICS, True, TOPICS, False), (TOPICS[::-1], TOPICS, False, TOPICS[::-1], False),
    (TOPICS, [0, 1, 2, 3], None, TOPICS, True), (TOPICS, [0, 1, 2, 3], True, TOPICS, False), (TOPICS, [0, 1, 2, 3], False, list("0123"), False),
    (["LABEL_0", "LABEL_1"], ["a", "b", "a", "b"], True, ["a", "b"], False), (["LABEL_0", "LABEL_1"], ["a", "b", "a", "b"], False, ["a", "b"], False),
])  # fmt: skip
def test_whether_a_head_is_trained_is_as_the_settings_say(names, labels, asked, taken, unasked, classifier, tmp_path):
    """Of one that fits by name the weights are kept then, too; of one that others may name by number they are not."""
    said = {} if asked is None else {"fine_tuned": asked}
    frame, found = taken_of(tmp_path, names, labels, classifier, **said)
    assert found.params.fine_tuned == (asked is not False) and found.taken == unasked and found.params.class_names in (taken, [])
    model = encoder.load_model(found.params, sources.read(found.params)[1])
    assert (model.classifier.bias.mean() > 0.9) == (asked is not False or names == TOPICS[::-1] or names == ["LABEL_0", "LABEL_1"])
    assert any("trained" in remark for remark in found.remarks) == (asked is not True or names == TOPICS)


@pytest.mark.parametrize(("names", "labels"), [
    (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], [2, 3, 4, 5]), (["a", "b", "c", "d", "e"], [0, 2, 3, 4]),
    (["entailment", "neutral", "contradiction", "none"], [0, 1, 0, 1]), (["a", "b", "c", "d"], TOPICS), (["a", "b", "c"], TOPICS),
], ids=["from two", "with a gap", "fewer", "others", "more"])  # fmt: skip
def test_labels_that_are_not_surely_the_heads_classes_get_a_head_of_their_own(names, labels, classifier, tmp_path):
    frame, found = taken_of(tmp_path, names, labels, classifier)
    assert not found.params.fine_tuned and "so a new one is trained" in found.remarks[-1]
    assert read_as(frame, found) == {str(label): {str(label)} for label in labels}


def test_class_names_that_are_numbers_in_another_order_are_read_as_written(classifier, tmp_path):
    frame, found = taken_of(tmp_path, ["x", "y"], ["0", "1", "0", "1"], classifier, class_names=["1", "0"])
    assert found.params.class_names == ["1", "0"] and read_as(frame, found) == {"0": {"0"}, "1": {"1"}}


def test_a_named_dataset_whose_numbers_have_another_order_is_read_by_name(classifier, tmp_path):
    """agnews numbers World, Sports, Business, Sci/Tech; a model may have them by alphabet."""
    names = ["World", "Sports", "Business", "Sci/Tech"]
    frame = made.make(120, seed=5)
    for split, rows in (("train", frame[:80]), ("test", frame[80:])):
        (tmp_path / "data" / "agnews").mkdir(parents=True, exist_ok=True)
        rows.to_csv(tmp_path / "data" / "agnews" / f"{split}.csv", index=False)
    settings = {"output_dir": f"{tmp_path}/out", "cache_dir": f"{tmp_path}/cache", "data_source": "data_dir", "data_dir": str(tmp_path / "data"),
                "train_size": 40, "validation_size": 16, "test_size": 16}  # fmt: skip
    found = inputs.inputs_of(classifier(sorted(names)), "agnews", "smoke", 0, settings)
    assert found.params.fine_tuned and found.params.class_names == sorted(names) and found.params.dataset == "agnews"
    named = frame.assign(label=frame["label"].map(dict(enumerate(names))))
    assert read_as(named, found) == {name: {name} for name in names}


def test_the_rows_of_another_run_are_never_written_over(classifier, tmp_path):
    """Two runs of one table with other sizes, hence another test split, have a folder each."""
    folders = [taken_of(tmp_path, TOPICS, TOPICS, classifier, test_size=size)[1].params.data_dir for size in (8, 12, 8)]
    assert folders[0] == folders[2] != folders[1]


@pytest.mark.parametrize(("given", "settings", "says"), [
    ({"model": "clf"}, {"model": "/nowhere"}, "MODEL and SET name two models, 'clf' and '/nowhere': name one"),
    ({"model": "clf"}, {"model": "random-bert"}, "MODEL and SET name two models, 'clf' and 'random-bert': name one"),
    ({"seed": 1}, {"seed": 3}, "SEEDS and SET give two seeds, 1 and 3: give one"),
    *(({}, {name: value}, f"{name}: says where a dataset of params/datasets is, and DATA is a table of your own: leave it out") for name, value in {
        "data_source": "hub", "data_dir": "texts", "hub_id": "a/b", "hub_config": "c", "hub_revision": "d", "hub_slices": 3}.items()),
    ({}, {"selection_split": "test"}, "selection_split: a model to keep is chosen by validation texts, lest the test texts flatter it"),
    ({"data": "imdb"}, {}, "DATA: imdb is a dataset of params/datasets/, and here it is a file or folder: write ./imdb for that, or call it otherwise"),
])  # fmt: skip
def test_what_is_said_twice_or_cannot_be_obeyed_is_refused(given, settings, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clf").mkdir()
    (tmp_path / "imdb").mkdir()
    made.make(60, seed=5).to_csv(tmp_path / "mine.csv", index=False)
    asked = {"model": "", "data": "mine.csv", "profile": "smoke", "seed": 0} | given
    with pytest.raises(UserError, match=f"^{says}$"):
        inputs.inputs_of(**asked, settings={"cache_dir": f"{tmp_path}/cache", **settings})


def test_what_is_said_twice_alike_is_obeyed(classifier, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = classifier(TOPICS)
    made.make(60, seed=5).to_csv(tmp_path / "mine.csv", index=False)
    places = {"cache_dir": f"{tmp_path}/cache"}
    for model, also in (("classifier", folder), (folder, folder), ("random-bert", "random-bert")):
        assert inputs.inputs_of(model, "mine.csv", "smoke", 0, {"model": also, "seed": 3, **places}).params.model == also
    assert inputs.inputs_of("", "mine.csv", "smoke", 3, {"seed": 3, **places}).params.seed == 3
    (tmp_path / "newsgroup").mkdir()
    made.make(120, seed=5).to_csv(tmp_path / "newsgroup" / "0.csv", index=False)
    read = inputs.inputs_of("", "newsgroup", "smoke", 0, {"data_source": "data_dir", "data_dir": str(tmp_path), "train_size": 16, "signal_size": 16, **places})
    assert read.params.dataset == "newsgroup"


@pytest.mark.parametrize(("model", "data", "says"), [
    ("~nobody-here/m", "newsgroup", "MODEL: ~nobody-here/m there is no home folder ~nobody-here"),
    ("random-bert", "~nobody-here/a.csv", "DATA: ~nobody-here/a.csv there is no home folder ~nobody-here"),
    ("random-bert", "x" * 300, "DATA: x+ is too long for a path"),
])  # fmt: skip
def test_paths_that_cannot_be_are_one_line(model, data, says, tmp_path):
    with pytest.raises(UserError, match=f"^{says}$"):
        inputs.inputs_of(model, data, "smoke", 0, {"cache_dir": f"{tmp_path}/cache"})


def test_texts_that_are_fewer_than_asked_are_said_whatever_is_short(tmp_path):
    made.make(60, seed=5).to_csv(tmp_path / "mine.csv", index=False)
    sizes = {"train_size": 40, "validation_size": 64, "test_size": 4, "cache_dir": f"{tmp_path}/cache", "signal_split": "validation", "signal_size": 40}
    found = inputs.inputs_of("", tmp_path / "mine.csv", "smoke", 0, sizes)
    assert found.params.train_size == 40 > found.params.validation_size >= 0.2 * 60 and found.params.signal_size == found.params.validation_size
    assert any(f"validation_size {found.params.validation_size}" in remark for remark in found.remarks)
