"""Records and weights on disk: only what is whole, and of this study, is ever read."""

import ast
import json
import os
import subprocess
import sys
import time

import pytest
import torch
from conftest import made_node, smoke_params

from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.nodes import fingerprint, store, weights_in_use
from paperlib.nodes.node import columns, label, pack, parse_label, seed_of, unpack
from paperlib.nodes.store import Store

ONE, OTHER = "a" * 64, "b" * 64


def open_store(folder, print_=ONE, limit_gb=1.0):
    kept = Store(folder / "nodes", folder / "weights", print_, limit_gb)
    kept.claim()
    return kept


def state(seed, size=250):
    """Return weights of 4 `size` bytes, and a little for the header."""
    return {"w": torch.randn(size, generator=torch.Generator().manual_seed(seed))}


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


def test_weights_come_back_as_saved(tmp_path):
    kept = open_store(tmp_path)
    assert not kept.has_weights((1,)) and kept.load_weights((1,)) is None
    kept.save_weights((1,), state(1))
    assert kept.has_weights((1,)) and torch.equal(kept.load_weights((1,))["w"], state(1)["w"])
    assert Store(tmp_path / "nodes", tmp_path / "weights", OTHER, 1.0).load_weights((1,)) is None


@pytest.mark.parametrize("cut", [0, 4, 60, 500])
def test_truncated_weights_are_dropped(cut, tmp_path):
    kept = open_store(tmp_path)
    kept.save_weights((1,), state(1))
    path = next((tmp_path / "weights").rglob("1.safetensors"))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.warns(UserWarning, match="^weights 1.safetensors in the cache were changed or cut short: trained again$"):
        assert kept.load_weights((1,)) is None
    assert not kept.has_weights((1,))


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 4]) + content[place:][1:]


HARM = {
    **{f"bit of byte {place}": lambda content, place=place: flipped(content, place) for place in (20, 300, 1100)},
    "another type": lambda content: content.replace(b"F32", b"I32"),
    "another shape": lambda content: content.replace(b'"shape":[250]', b'"shape":[205]'),
    "another name": lambda content: content.replace(b'"w"', b'"v"'),
}


@pytest.mark.parametrize("harm", HARM)
def test_altered_weights_are_found(harm, tmp_path):
    kept = open_store(tmp_path)
    kept.save_weights((1,), state(1))
    path = next((tmp_path / "weights").rglob("1.safetensors"))
    content = path.read_bytes()
    path.write_bytes(HARM[harm](content))
    assert path.read_bytes() != content
    with pytest.warns(UserWarning, match="^weights 1.safetensors"):
        assert kept.load_weights((1,)) is None
    assert not kept.has_weights((1,))


def test_a_full_disk_leaves_no_half_weights(tmp_path, monkeypatch):
    def full(tensors, path, **metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UserError, match="weights cannot be written to the cache: .*No space left"):
        open_store(tmp_path).save_weights((1,), state(1))
    assert [path for path in (tmp_path / "weights").rglob("*") if path.is_file()] == []


def aged(kept, tmp_path, *nodes):
    """Save weights of these nodes, each used a minute after the one before."""
    for minutes, removed in enumerate(nodes):
        kept.save_weights(removed, state(minutes))
        path = next((tmp_path / "weights").rglob(f"{label(removed) or 'original'}.safetensors"))
        os.utime(path, (time.time() - 3600 + 60 * minutes,) * 2)
    return path.stat().st_size


def held(kept, *nodes):
    return [removed for removed in nodes if kept.has_weights(removed)]


@pytest.mark.parametrize(
    "fit, left",
    [(5, [(), (1,), (2,), (1, 0), (3, 0)]), (4, [(), (1,), (2,), (3, 0)]), (2, [(), (2,)]), (1, [()])],
)
def test_deep_weights_go_first_and_of_these_the_longest_unused(fit, left, tmp_path):
    nodes, kept = [(), (1,), (2,), (1, 0), (3, 0)], open_store(tmp_path)
    size = aged(kept, tmp_path, *nodes)
    kept.limit_bytes = fit * size
    kept.evict(keep=set())
    assert held(kept, *nodes) == left


def test_loading_counts_as_use_and_keep_is_spared(tmp_path):
    nodes, kept = [(), (1,), (2,), (3,)], open_store(tmp_path)
    size = aged(kept, tmp_path, *nodes)
    kept.load_weights((2,))
    kept.limit_bytes = 3 * size
    kept.evict(keep={(1,)})
    assert held(kept, *nodes) == [(), (1,), (2,)], "(3,) was used longest ago of those that may go"
    kept.limit_bytes = 0
    kept.evict(keep={(1,)})
    assert held(kept, *nodes) == [(1,)], "what the next step needs stays, limit or not"


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


def test_weights_that_another_study_evicts_meanwhile_are_no_fault(tmp_path, monkeypatch):
    kept = open_store(tmp_path, limit_gb=0.0)
    for removed in ((), (1,), (1, 2)):
        kept.save_weights(removed, state(0))
    gone, there = kept._weights_path((1,)), store._depth
    monkeypatch.setattr(store, "_depth", lambda path: gone.unlink(missing_ok=True) or there(path))  # between the look and the act
    kept.evict({()})
    assert kept.has_weights(()) and not kept.has_weights((1, 2))


IN_USE = """
import sys
from pathlib import Path
from paperlib.nodes.store import Store
kept = Store(Path(sys.argv[1]) / "nodes", Path(sys.argv[1]) / "weights", "a" * 64, 1.0)
kept.{what}
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("what", ["load_weights(())", "save_weights((1,), kept.load_weights(()))"])
def test_weights_that_another_process_has_in_use_are_not_forgotten(what, tmp_path):
    kept = open_store(tmp_path)
    kept.save_weights((), state(0))
    command = [sys.executable, "-c", IN_USE.format(what=what), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as other:
        assert other.stdout.readline() == b"open\n"
        assert not weights_in_use.delete_unused(kept.weights) and kept.has_weights(())
        other.stdin.close()
    assert weights_in_use.delete_unused(kept.weights) and not kept.weights.exists()
    kept.save_weights((), state(0))
    assert kept.load_weights(()) is not None, "a folder that was deleted is made again, and held"
    assert kept.weights in weights_in_use._held
