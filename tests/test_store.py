"""Records on disk: only what is whole, and of this study, is ever read."""

import ast
import json
import os

import pytest
from conftest import made_node, smoke_params

from paperlib.common.errors import UserError
from paperlib.nodes import fingerprint, store
from paperlib.nodes.node import columns, label, pack, parse_label, seed_of, unpack
from paperlib.nodes.store import Store

ONE, OTHER = "a" * 64, "b" * 64


def open_store(folder, print_=ONE):
    kept = Store(folder / "nodes", folder / "weights", print_, limit_gb=1.0)
    kept.claim()
    return kept


@pytest.mark.parametrize("removed", [(), (3,), (3, 1, 0), (None, None), (10, 11), ((1, 10, 4), None, None)])
def test_a_record_comes_back_as_written(removed, tmp_path):
    kept, node = open_store(tmp_path), made_node(removed, layers=12)
    kept.write(node.record)
    found = open_store(tmp_path).read(removed)
    assert found.removed == removed and found.remaining == node.remaining
    assert found.signals.equals(node.signals)
    assert (found.correct("test") == node.correct("test")).all() and found.accuracy == node.accuracy
    assert kept.labels() == [label(removed)] and parse_label(label(removed)) == removed


def test_a_record_that_is_absent_is_none(tmp_path):
    assert open_store(tmp_path).read((1,)) is None
    assert open_store(tmp_path).labels() == []


def test_a_truncated_record_is_not_read(tmp_path):
    kept = open_store(tmp_path)
    kept.write(made_node((2,)).record)
    path = tmp_path / "nodes" / "2.json"
    whole = path.read_bytes()
    for length in [
        *range(0, len(whole) - 1, len(whole) // 50),
        len(whole) - 2,
    ]:  # the last byte is a line feed
        path.write_bytes(whole[:length])
        with pytest.warns(UserWarning, match="^nodes/2.json was changed or cut short: computed again$"):
            assert kept.read((2,)) is None, length
        assert not path.exists()
    path.write_bytes(whole)
    assert kept.read((2,)) is not None


@pytest.mark.parametrize(
    "field", ["removed", "original_layers", "signals", "test_correct", "fingerprint", "sha256"]
)
def test_an_altered_record_is_not_read(field, tmp_path):
    kept = open_store(tmp_path)
    kept.write(made_node((2,)).record)
    path = tmp_path / "nodes" / "2.json"
    record = json.loads(path.read_text())
    value = record[field]
    if isinstance(value, dict):
        value[list(value)[-1]] = "0f" if field == "test_correct" else [0.0] * 5
    record[field] = {str: "1", int: 5, dict: value}[type(value)]
    path.write_text(json.dumps(record))
    with pytest.warns(UserWarning, match="^nodes/2.json was changed"):
        assert kept.read((2,)) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"3", b"\xff\xfe\x00", b"{" * 10_000])
def test_rubbish_is_not_read(content, tmp_path):
    kept = open_store(tmp_path)
    (tmp_path / "nodes" / "2.json").write_bytes(content)
    with pytest.warns(UserWarning, match="^nodes/2.json was changed"):
        assert kept.read((2,)) is None


def test_a_record_of_another_node_or_study_is_not_read(tmp_path):
    kept = open_store(tmp_path)
    kept.write(made_node((2,)).record)
    record = (tmp_path / "nodes" / "2.json").read_bytes()
    (tmp_path / "nodes" / "4.json").write_bytes(record)
    assert kept.read((4,)) is None and kept.read((2,)) is not None
    assert Store(tmp_path / "nodes", tmp_path / "weights", OTHER, 1.0).read((2,)) is None


def test_stray_files_are_no_nodes(tmp_path):
    kept = open_store(tmp_path)
    kept.write(made_node((2,)).record)
    for name in ("notes.json", "2-.json", ".2.json.x.partial", "2 copy.json"):
        (tmp_path / "nodes" / name).write_text("{}")
    assert kept.labels() == ["2"]


def test_a_full_disk_leaves_the_old_record(tmp_path, monkeypatch):
    kept = open_store(tmp_path)
    kept.write(made_node((2,), seed=0).record)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        kept.write(made_node((2,), seed=1).record)
    assert kept.read((2,)).signals.equals(made_node((2,), seed=0).signals)
    assert {path.name for path in (tmp_path / "nodes").iterdir()} == {"2.json", "study.json"}


