"""What more workers would bring, by schedules worked out by hand."""

import json
import re

import pandas as pd
import pytest
from conftest import smoke_params

from paperlib import __main__ as command_line
from paperlib.common.records import seal
from paperlib.driver import simulate
from paperlib.driver.simulate import NOTEBOOK_SECONDS, schedule, stages_of

ONE = [[[2.0], [3.0, 3.0, 3.0]]]
UNEQUAL = [[[1.0], [5.0, 1.0, 1.0, 1.0]]]  # the longest first: 5 beside 1 + 1 + 1
TWO = [[[2.0], [2.0, 2.0]], [[4.0], [2.0]]]


@pytest.mark.parametrize("units, workers, seconds, waiting", [
    (ONE, 1, 11, 0),
    (ONE, 2, 8, 5 / 16),  # the first stage keeps one, the odd third task one
    (ONE, 3, 5, 4 / 15),
    (ONE, 64, 5, 1 - 11 / 320),
    (UNEQUAL, 2, 6, 1 - 9 / 12),
    (TWO, 1, 12, 0),
    # 0 to 2: both first stages. 2 to 4: the first unit's pair, one by one while the other worker has 4 s; 4 to 6: the rest.
    (TWO, 2, 6, 0),
    (TWO, 3, 6, 1 - 12 / 18),
    ([[[1.0]], [[1.0]], [[1.0]]], 2, 2, 1 / 4),
    ([[[], [1.0], [], [2.0]]], 1, 3, 0),
])  # fmt: skip
def test_a_schedule_is_that_worked_out_by_hand(units, workers, seconds, waiting):
    done = schedule(units, workers)
    assert done.seconds == pytest.approx(seconds) and done.waiting == pytest.approx(waiting, abs=1e-9)


def test_a_worker_owns_one_unit_at_a_time():
    """With one worker the second unit waits for the first, though its task would be ready before the first one's second."""
    order = schedule([[[1.0], [1.0]], [[10.0]]], 1)
    assert order.seconds == 12 and schedule([[[1.0], [1.0]], [[10.0]]], 2).seconds == 10


def write_steps(folder, rows):
    folder.mkdir(parents=True)
    pd.DataFrame(rows, columns=["removed", "seconds"]).to_csv(folder / "steps.csv", index=False)


def test_models_are_counted_once_and_by_level(tmp_path):
    rows = [("", 6.0), ("0", 4.0), ("", 6.0), ("1", 8.0), ("0", 4.0), ("0-2", 2.0), ("0+2", 3.0), ("none", 5.0), ("none-none", 7.0)]
    write_steps(tmp_path / "unit", rows)
    notebooks, original, first, second = stages_of(tmp_path / "unit")
    assert notebooks == [NOTEBOOK_SECONDS] and original == [6.0]
    assert sorted(first) == [2.5, 6.0, 6.0, 6.0], "two layers at once are one round; medians of as many layers left"
    assert sorted(second) == [2.5, 6.0]
    assert stages_of(tmp_path / "nothing") is None
    (tmp_path / "unit" / "steps.csv").write_text("")
    assert stages_of(tmp_path / "unit") is None, "a table that is none says nothing"


def test_records_say_what_was_measured_too(tmp_path):
    (tmp_path / "nodes").mkdir()
    for name, removed, seconds in (("original", "", {"fine_tune": 3.0, "evaluate": 1.0, "signals": 2.0}), ("0", "0", {"fine_tune": 2.0, "evaluate": 0.5})):
        (tmp_path / "nodes" / f"{name}.json").write_text(json.dumps(seal({"removed": removed, "seconds": seconds})))
    (tmp_path / "nodes" / "study.json").write_text(json.dumps(seal({})))
    assert stages_of(tmp_path) == [[NOTEBOOK_SECONDS], [6.0], [2.5]]
    record = {"removed": "", "seconds": {"fine_tune": 3.0, "evaluate": 1.0, "subsets_test": 8.0}, "shares": {"subsets_test": 4}}
    (tmp_path / "nodes" / "original.json").write_text(json.dumps(seal(record)))
    assert stages_of(tmp_path) == [[NOTEBOOK_SECONDS, 2.0, 2.0, 2.0, 2.0], [4.0], [2.5]], "shares are tasks of their own"


def test_the_table_is_printed(tmp_path, monkeypatch, capsys, process_as_before):
    monkeypatch.setattr(simulate, "REFERENCE", tmp_path / "reference")
    places = ["--set", f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache"]
    command = ["plan", "--profile", "smoke", "--seeds", "0", "1", "--workers"]
    assert command_line.main([*command, "6", *places]) == 2
    assert capsys.readouterr().err == "paperlib: plan: no run of smoke has left seconds to reckon with: run one unit first\n"
    write_steps(smoke_params(tmp_path).unit_dir, [("", 15.0), ("0", 15.0), ("1", 15.0)])
    assert command_line.main([*command, "6", *places]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2 units (seconds of 1 of them as recorded), models at most in each level: 1, 2"
    assert [line.split() for line in said[2:]] == [
        [*row.split()] for row in ("1 3 min 00 s 1.0x 0%", "2 1 min 30 s 2.0x 0%", "4 1 min 15 s 2.4x 40%", "6 1 min 15 s 2.4x 60%")
    ]  # fmt: skip
    assert command_line.main([*command, "none", *places]) == 2
    assert re.fullmatch("paperlib: command line: workers 'none' is not a whole number .*\n", capsys.readouterr().err)
