"""A classifier of one's own made smaller: the wish, the choice, ONNX, the vocabulary, and the whole on a small table."""

import doctest
import itertools
import json
import os
import re
import subprocess
import sys
import warnings
import weakref
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from paperlib.common.errors import UserError
from paperlib.names import SIGNALS
from tests.conftest import FAMILIES, logits_of, padded_batch, run_cells, tiny_model

# An export takes ten seconds: `make test` does it for a pre-norm encoder, beside the BERT that is compressed below, and
# `make torture` for every family.
EXPORTED = FAMILIES if os.environ.get("PAPERLIB_EVERY_FAMILY") else ("modernbert",)

PLAIN_SCRIPT = """
import json, sys
import numpy as np
from onnxruntime import InferenceSession
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, texts, tokens = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
answers = {"torch fp32": [], "ONNX fp32": [], "ONNX int8": []}
sessions = {"ONNX fp32": "model.onnx", "ONNX int8": "model_int8.onnx"}
sessions = {form: InferenceSession(f"{folder}/onnx/{file}") for form, file in sessions.items()}
for text in texts:
    encoded = tokenizer(text, truncation=True, max_length=tokens, return_tensors="pt")
    answers["torch fp32"].append(model.config.id2label[int(model(**encoded).logits.argmax())])
    for form, session in sessions.items():
        rows = {each.name: encoded[each.name].numpy() for each in session.get_inputs()}
        answers[form].append(model.config.id2label[int(session.run(None, rows)[0].argmax())])
assert "paperlib" not in sys.modules
print(json.dumps(answers))
"""


def subsets_table(values):
    """Return a table as `all_subsets` does, of accuracies by subset and losses of 0."""
    index = pd.Index(sorted(values, key=lambda removed: (len(removed), removed)), tupleize_cols=False)
    return pd.DataFrame({"accuracy": [values[removed] for removed in index], "loss": 0.0}, index=index)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 50), min_size=16, max_size=16), st.integers(1, 4))
def test_the_best_order_has_the_highest_sum_of_all_orders(numbers, depth):
    from paperlib.compression.choose import best_order

    removals = [removed for size in range(5) for removed in itertools.combinations(range(4), size)]
    values = {removed: number / 50 for removed, number in zip(removals, numbers)}

    def total(order):
        return sum(values[tuple(sorted(order[:step]))] for step in range(1, depth + 1))

    found = best_order(subsets_table(values), depth)
    assert len(set(found)) == depth
    assert total(found) == pytest.approx(max(map(total, itertools.permutations(range(4), depth))))
    end = tuple(sorted(found))[:depth]
    assert set(best_order(subsets_table(values), depth, end)) == set(end)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"keep": "2.5"}, "KEEP: must be a whole number"),
        ({"keep": "few"}, "KEEP: must be a whole number"),
        ({"latency_ms": "0"}, "LATENCY_MS: must be milliseconds"),
        ({"latency_ms": "nan"}, "LATENCY_MS: must be milliseconds"),
        ({"max_drop": "-1"}, "MAX_DROP: must be points"),
        ({"keep": 3, "max_drop": 1}, "KEEP and MAX_DROP are both given"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(asked, said):
    from paperlib.compression.wish import wish_of

    with pytest.raises(UserError, match=said):
        wish_of(**asked)


@pytest.mark.parametrize("keep", [0, 5, -1])
def test_layers_to_keep_are_counted(keep):
    from paperlib.compression.wish import check_keep, wish_of

    with pytest.raises(UserError, match="KEEP: must be a whole number from 1 to 4"):
        check_keep(wish_of(keep=keep), 4)


def test_the_choice_follows_the_wish():
    from paperlib.compression.choose import choose
    from paperlib.compression.wish import wish_of

    accuracy, ms = [0.80, 0.81, 0.79, 0.60], [4.0, 3.0, 2.0, 1.0]
    assert choose(wish_of(keep=2), 4, accuracy, ms, "int8") == 2
    assert choose(wish_of(max_drop=1), 4, accuracy, ms, "int8") == 2  # .80 to .79 is one point exactly
    assert choose(wish_of(max_drop=0.5), 4, accuracy, ms, "int8") == 1
    assert choose(wish_of(latency_ms=3.5), 4, accuracy, ms, "int8") == 1
    assert choose(wish_of(latency_ms=2.5), 4, accuracy, ms, "int8") == 2
    with pytest.raises(UserError, match=r"LATENCY_MS=0.5: no model reaches it here: the fastest \(int8\) takes 1.00 ms"):
        choose(wish_of(latency_ms=0.5), 4, accuracy, ms, "int8")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 40))
def test_a_head_that_names_no_more_than_the_largest_class_is_refused_with_the_way_out(labels, right):
    from paperlib.compression.choose import check_head

    accuracy = min(right, len(labels)) / len(labels)
    if accuracy > max(map(labels.count, labels)) / len(labels):
        check_head(accuracy, np.array(labels))
        return
    with pytest.raises(UserError, match=r"the largest class alone makes \d\.\d{3}: .*SET=\"fine_tuned=false\", .*SET=\"fine_tuned=true\""):
        check_head(accuracy, np.array(labels))


def word_pieces(words):
    """Return a BERT tokeniser of these words, their letters and the special tokens."""
    from transformers import BertTokenizerFast

    letters = sorted({letter for word in words for letter in word})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizerFast(vocab={piece: i for i, piece in enumerate(pieces)})


class Named:
    """Stands in for a family's tokeniser where only the names of its inputs and two rows are wanted."""

    def __init__(self, kind, names):
        self.kind, self.model_input_names = kind, names

    def __call__(self, texts, **_):
        import torch

        batch = padded_batch(self.kind, examples=2, tokens=7)
        return {**batch, "token_type_ids": torch.zeros_like(batch["input_ids"])}


