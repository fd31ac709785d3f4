"""Whole or not at all: whatever a unit has lost, and wherever a run was cut off, the next one ends with the same tables.

The models are made up (made_study.py); records, tables, provenance, freshness and the driver are those of any study.
"""

import contextlib
import itertools
import os
import tempfile
import warnings
from pathlib import Path

import made_study
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from paperlib.evidence import provenance, units
from paperlib.nodes.node import label
from paperlib.nodes.store import store_of
from paperlib.tree import DISTILLED, Study

CASES = max(20, 10 * int(os.environ.get("PAPERLIB_KILLS", "0")))  # make torture: a thousand
HOW = ("removed", "emptied", "cut", "altered")


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield made_study.set_up(monkeypatch)


@pytest.fixture(scope="module")
def finished(bench, tmp_path_factory):
    """Return the folder of a unit that was run in one go."""
    folder = tmp_path_factory.mktemp("finished")
    assert bench.run(made_study.params_in(folder)) == 0
    assert sorted(bench.fine_tunes) == sorted([*models(folder), "distilled", "ce_control"]), "each model once"
    return folder


@contextlib.contextmanager
def copy_of(folder):
    """Yield the parameters of a copy of a finished unit, for one case of many."""
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged record is named when it is read
        yield made_study.copied(folder, Path(place))


def models(folder):
    names = [path.stem for path in (made_study.params_in(folder).unit_dir / "nodes").glob("*.json")]
    return {"" if name == "original" else name for name in names} - {"study"}


