"""Provenance: complete, private, the same when nothing changed, and never in the way."""

import hashlib
import importlib.metadata
import json
import subprocess
import sys

import pytest

from paperlib.common import hardware
from paperlib.common.errors import UserError
from paperlib.common.files import (
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    sha256_file,
    sha256_folder,
    sweep,
)
from paperlib.common.places import ROOT
from paperlib.common.records import read_sealed, seal
from paperlib.evidence import provenance
from paperlib.params import load


def test_record_has_what_a_reader_needs_and_is_json(tmp_path):
    record = provenance.collect(load(seed=3), wall_seconds=12.5, note="extra")
    path = provenance.write(tmp_path / "provenance.json", {**record, "path": tmp_path})
    read = json.loads(path.read_text())
    assert read["parameters"]["seed"] == 3 and read["seeds"] == [3]
    assert read["wall_seconds"] == 12.5 and read["note"] == "extra"
    assert read["packages"]["torch"].startswith("2.") and read["python"].startswith("3.")
    assert (
        read["cores"] >= 1 and read["memory_gb"] > 0.5 and 0.01 < read["peak_memory_gb"] < read["memory_gb"]
    )
    assert {"commit", "clean", "command", "cpu", "gpu", "cuda", "platform", "fingerprint"} <= set(read)


def test_fingerprint_follows_the_study_and_not_where_it_runs():
    base = load()
    assert provenance.fingerprint(base) == provenance.fingerprint(
        base.replace(output_dir="elsewhere", cache_gb=2.0)
    )
    assert provenance.fingerprint(base) != provenance.fingerprint(base.replace(seed=1))


def test_stamp_is_one_line_without_a_clock():
    assert provenance.stamp(load()) == provenance.stamp(load())
    assert "\n" not in provenance.stamp(load()) and "laptop" in provenance.stamp(load())


def test_no_private_path_is_recorded():
    text = json.dumps(provenance.collect(load(settings="data_dir=/mnt/private/user/data")))
    assert "/mnt/" not in text and "…/data" in json.loads(text)["parameters"]["data_dir"]
    assert str(ROOT) not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{ROOT}/outputs/x.csv", "./outputs/x.csv"),
        (f"File {sys.prefix}/lib/x.py, line 1", "File (environment)/lib/x.py, line 1"),
        ("--set data_dir=/mnt/a/b", "--set data_dir=…/b"),
        ("https://example.org/a/b and/or 1/2 </td></tr>", "https://example.org/a/b and/or 1/2 </td></tr>"),
    ],
)
def test_scrub_shortens_absolute_paths_only(text, expected):
    assert provenance.scrub(text) == expected


def test_git_state_is_unknown_without_git_or_outside_the_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_state() == {"commit": "unknown", "clean": "unknown"}
    monkeypatch.undo()
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.git_state()["commit"] == "unknown"


def test_git_state_tells_a_changed_tree_from_a_clean_one(monkeypatch, tmp_path):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    monkeypatch.setattr(provenance, "ROOT", tmp_path.resolve())
    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "first")
    clean = provenance.git_state()
    (tmp_path / "file").write_text("2")
    assert clean["clean"] is True and len(clean["commit"]) == 40
    assert provenance.git_state() == {"commit": clean["commit"], "clean": False}


def test_footer_is_a_table_that_data_cannot_break():
    lines = provenance.footer(load(), command="a | b <script>").data.splitlines()
    assert lines[1] == "|---|---|"
    assert "| Command | a \\| b \\<script\\> |" in lines
    assert all(line.startswith("| ") for line in lines[2:])


@pytest.mark.parametrize(
    ("seconds", "words"), [(42, "42 s"), (425.2, "7 min 05 s"), (11520, "3 h 12 min"), (None, "unknown")]
)
def test_duration(seconds, words):
    assert provenance.duration(seconds) == words


def test_atomic_write_leaves_the_old_file_when_it_fails(monkeypatch, tmp_path):
    path = atomic_write_text(tmp_path / "new" / "a.txt", "old")
    monkeypatch.setattr(
        "os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(UserError, match="No space left"):
        atomic_write_bytes(path, b"new")
    assert path.read_text() == "old" and [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_half_written_is_swept(tmp_path):
    kept = [atomic_write_text(tmp_path / "a" / name, "whole") for name in ("x.json", "partial.csv", ".hidden")]
    for name in (".x.json.k3_9.partial", "a/.03_strategies.partial.ipynb", "a/.student.partial/model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    sweep(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_a_sealed_record_that_was_changed_is_none(tmp_path):
    record = seal({"b": [1, 2.5], "a": {"x": None}})
    path = atomic_write_json(tmp_path / "a.json", record)
    assert read_sealed(path) == record == seal(record)
    whole = path.read_bytes()
    for place in range(len(whole) - 1):  # but for the line feed at its end
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]):
            path.write_bytes(content)
            assert read_sealed(path) is None, content


UNKNOWABLE = {
    "git": ("subprocess.run", OSError("no git")),
    "gpu": ("torch.cuda.is_available", RuntimeError("driver too old")),
    "memory": ("os.sysconf", ValueError("no such name")),
    "cpu": ("paperlib.common.hardware.Path", OSError("no /proc")),
    "version": ("importlib.metadata.version", importlib.metadata.PackageNotFoundError("torch")),
    "start": ("psutil.Process", RuntimeError("no process table")),
}


@pytest.mark.parametrize("what", UNKNOWABLE)
def test_what_cannot_be_known_is_unknown_and_stops_nothing(what, monkeypatch):
    target, error = UNKNOWABLE[what]

    def refuse(*arguments, **named):
        raise error

    params = load()
    monkeypatch.setattr(target, refuse)
    if what == "cpu":
        monkeypatch.setattr("platform.processor", str)
        monkeypatch.setattr("platform.machine", str)
    record = provenance.collect(params)
    found = {"git": record["commit"], "gpu": record["gpu"], "memory": record["memory_gb"], "cpu": record["cpu"],
             "version": record["packages"]["torch"], "start": "unknown"}  # fmt: skip
    assert found[what] == "unknown" and record["wall_seconds"] > 0
    assert [name for name, value in provenance.summary(record) if not value] == []


def test_what_computes_is_the_processor_or_the_gpu(monkeypatch):
    monkeypatch.setattr(hardware, "cpu_model", lambda: "a processor")
    monkeypatch.setattr(hardware, "gpu", lambda: {"gpu": "a card", "cuda": "13"})
    assert [hardware.computes(device) for device in ("cpu", "cuda")] == ["a processor", "a card"]


def test_the_checksum_of_a_folder_is_of_all_below_it(tmp_path):
    assert sha256_folder(tmp_path) == ""
    (tmp_path / "model.safetensors").write_text("weights")
    flat = sha256_folder(tmp_path)
    assert flat == hashlib.sha256(f"model.safetensors {sha256_file(tmp_path / 'model.safetensors')}\n".encode()).hexdigest()
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_text("weights")
    deep = sha256_folder(tmp_path)
    (tmp_path / "onnx" / "model.onnx").write_text("others")
    assert len({flat, deep, sha256_folder(tmp_path)}) == 3
    changed = sha256_folder(tmp_path)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "config-checkpoint.json").write_text("{}")
    assert sha256_folder(str(tmp_path)) == changed, "what an editor leaves is no part of it"


def test_json_refuses_nan_and_hash_is_sha256(tmp_path):
    with pytest.raises(ValueError):
        atomic_write_json(tmp_path / "a.json", {"x": float("nan")})
    path = atomic_write_bytes(tmp_path / "b", b"abc")
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