@pytest.mark.parametrize("kind", EXPORTED)
def test_onnx_computes_what_the_pruned_model_computes(kind, tmp_path, monkeypatch):
    """One trace of the original serves all: any layers, any batch, any length, with and without token types."""
    import torch

    from paperlib.compression import export
    from paperlib.model.encoder import remove_layers

    model = tiny_model(kind, layers=2)
    smaller = remove_layers(model, [0])
    model.save_pretrained(tmp_path / "original")
    smaller.save_pretrained(tmp_path / "smaller")
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (kind in ("bert", "electra"))
    monkeypatch.setattr(export.AutoTokenizer, "from_pretrained", lambda _: Named(kind, names))
    assert export.write_template(tmp_path / "original") == ""
    export.add_onnx(tmp_path / "smaller", tmp_path / "original")
    for examples, tokens in ((37, 9), (1, 5), (3, 20)):
        batch = padded_batch(kind, examples=examples, tokens=tokens)
        rows = {name: batch.get(name, torch.zeros_like(batch["input_ids"])).numpy() for name in names}
        expected = logits_of(smaller, batch).numpy()
        exact = export.session(tmp_path / "smaller/onnx/model.onnx", 1).run(None, rows)[0]
        assert abs(exact - expected).max() < 1e-4 and (exact.argmax(1) == expected.argmax(1)).all()
        small = export.session(tmp_path / "smaller/onnx/model_int8.onnx", 1).run(None, rows)[0]
        assert small.shape == expected.shape and np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.5  # 16 numbers wide: coarse


def test_a_family_that_the_exporter_cannot_take_is_no_fault(tmp_path, monkeypatch):
    from paperlib.compression import export

    monkeypatch.setattr(export, "load", lambda folder: None)
    monkeypatch.setattr(export.AutoTokenizer, "from_pretrained", lambda _: None)
    monkeypatch.setattr(export, "_trace", refuse)
    assert export.write_template(tmp_path) == "RuntimeError: no such operator"
    assert list(tmp_path.iterdir()) == []


def test_a_cut_vocabulary_tokenises_its_texts_as_before(tmp_path):
    from transformers import AutoTokenizer

    from paperlib.compression.vocabulary import kept_ids, renumbered

    whole = word_pieces(["rain", "snow", "bread", "rainbow"])
    whole.save_pretrained(tmp_path)
    texts = ["rain snow", "snow snow rain"]
    kept = kept_ids(whole, texts)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(renumbered(json.loads(path.read_text()), kept)))
    small = AutoTokenizer.from_pretrained(tmp_path)
    assert len(small) == len(kept) < len(whole)
    for text in texts:
        assert small.convert_ids_to_tokens(small(text)["input_ids"]) == whole.convert_ids_to_tokens(whole(text)["input_ids"])
    assert small.tokenize("bread") == ["b", "##r", "##e", "##a", "##d"] and whole.tokenize("bread") == ["bread"]
    assert [kept[i] for i in small(texts[0])["input_ids"]] == whole(texts[0])["input_ids"]