def harm(path, how):
    content = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif how == "altered":
        place = len(content) // 2
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    else:
        path.write_bytes(content[: len(content) // 2 if how == "cut" else 0])


def forget(params, names):
    """Take notebooks out of a unit's provenance, which is otherwise sound."""
    if names and (record := units.provenance(params.unit_dir)):
        record["notebooks"] = {name: run for name, run in record["notebooks"].items() if name not in names}
        provenance.write(params.unit_dir / units.PROVENANCE, record)


def parent(removed):
    return removed.rpartition("-")[0] if removed else None


def needed(harmed, weightless, student):
    """Return the fewest fine-tunes after which a unit is whole again: what is lost, and what that is made from."""
    of_unit = [Path(name) for name in harmed if not name.startswith("weights/")]
    made = {"" if path.stem == "original" else path.stem for path in of_unit if path.parts[0] == "nodes"} - {"study"}
    again = any(path.name == "distillation.json" or path.parts[0] == "student" for path in of_unit)
    wanted = {parent(removed) for removed in made} | ({"", student} if again else set())
    while wanted := {removed for removed in wanted - {None} - made if removed in weightless}:
        made |= wanted
        wanted = {parent(removed) for removed in wanted}
    return sorted([*made, *["distilled", "ce_control"] * again])


@some.composite
def damages(draw):
    """Draw what is done to a unit: the shares of its files and weights that are harmed, and provenance entries forgotten."""
    shares = draw(some.sampled_from([0.0, 0.02, 0.05, 0.1, 0.3, 1.0])), draw(some.sampled_from([0.0, 0.2, 1.0]))
    forgotten = draw(some.lists(some.sampled_from(list(units.UNIT_NOTEBOOKS)), unique=True))
    return *shares, forgotten, draw(some.randoms(use_true_random=False))


def do(damage, params):
    """Damage a unit; return the files that were harmed, and the models whose weights are gone or unreadable."""
    share, share_of_weights, forgotten, draw = damage
    forget(params, forgotten)
    harmed = [path for path in sorted(params.unit_dir.rglob("*")) if path.is_file() and draw.random() < share]
    weights = [path for path in sorted(params.cache_path.rglob("*.safetensors")) if draw.random() < share_of_weights]
    for path in harmed + weights:
        harm(path, draw.choice(HOW))
    weightless = {"" if path.stem == "original" else path.stem for path in weights}
    return [path.relative_to(params.unit_dir).as_posix() for path in harmed], weightless


def is_whole(params, bench):
    """Say that a unit is complete and unharmed, and that there is nothing left to do."""
    assert units.stale(params) == units.harmed(params) == units.lost(params) == []
    assert units.provenance(params.unit_dir)["complete"] is True
    assert not [path for path in params.profile_dir.rglob("*") if "partial" in path.name]
    assert bench.run(params) == 0 and bench.notebooks == bench.fine_tunes == []


many = settings(
    max_examples=CASES, database=None, derandomize=CASES < 1000, suppress_health_check=list(HealthCheck)
)


@many
@given(damages())
def test_whatever_is_lost_the_same_tables_come_back_by_the_fewest_fine_tunes(bench, finished, damage):
    expected, student = made_study.told(made_study.params_in(finished)), student_of(finished)
    with copy_of(finished) as params:
        harmed, weightless = do(damage, params)
        stale = units.stale(params)
        assert bench.run(params) == 0
        assert made_study.told(params) == expected
        assert sorted(bench.fine_tunes) == needed(harmed, weightless, student)
        assert set(bench.notebooks) <= set(stale) and len(set(bench.notebooks)) == len(bench.notebooks)
        is_whole(params, bench)


def test_a_study_that_lost_walks_is_not_called_complete(bench, finished):
    """Records vanish, and what later notebooks recorded: the notebook that made the records has to run again."""
    expected = made_study.told(made_study.params_in(finished))
    with copy_of(finished) as params:
        gone = sorted((params.unit_dir / "nodes").glob("[!s]*.json"))[::3]
        for path in gone:
            path.unlink()
        forget(params, ["04_fusion", "05_distillation", "06_randomization"])
        assert "03_strategies" in units.stale(params) and len(units.lost(params)) == len(gone)
        assert bench.run(params) == 0 and len(bench.fine_tunes) == len(gone)
        assert made_study.told(params) == expected
        is_whole(params, bench)


@pytest.mark.parametrize(("part", "told_by"), [
    ("signals", "03_strategies"), ("ablation_validation", "03_strategies"),
    ("subsets_test", "08_subsets"), ("subsets_validation", "08_subsets"), ("block_influence", "08_subsets"),
])  # fmt: skip
def test_a_record_that_lacks_what_its_tables_tell_is_measured_again(bench, finished, part, told_by):
    expected = made_study.told(made_study.params_in(finished))
    with copy_of(finished) as params:
        kept = store_of(params)
        kept.write({**kept.read(()).record, part: None})
        assert units.stale(params) == [told_by] and units.lost(params) == []
        assert bench.run(params) == 0 and bench.fine_tunes == [], "its weights are at hand"
        assert made_study.told(params) == expected
        is_whole(params, bench)


def test_a_table_harmed_while_another_notebook_runs_does_not_pass_for_a_result(bench, finished):
    with copy_of(finished) as params:
        expected = made_study.told(params)
        harm(params.unit_dir / "randomization.csv", "altered")
        forget(params, ["04_fusion"])
        assert bench.run(params) == 0 and bench.notebooks == ["04_fusion", "06_randomization"]
        assert made_study.told(params) == expected
        is_whole(params, bench)


@many
@given(damages(), some.integers(0, 60))
def test_a_repair_that_is_cut_off_is_taken_up_again(bench, finished, damage, last_write):
    expected = made_study.told(made_study.params_in(finished))
    with copy_of(finished) as params:
        do(damage, params)
        bench.run(params, last_write)
        assert bench.run(params) == 0
        assert made_study.told(params) == expected
        is_whole(params, bench)


@pytest.mark.parametrize("harmed", ["randomization.csv", "distillation.csv"])
def test_a_repair_cut_off_before_any_of_its_writes_is_called_complete_when_it_is(bench, finished, harmed):
    expected = made_study.told(made_study.params_in(finished))
    for last_write in itertools.count():
        with copy_of(finished) as params:
            harm(params.unit_dir / "fusion.csv", "altered")
            harm(params.unit_dir / harmed, "altered")
            cut_off = bench.run(params, last_write) is None
            assert bench.run(params) == 0
            assert made_study.told(params) == expected
            is_whole(params, bench)
        if not cut_off:
            break
    assert last_write > 5


def test_cut_off_before_any_of_its_writes_a_study_ends_with_the_same_tables(bench, tmp_path):
    whole = made_study.params_in(tmp_path, max_removed=1)
    assert bench.run(whole) == 0
    expected, trained, writes = made_study.told(whole), len(bench.fine_tunes), bench.writes
    assert writes > trained + 20
    for last_write in range(writes):
        with tempfile.TemporaryDirectory() as place:
            params = made_study.params_in(Path(place), max_removed=1)
            assert bench.run(params, last_write) is None, "it was cut off"
            assert not units.provenance(params.unit_dir).get("complete")
            begun = len(bench.fine_tunes)
            assert bench.run(params) == 0
            assert made_study.told(params) == expected
            assert begun + len(bench.fine_tunes) <= trained + 2, "what is lost is in hand: a model, or a student and its control"
            is_whole(params, bench)


def student_of(folder):
    params = made_study.params_in(folder)
    return label(Study(params).walk(DISTILLED).best.removed)
