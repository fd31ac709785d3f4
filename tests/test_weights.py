"""The cache of weights: only what is whole is read, the limit holds, and what another process has in use stays."""

import os
import subprocess
import sys
import time

import pytest
import torch

from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.nodes import weights, weights_in_use
from paperlib.nodes.node import label
from paperlib.nodes.weights import Weights


def state(seed, size=250):
    """Return weights of 4 `size` bytes, and a little for the header."""
    return {"w": torch.randn(size, generator=torch.Generator().manual_seed(seed))}


def test_weights_come_back_as_saved(tmp_path):
    kept = Weights(lambda: tmp_path, 1.0)
    assert not kept.has((1,)) and kept.load((1,)) is None
    kept.save((1,), state(1))
    assert kept.has((1,)) and torch.equal(kept.load((1,))["w"], state(1)["w"])


@pytest.mark.parametrize("cut", [0, 4, 60, 500])
def test_truncated_weights_are_dropped(cut, tmp_path):
    kept = Weights(lambda: tmp_path, 1.0)
    kept.save((1,), state(1))
    path = next(tmp_path.rglob("1.safetensors"))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.warns(UserWarning, match="^weights 1.safetensors in the cache were changed or cut short: trained again$"):
        assert kept.load((1,)) is None
    assert not kept.has((1,))


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
    kept = Weights(lambda: tmp_path, 1.0)
    kept.save((1,), state(1))
    path = next(tmp_path.rglob("1.safetensors"))
    content = path.read_bytes()
    path.write_bytes(HARM[harm](content))
    assert path.read_bytes() != content
    with pytest.warns(UserWarning, match="^weights 1.safetensors"):
        assert kept.load((1,)) is None
    assert not kept.has((1,))


def test_a_full_disk_leaves_no_half_weights(tmp_path, monkeypatch):
    def full(tensors, path, **metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UserError, match="weights cannot be written to the cache: .*No space left"):
        Weights(lambda: tmp_path, 1.0).save((1,), state(1))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def aged(kept, tmp_path, *nodes):
    """Save weights of these nodes, each used a minute after the one before."""
    for minutes, removed in enumerate(nodes):
        kept.save(removed, state(minutes))
        path = next(tmp_path.rglob(f"{label(removed) or 'original'}.safetensors"))
        os.utime(path, (time.time() - 3600 + 60 * minutes,) * 2)
    return path.stat().st_size


def held(kept, *nodes):
    return [removed for removed in nodes if kept.has(removed)]


@pytest.mark.parametrize(
    "fit, left",
    [(5, [(), (1,), (2,), (1, 0), (3, 0)]), (4, [(), (1,), (2,), (3, 0)]), (2, [(), (2,)]), (1, [()])],
)
def test_deep_weights_go_first_and_of_these_the_longest_unused(fit, left, tmp_path):
    nodes, kept = [(), (1,), (2,), (1, 0), (3, 0)], Weights(lambda: tmp_path, 1.0)
    size = aged(kept, tmp_path, *nodes)
    kept.limit_bytes = fit * size
    kept.evict(keep=set())
    assert held(kept, *nodes) == left


def test_loading_counts_as_use_and_keep_is_spared(tmp_path):
    nodes, kept = [(), (1,), (2,), (3,)], Weights(lambda: tmp_path, 1.0)
    size = aged(kept, tmp_path, *nodes)
    kept.load((2,))
    kept.limit_bytes = 3 * size
    kept.evict(keep={(1,)})
    assert held(kept, *nodes) == [(), (1,), (2,)], "(3,) was used longest ago of those that may go"
    kept.limit_bytes = 0
    kept.evict(keep={(1,)})
    assert held(kept, *nodes) == [(1,)], "what the next step needs stays, limit or not"


def test_weights_that_another_study_evicts_meanwhile_are_no_fault(tmp_path, monkeypatch):
    kept = Weights(lambda: tmp_path, 0.0)
    for removed in ((), (1,), (1, 2)):
        kept.save(removed, state(0))
    gone, there = kept.path((1,)), weights._depth
    monkeypatch.setattr(weights, "_depth", lambda path: gone.unlink(missing_ok=True) or there(path))  # between the look and the act
    kept.evict({()})
    assert kept.has(()) and not kept.has((1, 2))


IN_USE = """
import sys
from pathlib import Path
from paperlib.nodes.weights import Weights
kept = Weights(lambda: Path(sys.argv[1]), 1.0)
kept.{what}
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("what", ["load(())", "save((1,), kept.load(()))"])
def test_weights_that_another_process_has_in_use_are_not_forgotten(what, tmp_path):
    kept = Weights(lambda: tmp_path, 1.0)
    kept.save((), state(0))
    command = [sys.executable, "-c", IN_USE.format(what=what), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as other:
        assert other.stdout.readline() == b"open\n"
        assert not weights_in_use.delete_unused(kept.folder) and kept.has(())
        other.stdin.close()
    assert weights_in_use.delete_unused(kept.folder) and not kept.folder.exists()
    kept.save((), state(0))
    assert kept.load(()) is not None, "a folder that was deleted is made again, and held"
    assert kept.folder in weights_in_use._held