def tokeniser(words, prefix="##", sequence=False, cls="[CLS]", suffixes=True):
    """Return a WordPiece tokeniser whose special tokens come last, and are put around a text in one step or in several."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted({letter for word in words for letter in word})
    pieces = [*words, *letters, *(prefix + letter for letter in letters if suffixes), "[PAD]", "[UNK]", cls, "[SEP]"]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]", continuing_subword_prefix=prefix))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [(name, pieces.index(name)) for name in (cls, "[SEP]")]
    around = processors.TemplateProcessing(single=f"{cls} $A [SEP]", pair=f"{cls} $A [SEP] $B [SEP]", special_tokens=special)
    made.post_processor = processors.Sequence([around]) if sequence else around
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", cls_token=cls, sep_token="[SEP]")


@pytest.mark.parametrize("sequence", [False, True], ids=["in one step", "in several"])
@pytest.mark.parametrize("prefix", ["##", "@@", ""])
def test_every_kind_of_word_piece_is_cut_without_a_loss(prefix, sequence, tmp_path):
    from transformers import AutoTokenizer

    from paperlib.compression.vocabulary import _save_cut, kept_ids

    whole = tokeniser(["rain", "snow", "bread", "soup"], prefix, sequence)
    kept = kept_ids(whole, ["rain snow"])
    _save_cut(whole, kept, ["rain snow", "bread rain", "soup", "zebra"], tmp_path)
    small = AutoTokenizer.from_pretrained(tmp_path)
    assert len(kept) == len(small) == len(whole) - 2
    assert small.convert_ids_to_tokens(small("rain snow")["input_ids"]) == ["[CLS]", "rain", "snow", "[SEP]"]
    assert small.tokenize("bread") == ["b", *(prefix + letter for letter in "read")]


def test_a_piece_that_letters_do_not_spell_is_kept():
    from paperlib.compression.vocabulary import kept_ids

    whole = tokeniser(["rain", "bread"], suffixes=False)
    assert kept_ids(whole, ["rain"]) == sorted(whole.get_vocab().values())


@pytest.mark.parametrize(("harm", "says"), [
    (lambda record: record["post_processor"].update(special_tokens={}, single=[], pair=[]), "it would read texts otherwise, such as 'rain snow'"),
    (lambda record: record["model"].update(continuing_subword_prefix="%%"), "it would read texts otherwise, such as 'bread'"),
    (lambda record: record.pop("model"), "be cut [(].*[)]"),
], ids=["around a text", "inside a word", "another kind"])  # fmt: skip
def test_a_tokeniser_that_would_read_texts_otherwise_is_not_cut(harm, says, tmp_path, monkeypatch):
    """Whatever a tokeniser is made of that was not foreseen: it is tried on the texts."""
    from paperlib.compression import vocabulary

    def harmed(record, kept, renumbered=vocabulary.renumbered):
        record = renumbered(record, kept)
        harm(record)
        return record

    monkeypatch.setattr(vocabulary, "renumbered", harmed)
    whole = tokeniser(["rain", "snow", "bread"])
    with pytest.raises(UserError, match=f"^VOCABULARY=used: the model's tokeniser cannot .*{says}"):
        vocabulary._save_cut(whole, vocabulary.kept_ids(whole, ["rain snow"]), ["rain snow"] * ("snow" in says) + ["bread"], tmp_path)


class Waiting:
    """Stands in for a form that takes some milliseconds for each text, on however many threads, by a clock of its own."""

    now, loaded, most_loaded = 0.0, 0, 0

    def __init__(self, ms, called, megabytes=1.0):
        self.ms, self.called, self.folder, self.megabytes = ms, called, ms, megabytes

    def runner(self, threads=1):
        Waiting.loaded += 1
        Waiting.most_loaded = max(Waiting.most_loaded, Waiting.loaded)

        def run(rows):
            assert (rows["input_ids"] == self.ms).all()  # numbered as in its own folder
            self.called.append((self.ms, len(rows["input_ids"]), threads))
            Waiting.now += self.ms * len(rows["input_ids"]) / 1000

        weakref.finalize(run, Waiting.unload)
        return run

    @classmethod
    def unload(cls):
        cls.loaded -= 1


def test_latencies_are_measured_in_turn_for_a_planned_time(monkeypatch):
    from paperlib.compression import latency

    monkeypatch.setattr(latency, "BUDGET_SECONDS", 0.2)
    monkeypatch.setattr(latency.hardware, "cores", lambda: 2)
    monkeypatch.setattr(latency.time, "perf_counter", lambda: Waiting.now)
    called = []
    forms, numbered = [Waiting(1, called), Waiting(4, called)], lambda folder: {"input_ids": np.full((5, 4), folder)}
    planned = latency.planned_seconds([forms], numbered)
    called.clear()
    started = Waiting.now
    table = latency.measure([forms], numbered)
    assert list(table) == [f"batch{b}_threads{n}_{p}_ms" for n in (1, 2) for b in (1, 32) for p in ("p50", "p95")]
    assert table.to_numpy() == pytest.approx(np.array([[1, 1, 32, 32] * 2, [4, 4, 128, 128] * 2]))
    assert planned == pytest.approx(2 * (0.2 + (latency.FEWEST + 1) * 0.160))
    assert Waiting.now - started == pytest.approx(planned, abs=2 * 0.005)  # a last round in either number of threads
    assert [ms for ms, *_ in called] == [1, 4] * (len(called) // 2)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8), st.integers(0, 1000))
def test_no_more_forms_are_loaded_than_memory_holds(megabytes, free):
    from paperlib.compression import latency

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "BUDGET_SECONDS", 0)
        patch.setattr(latency.hardware, "free_memory_gb", lambda: free / 1000)
        patch.setattr(latency.time, "perf_counter", lambda: Waiting.now)
        forms = [Waiting(1 + i, [], size) for i, size in enumerate(megabytes)]
        groups = latency.groups(forms)
        assert [form for group in groups for form in group] == forms
        held = [latency.LOADED * sum(form.megabytes for form in group) for group in groups]
        assert all(size <= free or len(group) == 1 for size, group in zip(held, groups))
        assert all(size + latency.LOADED * group[0].megabytes > free for size, group in zip(held, groups[1:])), "as few as can be"
        Waiting.most_loaded = Waiting.loaded = 0
        numbered = lambda folder: {"input_ids": np.full((5, 4), folder)}
        latency.planned_seconds(groups, numbered)
        table = latency.measure(groups, numbered)
        assert Waiting.loaded == 0 and Waiting.most_loaded == max(map(len, groups))
        assert table["batch1_threads1_p50_ms"].tolist() == pytest.approx([form.ms for form in forms])


TOPICS = ["weather", "kitchen", "harbour", "garden"]
FUSER = {"format": "transfer-fuser-1", "method": "Ridge", "features": list(SIGNALS), "intercept": 0.0,
         "weights": [float(name == "Attention-Entropy") for name in SIGNALS], "origin": {"units": ["imdb 0", "yelp 1"]}}  # fmt: skip


@pytest.fixture(scope="module")
def compressed(tmp_path_factory):
    """Run the example of `compress` on a table with named labels and no test split; then compress what it saved, without ONNX."""
    from paperlib.compression import compress, export, forms, latency
    from paperlib.data import made

    folder, said = tmp_path_factory.mktemp("compressed"), []
    table = made.make(160, seed=5)
    texts = table["text"].str.replace("captain", "boat")  # a piece that no text needs
    table.assign(text=texts, label=table["label"].map(dict(enumerate(TOPICS)))).to_csv(folder / "topics.csv", index=False)
    settings = {"output_dir": f"{folder}/out", "cache_dir": f"{folder}/cache", "max_removed": 1, "precision": "fp32",
                "workers": 1, "device": "cpu", "validation_size": 32, "test_size": 32}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        patch.setattr(latency, "BUDGET_SECONDS", 0)
        patch.setattr(latency.hardware, "cores", lambda: 1)
        patch.setattr(forms.Form, "memory_mb", lambda *_: 1.0)
        (folder / "out" / "smoke").mkdir(parents=True)
        (folder / "out" / "smoke" / "transfer.json").write_text(json.dumps(FUSER))
        example = doctest.DocTestFinder().find(compress, "compress", globs={"settings": settings, "said": said})[0]
        failures = []
        doctest.DocTestRunner().run(example, out=failures.append, clear_globs=False)
        patch.setattr(export, "_trace", refuse)
        options = {"profile": "smoke", "settings": settings, "say": said.append}
        again = compress("small", "topics.csv", max_drop=100, out="smaller", **options)
    first = example.globs["made"]
    return SimpleNamespace(folder=folder, failures="".join(failures), first=first, again=again, said=said, settings=settings)


def refuse(*_):
    """Stand in for an exporter that does not know a family."""
    raise RuntimeError("no such operator")


def test_the_example_of_the_docstring_holds(compressed):
    assert compressed.failures == ""


def test_the_cells_of_the_notebook_show_a_result(compressed, monkeypatch, capsys):
    """All of 10_your_model, but for the work that is done already."""
    import paperlib
    from paperlib.evidence import units

    asked = []
    monkeypatch.setattr(paperlib, "compress", lambda *given, **named: asked.append((given, named)) or compressed.first, raising=False)
    variables = run_cells(units.YOURS)
    assert asked[0][0] == ("", "newsgroup") and asked[0][1]["max_drop"] == 1.0 and asked[0][1]["profile"] == "laptop"
    assert len(variables["made"].table) == len(compressed.first.table)


def test_what_is_saved_is_scored_as_stated_without_the_library(compressed):
    """In a process that knows transformers and ONNX Runtime only; there the code of the card runs too."""
    from paperlib.data import sources, subsets

    folder, made = compressed.folder, compressed.first
    frame = subsets.draw(sources.read(made.params)[0], made.params)["test"]
    (folder / "texts.json").write_text(json.dumps(frame["text"].tolist()))
    code = "\n".join(re.findall(r"```python\n(.*?)```", (folder / "small" / "README.md").read_text(), re.DOTALL))
    assert code.count("import") == 3
    (folder / "script.py").write_text(f"{PLAIN_SCRIPT}\n{code}\n")
    command = [sys.executable, "script.py", "small", "texts.json", str(made.params.max_tokens)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    scored, *of_card = done.stdout.splitlines()
    truth = [made.params.class_names[label] for label in frame["label"]]
    for form, answers in json.loads(scored).items():
        row = made.table[made.table["form"] == form].loc["yours"]
        assert np.mean([a == b for a, b in zip(answers, truth)]) == row["accuracy"]
        assert row["low"] < row["accuracy"] <= row["high"]
    assert of_card[-1] in TOPICS


def test_the_result_says_what_was_kept_and_how(compressed):
    folder, made, said = compressed.folder, compressed.first, compressed.said
    record = json.loads((folder / "small" / "metrics.json").read_text())
    assert record["layers"] == 4 and len(record["kept"]) == 3 and record["export_differs_by"] < 1e-4
    assert {"original", "3 layers", "yours", "yours, whole vocabulary", "lost its top layers", "original, trained as often"} <= set(made.table.index)
    assert set(made.params.class_names) == set(TOPICS)
    pieces = record["vocabulary"]
    # No letters are in this vocabulary, so a word that the training texts lack could not be spelt: it stays.
    assert pieces["pieces_after"] == pieces["pieces_before"] and pieces["share_meeting_cut"] == 0
    assert any("topics.csv: has no test split" in line for line in said)
    for name in ("README.md", "tradeoff.csv", "tradeoff.png", "tradeoff.svg", "model.safetensors", "onnx/model_int8.onnx"):
        assert (folder / "small" / name).exists()
    assert not [path for path in (folder / "small").rglob(".*")]
    assert len({path.stat().st_mode for path in (folder / "small").rglob("*") if path.is_file()}) == 1


def test_what_is_delivered_is_no_worse_on_validation_than_before_it_was_distilled(compressed):
    for made, name in ((compressed.first, "small"), (compressed.again, "smaller")):
        distilled, found = made.about["distilled"], made.table[made.table["form"] == "torch fp32"]["validation_accuracy"]
        whole = found["yours, whole vocabulary" if "yours, whole vocabulary" in found else "yours"]
        assert distilled["delivered"] == (distilled["validation_after"] >= distilled["validation_before"])
        assert whole == max(distilled["validation_before"], distilled["validation_after"])
        card = (compressed.folder / name / "README.md").read_text()
        assert f"{found['yours']:.3f} are right, of the original {found['original']:.3f}" in card
        assert ("Distilled from the original" in card) == distilled["delivered"]
        assert ("with the whole vocabulary" in card) == (made is compressed.first)


def test_the_original_is_trained_as_often_as_what_is_delivered(compressed):
    from paperlib.compression import tradeoff
    from paperlib.tree import Study

    for made, name in ((compressed.first, "small"), (compressed.again, "smaller")):
        distilled, rounds = made.about["distilled"], made.about["control_rounds"]
        assert rounds == made.about["layers"] - len(made.about["kept"]) + distilled["delivered"]
        row, original = made.table.loc[tradeoff.TRAINED], made.table.loc["original"].iloc[0]
        node = Study(made.params).node((None,) * rounds)
        assert row["accuracy"] == node.accuracy and row["validation_accuracy"] == node.validation_accuracy
        assert (row["layers"], row["form"], row["timed_as"]) == (made.about["layers"], "torch fp32", "original")
        assert row[tradeoff.ONE_TEXT] == original[tradeoff.ONE_TEXT], "it is not timed itself, and says so"
        shapes = made.table.loc[[tradeoff.TOP_LOST]].merge(made.table.reset_index(), left_on="timed_as", right_on="model", suffixes=("", "_twin"))
        assert len(shapes) and (shapes["layers"] == shapes["layers_twin"]).all()
        card = (compressed.folder / name / "README.md").read_text()
        assert f"fine-tuned {rounds} more time{'s' * (rounds > 1)}, as yours was" in card and f"| ({row[tradeoff.ONE_TEXT]:.2f}) |" in card
        assert f"{distilled['validation_without_teacher']:.3f} after the same training without a teacher" in card


def test_every_step_says_beforehand_what_it_costs(compressed):
    assert not [line for line in compressed.said if re.search(r"\b1 fine-tunes|less \d+ that are at hand", line)], "nothing of the walks is at hand"
    costly = ("fine-tuning", "measuring", "walking", "writing", "distilling", "training", "timing", "looking", "loading")
    for word in costly:
        lines = [line for line in compressed.said if word in line.split(": ")[-1].split()[:1] + line.split()[:1]]
        assert lines and all(re.search(r"about \d+ s", line) for line in lines), word


@pytest.mark.parametrize(("layers", "seconds", "fine_tune", "known", "said"), [
    (12, 3000, 500, False, "measuring all 4096 subsets of layers on validation, without training: about 3000 s of one core"),
    (12, 3000, 499, False, "the 4096 subsets of layers are not measured: it would take about 3000 s of one core, and the other walks' fine-tunes about 2994 s of one core"),
    (6, 300, 1, False, "measuring all 64 subsets of layers on validation, without training: about 300 s of one core"),
    (12, 3000, 499, True, None), (13, 1, 500, False, "the 8192 subsets of layers are not measured: that is done up to 12 layers"), (13, 1, 500, True, None),
])  # fmt: skip
def test_all_subsets_are_measured_where_they_are_known_or_take_no_longer_than_the_other_walks(layers, seconds, fine_tune, known, said):
    from paperlib.compression import choose

    table = subsets_table({removed: 0.0 for size in range(layers + 1) for removed in itertools.combinations(range(layers), size)})
    node = SimpleNamespace(has=lambda parts: known, subsets_validation=table)
    study = SimpleNamespace(params=SimpleNamespace(replace=lambda **changes: None), node=lambda *asked: node)
    told, costs = [], SimpleNamespace(layers=layers, subsets=lambda: seconds, fine_tunes=lambda left: fine_tune * len(left))
    orders = choose._orders(study, 3, None, None, costs, told.append)  # two other walks, of three fine-tunes each
    assert told == [said] * bool(said) and (choose.EXACT in orders) == (layers <= 12 and (known or "not" not in said))
    with_fuser = choose._orders(study, 3, None, SimpleNamespace(), costs, told.append)  # three others
    assert (choose.EXACT in with_fuser) == (layers <= 12 and (known or seconds <= max(300, 9 * fine_tune)))


def test_what_a_processor_emulates_is_not_measured_and_that_is_said(compressed):
    made, measured = compressed.first, os.environ["PAPERLIB_AUTO_PRECISION"] == "bf16"
    row = made.table[made.table["form"] == "torch bf16"].loc["original"]
    why = "not measured: this processor is not known to be faster in bf16 than in fp32"
    assert row["remark"] == ("" if measured else why) and np.isnan(row["accuracy"]) == (not measured)
    assert (f"torch bf16 is {why}." in (compressed.folder / "small" / "README.md").read_text()) == (not measured)
    others = made.table[made.table["form"] != "torch bf16"]
    assert (others["remark"] == "").all() and others.drop(columns="remark").notna().all(axis=None)


@pytest.mark.parametrize(("examples", "tokens"), [(37, 9), (1, 5), (3, 16)])
def test_onnx_of_the_result_takes_any_batch_and_length(compressed, examples, tokens):
    import torch

    from paperlib.compression import export

    folder = compressed.folder / "small"
    model = export.load(folder)
    ids = torch.randint(5, model.config.vocab_size, (examples, tokens), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(tokens) <= torch.arange(examples)[:, None] % tokens).long()
    expected = logits_of(model, {"input_ids": ids, "attention_mask": mask}).numpy()
    rows = {"input_ids": ids.numpy(), "token_type_ids": np.zeros_like(ids), "attention_mask": mask.numpy()}
    found = export.session(folder / "onnx/model.onnx", 1).run(None, rows)[0]
    assert abs(found - expected).max() < 1e-4


def test_a_classifier_of_these_classes_is_taken_as_it_is(compressed):
    """Its accuracy is that of the model it was made from, to the last text, and no text has trained it."""
    first, again = compressed.first, compressed.again
    assert again.params.fine_tuned and again.params.class_names == first.params.class_names
    assert "the original: taken as it is" in compressed.said
    before, after = (made.table[made.table["form"] == "torch fp32"] for made in (first, again))
    assert after.loc["original", "accuracy"] == before.loc["yours", "accuracy"]


def test_without_an_exporter_there_is_a_smaller_model_all_the_same(compressed):
    folder, again = compressed.folder / "smaller", compressed.again
    assert set(again.table["form"]) == {"torch fp32", "torch bf16"} and again.table.loc["yours", "layers"] == 2
    assert "ONNX is missing: the exporter does not take this model (RuntimeError: no such operator)" in (folder / "README.md").read_text()
    assert (folder / "model.safetensors").exists() and not (folder / "onnx").exists()


def test_a_latency_that_no_model_reaches_is_refused_with_what_the_best_reaches(compressed, monkeypatch):
    from paperlib.compression import compress, export

    monkeypatch.setattr(export, "_trace", refuse)
    where = {"profile": "smoke", "settings": compressed.settings, "say": lambda _: None}
    best = r"LATENCY_MS=1e-06: no model reaches it here: the fastest \(1 of 3 layers, torch fp32\) takes \d+\.\d\d ms"
    with pytest.raises(UserError, match=best):
        compress(compressed.folder / "small", compressed.folder / "topics.csv", latency_ms=1e-6, **where)


def test_a_head_of_something_else_is_not_taken_for_the_original(compressed, tmp_path):
    """Its outputs may be as many as the labels: it says nothing of them, and what is made of it would be measured against that."""
    from paperlib.compression import compress
    from paperlib.data import made
    from paperlib.model import encoder

    model = encoder.load_model(compressed.first.params.replace(class_names=[]), [f"LABEL_{i}" for i in range(4)])
    model.classifier.weight.data.zero_()
    model.save_pretrained(tmp_path / "other")
    encoder.load_tokenizer(compressed.first.params).save_pretrained(tmp_path / "other")
    made.make(160, seed=5).to_csv(tmp_path / "numbered.csv", index=False)
    said, settings = [], {**compressed.settings, "cache_dir": f"{tmp_path}/cache"}
    with pytest.raises(UserError, match="the model's own head is right on 0.* of the validation texts, and the largest class alone makes"):
        compress(tmp_path / "other", tmp_path / "numbered.csv", keep=3, profile="smoke", settings=settings, say=said.append)
    assert said[-1] == "the original: taken as it is"


def test_the_order_of_a_saved_fuser_is_walked_too(compressed):
    """It is chosen by what its file says of the signals: here the layer of the least attention entropy goes first."""
    from paperlib.nodes.store import store_of

    assert "transfer.json: a fuser fitted on imdb, yelp; its order is walked too" in compressed.said
    assert any("greedy ablation, exact subsets, the transferred fuser, from the top: at most 4 fine-tunes" in line for line in compressed.said)
    store = store_of(compressed.first.params)
    least = store.read(()).signals["Attention-Entropy"].idxmin()
    assert store.read((least,)).has({"validation_correct"})


def test_a_fuser_that_has_seen_the_test_texts_is_not_asked(tmp_path):
    from paperlib.compression import inputs

    (tmp_path / "transfer.json").write_text(json.dumps(FUSER))
    assert inputs._fuser([tmp_path / "none", tmp_path], "newsgroup")[0] is not None
    assert inputs._fuser([tmp_path], "imdb") == (None, ["transfer.json: fitted on imdb's own test texts, so its order is not walked"])
    assert inputs._fuser([tmp_path / "none"], "imdb") == (None, [])


def test_tables_of_one_name_keep_out_of_each_others_way(tmp_path):
    from paperlib.compression import inputs
    from paperlib.data import made

    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made.make(60, seed=5).to_csv(tmp_path / name / "mine.csv", index=False)
        found.append(inputs.inputs_of("", tmp_path / name / "mine.csv", "smoke", 0, {"cache_dir": f"{tmp_path}/cache"}).params)
    assert [params.dataset for params in found] == ["mine", "mine"]
    assert found[0].unit_dir != found[1].unit_dir and found[0].data_dir != found[1].data_dir


def test_a_folder_that_is_not_ours_is_not_written_over(compressed, tmp_path):
    made = compressed.first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="OUT: mine is there already"):
        made.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--keep", "0"], "KEEP: must be a whole number from 1 to 4, the layers of the model, not 0"),
        (["--keep", "2", "--latency-ms", "3"], "KEEP and LATENCY_MS are both given: ask for one"),
        (["--data", "no/such.csv"], "DATA: there is no file or folder no/such.csv"),
        (["--vocabulary", "small"], "VOCABULARY: must be used, or nothing, not 'small'"),
        (["--out", "tests"], "OUT: "),
        (["--out", "README.md/mine"], "OUT: mine cannot be written"),
        (["--seed", "first"], "command line: seed 'first' is not a whole number"),
    ],
)
def test_a_bad_wish_ends_with_one_line_and_status_2(words, said, tmp_path, capsys, process_as_before):
    from paperlib.__main__ import main

    places = [f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache", "precision=fp32", "device=cpu"]
    command = ["compress", "--profile", "smoke", "--out", str(tmp_path / "mine"), *words, "--set", *places]
    assert main(command) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"paperlib: {said}") and line.count("\n") == 1
    assert not (tmp_path / "mine").exists()


def test_the_command_offers_what_it_heeds(capsys):
    from paperlib.__main__ import main

    with pytest.raises(SystemExit):
        main(["compress", "--help"])
    offered = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {"--data", "--keep", "--seed"} <= offered and not offered & {"--datasets", "--seeds"}


# What is said of a result


def trade_off(layers_left=3, whole=None, forms=("torch fp32", "ONNX fp32", "ONNX int8")):
    """Return a table: the original of 4 layers takes 8, 4, 2 ms and 80, 80, 20 MB; `whole`, where given, has twice the size of yours."""
    from paperlib.compression import tradeoff

    def rows(name, layers, ms, mb, accuracy):
        quicker = {"torch fp32": (1, 1), "ONNX fp32": (2, 1), "ONNX int8": (4, 4)}
        return [{"model": name, "form": form, "layers": layers, tradeoff.ONE_TEXT: ms / quicker[form][0], "megabytes": mb / quicker[form][1],
                 "memory_mb": 1.0, "accuracy": accuracy, "low": 0.1, "high": 0.9, "validation_accuracy": accuracy, "remark": "", "timed_as": ""} for form in forms]  # fmt: skip

    found = rows("original", 4, 8.0, 80.0, 0.50)
    if whole:
        found += rows(tradeoff.WHOLE, layers_left, whole, 60.0, 0.60)
    return pd.DataFrame(found + rows("yours", layers_left, 4.0, 30.0, 0.55)).set_index("model")


def with_control(table, accuracy):
    """Add the control that was trained as often to a trade-off."""
    return pd.concat([table, table.iloc[:1].assign(accuracy=accuracy, timed_as="original").set_axis(["original, trained as often"])])


@pytest.mark.parametrize(("table", "said"), [
    (with_control(trade_off(), 0.62), "Removing layers, with the training that goes with it, makes the model 2.0 times as fast and 2.7 times smaller "
     "(+5.0 points of test accuracy; +12.0 for the original when it is trained as often); ONNX in place of torch makes it 2.0 times as fast and 1.0 times smaller; quantising makes it 2.0 times as fast"),
    (trade_off(), "Removing layers, with the training that goes with it, makes the model 2.0 times as fast and 2.7 times smaller (+5.0 points of test "
     "accuracy); ONNX in place of torch makes it 2.0 times as fast and 1.0 times smaller; quantising makes it 2.0 times as fast and 4.0 times smaller (+0.0 points). All together, against the original in torch fp32: "
     "8.0 times as fast and 10.7 times smaller (+5.0 points)."),
    (trade_off(whole=4.0), "Removing layers, with the training that goes with it, makes the model 2.0 times as fast and 1.3 times smaller (+10.0 points of "
     "test accuracy); cutting the vocabulary makes it 2.0 times smaller (-5.0 points); ONNX in place of torch makes it 2.0 times as fast and 1.0 times smaller; quantising makes it 2.0 times as fast and 4.0 times smaller (+0.0 "
     "points). All together, against the original in torch fp32: 8.0 times as fast and 10.7 times smaller (+5.0 points)."),
    (trade_off(layers_left=4, whole=7.0), "No layer was removed; cutting the vocabulary makes it 2.0 times smaller (-5.0 points); ONNX in place of torch makes it"),
    (trade_off(forms=("torch fp32",)), "Removing layers, with the training that goes with it, makes the model 2.0 times as fast and 2.7 times smaller (+5.0 points of "
     "test accuracy); without ONNX nothing was quantised."),
], ids=["beside the control", "layers", "layers and vocabulary", "vocabulary alone", "without ONNX"])  # fmt: skip
def test_the_sentence_credits_each_step_with_what_it_did(table, said):
    from paperlib.compression import tradeoff

    assert tradeoff.sentence(table).startswith(said)
    assert tradeoff._smaller(pd.Series({"megabytes": 1.0}), pd.Series({"megabytes": 2.0})) == "2.0 times larger"


def test_accuracy_lost_by_quantising_is_laid_to_nothing_else():
    from paperlib.compression import tradeoff

    table = trade_off(whole=4.0)
    for name in ("original", tradeoff.WHOLE, "yours"):  # int8 loses 1, 2 and 4 points
        table.loc[(table.index == name) & (table["form"] == "ONNX int8"), "accuracy"] -= {"original": 0.01, tradeoff.WHOLE: 0.02, "yours": 0.04}[name]
    said = tradeoff.sentence(with_control(table, 0.62))
    assert re.findall(r"[+-]\d+\.\d", said) == ["+10.0", "+12.0", "-5.0", "-4.0", "+1.0"]


def test_the_legend_lies_inside_the_picture():
    from paperlib.compression import tradeoff

    table = with_control(trade_off(whole=4.0, forms=("torch fp32", "ONNX fp32", "ONNX int8")), 0.62)
    half = table.loc[["original"]][:1].assign(form="torch bf16")
    lost = table.loc[["yours"]][:1].set_axis([tradeoff.TOP_LOST])
    figure = tradeoff.plot(pd.concat([table, half, lost]))
    figure.canvas.draw()
    legend, whole = figure.legends[0].get_window_extent(), figure.bbox
    assert whole.x0 <= legend.x0 < legend.x1 <= whole.x1 and whole.y0 <= legend.y0


def test_the_code_of_a_card_is_python_whatever_the_folder_and_the_exporter_are_called(compressed):
    from paperlib.compression import card

    for missing in ("", "unsupported {'input_ids': 2} and {0}"):
        text = card.write(trade_off(whole=4.0), compressed.first.params, compressed.first.about | {"onnx_missing": missing}, 'my "best" {model}')
        codes = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        assert len(codes) == 1 + (not missing) and all(compile(code, "card", "exec") for code in codes)
        assert ("the exact one: on the test texts" in text) == (not missing)
        assert 'my \\"best\\" {model}' in codes[0] and ("ONNX is missing" in text) == bool(missing)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(lambda name: "/" not in name and name not in (".", "..")))
@example("模型").via("a folder in another script")
@example("- a: 'b' #").via("marks of YAML")
@example("modèle de ma mère").via("accents and spaces")
def test_a_card_names_its_parent_as_it_is_called(compressed, name):
    from huggingface_hub import ModelCard

    from paperlib.compression import card

    text = card.write(trade_off(whole=4.0), compressed.first.params.model_copy(update={"model": f"/somewhere/{name}"}), compressed.first.about, "model")
    assert ModelCard(text).data.to_dict() == {"license": "unknown", "base_model": name, "pipeline_tag": "text-classification"}
    assert "/somewhere" not in text


@pytest.mark.parametrize(("front", "licence"), [
    ("---\nlicense: mit\n---\n# A model\n", "mit"), ("---\r\nlicense: 'cc-by-4.0' # of the texts\r\n---\r\n", "cc-by-4.0"),
    ("---\ntitle: a --- b\nlicense: apache-2.0\n---\n", "apache-2.0"), ("\ufeff---\nlicense: mit\n---\n", "mit"),
    ("# A model\n---\nlicense: mit\n---\n", ""), ("---\nlicense: [mit, gpl]\n---\n", ""), ("---\nlicense:\n---\n", ""), ("---\n- mit\n---\n", ""),
    ("---\nlicense: [\n---\n", ""), ("---\nlicense: !!python/name:os.system\n---\n", ""), ("", ""), (b"---\nlicense: \xff\n---\n", ""), (None, ""),
])  # fmt: skip
def test_the_licence_is_what_the_parents_card_states(front, licence, tmp_path):
    from paperlib.compression import card

    if front is not None:
        (tmp_path / "README.md").write_bytes(front if isinstance(front, bytes) else front.encode())
    assert card.licence_of(SimpleNamespace(model=str(tmp_path))) == licence


def test_an_export_that_answers_otherwise_is_not_called_exact(compressed):
    from paperlib.compression import card

    about = compressed.first.about | {"export_differs_by": 0.02}
    text = card.write(trade_off(whole=4.0), compressed.first.params, about, "model")
    assert "is not exact, though it should be**: on the test texts its logits are those of torch up to 2e-02" in text


def test_the_card_of_a_model_that_lost_nothing_speaks_of_no_removal(compressed):
    from paperlib.compression import card

    about = compressed.first.about | {"distilled": {}, "control_rounds": 0}
    text = card.write(trade_off(layers_left=4, whole=4.0), compressed.first.params, about, "model")
    assert "No layer was removed" in text and "after each removal" not in text and "The layers come from" not in text and "Controls" not in text


def test_what_another_exporter_wrote_is_written_anew(compressed, tmp_path, monkeypatch):
    from paperlib.compression import export, run

    marks = [path.read_text() for path in compressed.folder.rglob("study.txt")]
    assert marks and all(mark.endswith(export.made_by()) for mark in marks)

    def kept():
        run._forget_older(tmp_path / "versions", f"a study {export.made_by()}")
        return (tmp_path / "versions" / "a model").exists()

    kept()
    (tmp_path / "versions" / "a model").mkdir()
    assert kept()
    monkeypatch.setattr(export, "version", lambda package: "0.1")
    assert not kept()


def test_a_model_that_another_run_has_changed_is_not_saved_as_this_one(compressed, tmp_path):
    import shutil
    from dataclasses import replace

    shutil.copytree(compressed.first.folder, tmp_path / "made")
    made = replace(compressed.first, folder=tmp_path / "made")
    made.save(tmp_path / "good")
    (tmp_path / "made" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="removed or made anew since by another run"):
        made.save(tmp_path / "bad")
    assert not (tmp_path / "bad").exists() and (tmp_path / "good" / "config.json").exists()


def test_what_is_saved_on_the_way_is_said_beforehand_and_not_all_of_it_kept(compressed, tmp_path, monkeypatch):
    """The estimate holds for what there was; ONNX stays in what a result holds, and is written again for another wish."""
    from paperlib.compression import run
    from paperlib.compression.costs import FORMS, Costs

    made = compressed.first
    versions = made.folder.parent
    assert {path.parent.parent for path in versions.rglob("model.onnx")} == {made.folder} and not list(versions.rglob(".traced.onnx"))
    whole = (versions / "original" / "model.safetensors").stat().st_size
    costs = Costs(made.params)
    assert costs.disk(0) / whole == pytest.approx(2 + 3 * FORMS, rel=0.1)  # a file has its header, too
    assert FORMS * whole > costs.disk(1) - costs.disk(0) > costs.disk(2) - costs.disk(1) > 0
    said, free = [], SimpleNamespace(free=2e9)
    monkeypatch.setattr(run.shutil, "disk_usage", lambda folder: free)
    run._check_disk(tmp_path, 0.05e9, said.append)
    run._check_disk(tmp_path, 1.99e9, said.append)
    assert said == [f"models of every depth are saved on the way, as torch and ONNX: up to 2.0 GB in {tmp_path}, about half of it in the end"]
    with pytest.raises(UserError, match=r"take up to 2.1 GB in .*, and 2.0 GB are free: SET=\"output_dir=...\" names another place"):
        run._check_disk(tmp_path, 2.1e9, said.append)
    (tmp_path / "there").write_bytes(bytes(200_000_000))
    run._check_disk(tmp_path, 2.1e9, said.append)


def test_a_result_that_a_killed_run_had_moved_aside_is_there_again(compressed, tmp_path):
    from paperlib.compression import result

    compressed.first.save(tmp_path / "mine")
    (tmp_path / "mine").rename(tmp_path / ".mine.partial-before")
    result.check_target(tmp_path / "mine")
    assert (tmp_path / "mine" / "metrics.json").exists() and [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_what_a_person_put_beside_a_saved_model_is_not_deleted(compressed, tmp_path):
    made = compressed.first
    made.save(tmp_path / "mine")
    made.save(tmp_path / "mine")  # over what is ours alone
    (tmp_path / "mine" / "notes").mkdir()
    (tmp_path / "mine" / "notes" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="OUT: mine is there already"):
        made.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "notes" / "thesis.txt").read_text() == "precious"
    made.save(tmp_path / "edited")
    (tmp_path / "edited" / "README.md").write_text("my own card")
    with pytest.raises(UserError, match="OUT: edited is there already and holds what .* was changed since"):
        made.save(tmp_path / "edited")
    assert (tmp_path / "edited" / "README.md").read_text() == "my own card"
    assert not (made.params.unit_dir / "student").exists(), "that is where `make reproduce` keeps its own"


@pytest.mark.parametrize(("other", "of", "says"), [
    ({"dataset": "others"}, {}, "what was made of random-bert for topics"), ({"model": "/somewhere/my-bert"}, {}, "what was made of random-bert for topics"),
    ({}, {"texts": "0"}, "what was made for other texts called topics"), ({}, {"model": "0"}, "what was made of another model called random-bert"),
], ids=["texts of another name", "a model of another name", "other texts of this name", "another model of this name"])  # fmt: skip
def test_what_was_made_of_something_else_is_not_written_over(other, of, says, compressed, tmp_path):
    from dataclasses import replace

    from paperlib.compression import result

    made = compressed.first
    made.save(tmp_path / "kept")
    before = (tmp_path / "kept" / "metrics.json").read_bytes()
    params, made_of = made.params.model_copy(update=other), made.about["made_of"] | of
    refusal = f"^OUT: kept holds {says}: name another folder, or remove it$"
    with pytest.raises(UserError, match=refusal):
        result.check_same(tmp_path / "kept", params, made_of)
    with pytest.raises(UserError, match=refusal):
        replace(made, params=params, about=made.about | {"made_of": made_of}).save(tmp_path / "kept")
    assert (tmp_path / "kept" / "metrics.json").read_bytes() == before
    older = {name: value for name, value in json.loads(before).items() if name != "made_of"}
    (tmp_path / "kept" / "metrics.json").write_text(json.dumps(older))
    if of:  # an older result says nothing of content
        result.check_same(tmp_path / "kept", params, made_of)


def test_texts_and_models_are_known_by_content_alone(tmp_path):
    """Wherever they lie, in whichever order, and whichever of the texts are drawn to test with."""
    from paperlib.compression import inputs
    from paperlib.data import made

    def made_of(model, place, rows, **sizes):
        (tmp_path / place).mkdir(exist_ok=True)
        rows.to_csv(tmp_path / place / "mine.csv", index=False)
        found = inputs.inputs_of(model, tmp_path / place / "mine.csv", "smoke", 0, {"cache_dir": f"{tmp_path}/cache", **sizes})
        return found.made_of

    models = [str(tmp_path / place / "clf") for place in "abc"]
    for folder, seed in zip(models, (0, 1, 0)):
        tiny_model(seed=seed).save_pretrained(folder)
    rows, others = made.make(60, seed=5), made.make(60, seed=6)
    first = made_of(models[0], "x", rows)
    assert first == made_of(models[2], "y", rows.sample(frac=1, random_state=0)) == made_of(models[0], "x", rows, test_size=12)
    found = made_of(models[1], "y", others)
    assert found["model"] != first["model"] and found["texts"] != first["texts"]
    relabelled = rows.assign(label=rows["label"].replace({0: 1, 1: 0}))
    assert made_of(models[0], "y", relabelled)["texts"] != first["texts"]


@pytest.mark.parametrize(("out", "what"), [("small", "MODEL"), (".", "MODEL"), ("texts", "DATA")])
def test_what_is_read_is_not_written_over(out, what, compressed, tmp_path, monkeypatch):
    import shutil

    from paperlib.compression import compress

    (tmp_path / "root" / "small").mkdir(parents=True)
    (tmp_path / "root" / "texts").mkdir()
    shutil.copy(compressed.folder / "topics.csv", tmp_path / "root" / "texts" / "train.csv")
    monkeypatch.chdir(tmp_path / "root")
    monkeypatch.setattr("paperlib.compression.result._is_ours", lambda folder: True)
    with pytest.raises(UserError, match=f"OUT: {'root' if out == '.' else out} is or holds what {what} names"):
        compress("small", "texts/train.csv", out=out, profile="smoke", settings=compressed.settings)
    if out == "small":
        named = {"model": str(tmp_path / "root" / "small"), **compressed.settings}
        with pytest.raises(UserError, match="is or holds what the parameter model names"):
            compress("", "texts/train.csv", out=out, profile="smoke", settings=named)


def test_a_latency_is_that_of_the_fastest_form(monkeypatch):
    from paperlib.compression import run, tradeoff
    from paperlib.compression.forms import Form
    from paperlib.compression.wish import wish_of

    took = {("4", "ONNX fp32"): 3.0, ("4", "ONNX int8"): 5.0, ("3", "ONNX fp32"): 2.0, ("3", "ONNX int8"): 1.5}
    monkeypatch.setattr(Form, "megabytes", 1.0)
    monkeypatch.setattr(
        run.latency, "measure", lambda parts, *_: pd.DataFrame({tradeoff.ONE_TEXT: [took[form.model, form.kind] for part in parts for form in part]})
    )
    depths = [SimpleNamespace(best=SimpleNamespace(validation_accuracy=accuracy)) for accuracy in (0.6, 0.5)]
    forms = [Form(name, "ONNX fp32", None, tuple(range(int(name)))) for name in "43"]
    wanted = {ms: run._chosen(wish_of(latency_ms=ms), depths, forms, ["ONNX fp32", "ONNX int8"], SimpleNamespace(test_rows=None)) for ms in (3, 2)}
    assert wanted == {3: (depths[0], "ONNX fp32"), 2: (depths[1], "ONNX int8")}
    with pytest.raises(UserError, match=r"LATENCY_MS=1: no model reaches it here: the fastest \(ONNX int8\) takes 1.50 ms"):
        run._chosen(wish_of(latency_ms=1), depths, forms, ["ONNX fp32", "ONNX int8"], SimpleNamespace(test_rows=None))
    assert run._chosen(wish_of(keep=3), depths, forms, ["ONNX int8"], None) == (depths[1], "")