def test_weights_are_apart_where_models_were_trained_otherwise_or_began_from_another_commit(tmp_path):
    held = {"commit": ""}
    opened = lambda print_: Store(tmp_path / "nodes", tmp_path / "weights", print_, 1.0, commit=lambda: held["commit"])  # noqa: E731
    one, other = opened(ONE), opened(OTHER)
    before = {kept.weights.folder for kept in (one, other, opened(ONE))}
    assert len(before) == 2 and {folder.parent for folder in before} == {tmp_path / "weights"}
    held["commit"] = "c" * 40  # the model has been fetched meanwhile
    assert one.weights.folder == opened(ONE).weights.folder not in before
    held["commit"] = "d" * 40  # and has moved: what was there first is loaded from then on
    assert one.weights.folder != opened(ONE).weights.folder


def test_another_studys_records_are_moved_aside_and_come_back(tmp_path):
    first = open_store(tmp_path)
    first.write(made_node((1,)).record)
    second = open_store(tmp_path, OTHER)
    assert second.read((1,)) is None and second.labels() == []
    second.write(made_node((2,)).record)
    again = open_store(tmp_path)
    assert again.labels() == ["1"] and again.read((1,)) is not None
    assert open_store(tmp_path, OTHER).labels() == ["2"]
    assert {path.name for path in tmp_path.iterdir()} == {"nodes", f"nodes-{ONE[:16]}"}


def test_claiming_twice_changes_nothing(tmp_path):
    open_store(tmp_path).write(made_node((1,)).record)
    assert open_store(tmp_path).labels() == ["1"]
    assert {path.name for path in tmp_path.iterdir()} == {"nodes"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", None])
def test_a_damaged_owner_file_costs_no_records(content, tmp_path):
    for _ in range(3):  # again and again
        open_store(tmp_path).write(made_node((1,)).record)
        path = tmp_path / "nodes" / "study.json"
        path.unlink(missing_ok=True) if content is None else path.write_bytes(content)
        assert open_store(tmp_path).read((1,)) is not None
        path.unlink(missing_ok=True) if content is None else path.write_bytes(content)
        assert open_store(tmp_path, OTHER).labels() == []
        assert open_store(tmp_path).labels() == ["1"]


def test_bits_are_packed_and_unpacked():
    import numpy as np

    for n in (1, 7, 8, 9, 256):
        correct = np.random.default_rng(n).random(n) < 0.5
        packed = pack(correct)
        assert (unpack(packed) == correct).all() and len(packed["bits"]) == 2 * -(-n // 8)
    assert pack(np.array([True, False, False, False, False, False, False, True, True])) == {
        "n": 9,
        "bits": "8180",
    }


def test_numbers_that_are_none_come_back_as_nan():
    node = made_node(signals={"Weight-Norm": {0: float("nan"), 1: float("inf"), 2: -float("inf"), 3: 1.0}})
    stored = json.loads(json.dumps(columns(node.signals), allow_nan=False))
    assert stored["Weight-Norm"] == [None, None, None, 1.0, None, None]
    assert node.signals["Weight-Norm"].isna().tolist() == [True, True, True, False, True, True]


def test_seeds_depend_on_study_node_and_purpose():
    seeds = [
        seed_of(0, "imdb", ()), seed_of(1, "imdb", ()), seed_of(0, "yelp", ()), seed_of(0, "imdb", (1,)), seed_of(0, "imdb", (1, 2)),
        seed_of(0, "imdb", (2, 1)), seed_of(0, "imdb", (12,)), seed_of(0, "imdb", (None,)), seed_of(0, "imdb", (), "distillation"),
    ]  # fmt: skip
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)
    assert seeds[0] == seed_of(0, "imdb", ())


def test_what_changes_a_studys_fingerprint(params, tmp_path):
    base = fingerprint.of_study(params)
    computing = {"seed": 1, "train_size": 60, "learning_rate": 1e-3, "signal_size": 30, "mi_bins": 8, "pool_padding": True,
                 "sparsity_threshold": 0.0, "max_tokens": 12, "precision": "bf16", "attention_weight": "literal",
                 "dataset": "imdb", "data_source": "wheel", "model": "elsewhere"}  # fmt: skip
    prints = {
        name: fingerprint.of_study(params.replace(**{name: value})) for name, value in computing.items()
    }
    assert len({base, *prints.values()}) == 1 + len(computing)
    free = {"output_dir": str(tmp_path / "x"), "cache_dir": str(tmp_path / "y"), "cache_gb": 7.0, "workers": 2,
            "refit": "once", "fusion_rows": "path", "selection_split": "validation", "forest_trees": 3,
            "random_orders": 2, "max_removed": 2, "inhibition_first": "highest", "kd_alpha": 0.1, "kd_temperature": 1.0}  # fmt: skip
    assert {fingerprint.of_study(params.replace(**{name: value})) for name, value in free.items()} == {base}


def test_a_changed_model_folder_changes_the_fingerprint(tmp_path):
    from conftest import tiny_model

    tiny_model(seed=0).save_pretrained(tmp_path / "model")
    params = smoke_params(tmp_path, model=str(tmp_path / "model"))
    before = fingerprint.of_study(params)
    assert fingerprint.of_study(params) == before
    tiny_model(seed=1).save_pretrained(tmp_path / "model")
    assert fingerprint.of_study(params) != before


def written(folder, **modules):
    """Write modules below a folder that stands for the project; return the fingerprint of the place `a` in it."""
    for name, text in modules.items():
        path = folder / "paperlib" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return fingerprint.of_code("a")


def test_code_counts_without_its_comments_and_layout(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)

    def of(text):
        fingerprint._statements.cache_clear()
        return written(tmp_path, a__module=text)

    base = of('"""Say."""\n\n\ndef f(x):\n    """Double."""\n    return 2 * x\n')
    assert of("# a comment\nimport os\n\ndef f(x):\n\n    return (2 *\n        x)  # twice\n") == base
    assert of('"""Say."""\n\n\ndef f(x):\n    return 3 * x\n') != base
    assert of('"""Say."""\n\n\ndef f(x):\n    "kept"\n    y = "text"\n    return 2 * x\n') != base


def test_code_may_move_within_its_storeys(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    base = written(tmp_path, a__one="X = 1\n\ndef f():\n    return X\n", b__other="Y = 2\n")
    (tmp_path / "paperlib" / "a" / "one.py").unlink()
    assert written(tmp_path, a__deep__two="import os\ndef f():\n    return X\n", a__three="X = 1\n", b__other="Y = 3\n") == base
    assert written(tmp_path, a__four="Z = 1\n") != base
    assert fingerprint.of_code("a", without=["a/four.py"]) == base


def test_every_module_that_computes_is_part_of_the_fingerprint():
    """Follow the imports of the modules that compute nodes: what they reach is in the storeys named, or is named here."""
    folder, seen = fingerprint.ROOT / "paperlib", set()
    waiting = [folder / "nodes" / "compute.py", folder / "nodes" / "compute_together.py"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        for line in ast.walk(ast.parse(path.read_text())):
            if isinstance(line, ast.ImportFrom) and (line.module or "").startswith("paperlib"):
                place = fingerprint.ROOT.joinpath(*line.module.split("."))
                waiting += [place.with_suffix(".py"), *(place / f"{alias.name}.py" for alias in line.names)]
    counted = {path for place in fingerprint.COMPUTING for path in fingerprint._modules(folder / place)}
    left = {path.relative_to(folder).as_posix() for path in seen - counted}
    assert {name for name in left if not name.startswith("common/")} == {"params.py"}
    assert all((folder / name).is_file() for name in (*fingerprint.HARMLESS, *fingerprint.TOGETHER))


def test_a_folder_that_was_emptied_is_nobodys(tmp_path):
    """What was moved aside comes back, and the other study can be opened after it."""
    one = open_store(tmp_path)
    one.write(made_node((3,)).record)
    open_store(tmp_path, OTHER).write(made_node((2,)).record)
    for path in (tmp_path / "nodes").iterdir():
        path.unlink()
    assert open_store(tmp_path).labels() == ["3"]
    assert open_store(tmp_path, OTHER).labels() == []
    assert open_store(tmp_path).labels() == ["3"]


def test_a_record_that_is_written_while_another_process_looks_is_not_deleted(tmp_path, monkeypatch, recwarn):
    kept, look, looked = open_store(tmp_path), store.read_sealed, []

    def late(path):
        found = look(path)
        if not looked:
            looked.append(path)
            Store(tmp_path / "nodes", tmp_path / "weights", ONE, 1.0).write(made_node((1,)).record)
        return found

    monkeypatch.setattr(store, "read_sealed", late)
    assert kept.read((1,)).removed == (1,) and not recwarn.list
    assert (tmp_path / "nodes" / "1.json").exists()
