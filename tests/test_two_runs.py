"""Two runs side by side: what differs, by how much, and that a run does not differ from its copy."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import smoke_params

from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file
from paperlib.common.places import ROOT
from paperlib.evidence import provenance, two_runs, units
from paperlib.evidence.two_runs import Run
from paperlib.figures.compare import draw
from paperlib.names import WALKS
from paperlib.report import compare
from paperlib.report.reference import keeping

LAPTOP = keeping.REFERENCE / "laptop"


def made_run(accuracies, order, *, seed=0, **settings):
    """Return a run of one unit: two strategies that remove the layers in this order, and their accuracies by step."""
    rows = [
        {"dataset": "imdb", "seed": seed, "strategy": name, "step": step, "accuracy": value, "test_size": 100,
         "removed_layer": layers[step - 1] if step else np.nan, "removed": "-".join(map(str, layers[:step]))}
        for name, layers in zip(("Weight-Norm", "Random-Forest"), order) for step, value in enumerate(accuracies)
    ]  # fmt: skip
    record = {"parameters": {"dataset": "imdb", "seed": seed, "workers": 1, "precision": "auto", **settings}, "cpu": "one"}
    return Run(Path("made"), {("imdb", seed): record}, pd.DataFrame(rows))


def test_by_hand():
    one = made_run([0.5, 0.6, 0.4], [(0, 1), (1, 0)])
    other = made_run([0.5, 0.5, 0.5], [(0, 1), (0, 1)], precision="bf16", workers=4)
    found = two_runs.models(one, other)
    # Here: none, 0, 0-1, 1, 1-0; there: none, 0, 0-1. In both three, of accuracies .5 .6 .4 and .5 .5 .5.
    assert (found["one"], found["other"], found["both"]) == (5, 3, 3)
    assert found[["same", "mean", "most"]].tolist() == pytest.approx([1 / 3, 20 / 3, 10])
    assert found["error"] == pytest.approx(10 * np.mean([0.25**0.5, 0.24**0.5, 0.24**0.5]))
    walks = two_runs.walks(one, other)
    assert list(walks.index) == ["Weight-Norm", "Random-Forest"]
    assert walks["one"].tolist() == [0.6, 0.6] and walks["other"].tolist() == [0.5, 0.5]
    assert walks["difference"].tolist() == pytest.approx([-10, -10]) and walks["sem"].isna().all()
    assert walks["together"].tolist() == [2, 0] and walks["steps"].tolist() == [2, 2]
    assert two_runs.differences(one, other).to_dict("index") == {"precision": {"one": "auto", "other": "bf16"}}
    older = made_run([0.5, 0.6, 0.4], [(0, 1), (1, 0)])
    del older.records["imdb", 0]["parameters"]["workers"], older.records["imdb", 0]["parameters"]["precision"]
    assert two_runs.differences(one, older).to_dict("index") == {"precision": {"one": "auto", "other": "not recorded"}}


def test_what_trained_the_models_counts_not_where_a_run_was_finished():
    one, other = made_run([0.5, 0.6], [(0,), (1,)]), made_run([0.5, 0.6], [(0,), (1,)])
    other.records["imdb", 0]["cpu"] = "two"
    told = {"computer": {"one": "one", "other": "two"}}
    assert two_runs.differences(one, other).to_dict("index") == told, "tables that do not tell: where it was finished"
    for run in (one, other):
        run.steps["trained_on"] = ["one", None, "one", "one"]  # an original that was taken as it is was trained by none
    assert two_runs.differences(one, other).empty
    other.steps.loc[3, "trained_on"] = "a card"
    assert two_runs.differences(one, other).to_dict("index") == {"computer": {"one": "one", "other": "a card, one"}}
    other.steps["trained_on"], other.records["imdb", 0]["computed"] = None, {"device": "cuda", "precision": "fp32"}
    other.records["imdb", 0]["gpu"] = "a card"
    assert two_runs.differences(one, other).loc["computer"].tolist() == ["one", "a card"]


def test_walks_that_remove_several_layers_at_once_are_alike_where_they_removed_the_same():
    """Of families no single layer is written: equal are the sets, up to the first that differs."""
    one, other = made_run([0.5, 0.6, 0.4, 0.3], [(0, 1, 2), (1, 0, 2)]), made_run([0.5, 0.6, 0.4, 0.3], [(0, 1, 2), (1, 0, 2)])
    for run, sets in ((one, ["", "1", "(1,2)", "(0,1,2)"]), (other, ["", "1", "(1,4)", "(0,1,2)"])):
        run.steps["strategy"] = run.steps["strategy"].replace("Weight-Norm", "One-Shot")
        family = run.steps["strategy"] == "One-Shot"
        run.steps.loc[family, "removed"], run.steps.loc[family, "removed_layer"] = sets, np.nan
    walks = two_runs.walks(one, other)
    assert walks["together"].to_dict() == {"Random-Forest": 3, "One-Shot": 1}


def test_walks_of_one_run_only_are_named():
    one, other = made_run([0.5, 0.6, 0.4], [(0, 1), (1, 0)]), made_run([0.5, 0.6, 0.4], [(0, 1), (1, 0)])
    assert compare._alone_text(one, other) == ""
    one.steps.loc[one.steps["strategy"] == "Random-Forest", "strategy"] = "Top-Drop"
    assert compare._alone_text(one, other) == "Only this run walked: Top-Drop. Only the other walked: Random-Forest."


def test_over_several_units():
    def of_two(first, second):
        parts = [made_run(first, [(0,), (1,)], seed=0), made_run(second, [(0,), (1,)], seed=1)]
        records = {unit: record for part in parts for unit, record in part.records.items()}
        return Run(Path("made"), records, pd.concat([part.steps for part in parts]))

    one, other = of_two([0.5, 0.5], [0.5, 0.7]), of_two([0.5, 0.6], [0.5, 0.7])
    walks = two_runs.walks(one, other)
    assert walks["difference"].tolist() == pytest.approx([5, 5])
    assert walks["sem"].tolist() == pytest.approx([5, 5]), "of 10 and 0 points"
    assert two_runs.differences(one, other).empty
    alone = made_run([0.5, 0.7], [(0,), (1,)], seed=1)
    mine, theirs = two_runs.matched(one, alone)
    assert list(mine.records) == list(theirs.records) == [("imdb", 1)] and set(mine.steps["seed"]) == {1}
    with pytest.raises(UserError, match="^no dataset and seed is in both runs; the other has imdb seed 7$"):
        two_runs.matched(one, made_run([0.5, 0.7], [(0,), (1,)], seed=7))


@pytest.fixture
def laptop(tmp_path):
    """Return the parameters of a laptop profile whose outputs are two units of the reference."""
    params = smoke_params(tmp_path).replace(profile="laptop")
    for unit in ("newsgroup/seed-0", "imdb/seed-0"):
        shutil.copytree(LAPTOP / unit, params.profile_dir / unit)
    return params


def test_a_run_is_its_copy(laptop):
    page = compare.main(laptop, str(LAPTOP))
    text = Path(page).read_text()
    assert "Nothing that is recorded." in text and "100% have the same accuracy" in text
    assert "newsgroup seed 0" in text and "imdb seed 0" in text and "yelp" not in text
    assert "This run: all-MiniLM-L6-v2, 512 training and 256 test examples, computed in fp32 on processors, walks down to 6 of 6 layers removed." in text
    table = pd.read_csv(Path(page).with_suffix(".csv"), index_col=0)
    assert (table["difference"] == 0).all() and (table["together"] == table["steps"]).all() and list(table.index) == list(WALKS)
    assert (table["one"] == table["other"]).all()


def test_another_setting_is_named_and_its_effect_counted(laptop, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(laptop.profile_dir, other)
    unit = other / "imdb" / "seed-0"
    steps = pd.read_csv(unit / "steps.csv", dtype={"removed": str, "removed_layer": "Int64"})
    steps.loc[steps["step"] > 0, "accuracy"] += 4 / 256
    steps["trained_on"] = "a | b"
    steps.to_csv(unit / "steps.csv", index=False)
    record = units.provenance(unit)
    record["parameters"] |= {"workers": 64}
    record["computed"] |= {"precision": "bf16"}
    record["tables"]["steps"] = sha256_file(unit / "steps.csv")
    provenance.write(unit / units.PROVENANCE, record)
    text = Path(compare.main(laptop, str(other))).read_text()
    assert "| precision | fp32 | bf16, fp32 |" in text and r"a \| b" in text and "workers" not in text
    assert text.startswith("# Two runs compared: precision, computer\n")
    assert text.count("| +0.8 | 0.8 |") == len(WALKS), "four of 256 examples more in one of two units"
    assert "1.6 at most" in text and "different texts" not in text


def test_other_texts_are_said_to_be_others(laptop, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(laptop.profile_dir, other)
    for unit in other.glob("*/seed-0"):
        record = units.provenance(unit)
        record["parameters"]["data_dir"] = "elsewhere"
        provenance.write(unit / units.PROVENANCE, record)
    text = Path(compare.main(laptop, str(other))).read_text()
    assert "**The two may have read different texts** (`data_dir`): accuracies then differ" in text


def test_the_figure_shows_both(laptop):
    ours = two_runs.read(laptop.profile_dir)
    walks = two_runs.walks(ours, ours).assign(other=lambda table: table["one"] + 0.1)
    walks["difference"] = [10.0] * (len(walks) - 1) + [-12.0]
    figure, alt = draw(walks)
    (ax,) = figure.axes
    mine, theirs = ax.lines
    np.testing.assert_allclose(mine.get_xdata(), walks["one"])
    np.testing.assert_allclose(theirs.get_xdata(), walks["other"])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(walks.index)
    assert f"at most by -12.0 ({walks.index[-1]})" in alt
    assert "**SMOKE RUN**" in compare.page(ours, ours, walks, alt, banner="SMOKE RUN")


@pytest.mark.parametrize(("gaps", "text"), [
    ([1.0, -3.0, 2.0], "the other differs by +0.0 points on average, at most by -3.0 (b)."),
    ([2.0, 2.0, -1.0], "the other differs by +1.0 points on average, at most by +2.0 (a and b)."),
    ([2.0, -2.0, 0.0], "the other differs by +0.0 points on average, at most by ±2.0 (a and b)."),
    ([0.5, 0.5, 0.5], "the other differs by +0.5 points on average, at most by +0.5 (all 3 alike)."),
    ([np.nan, -1.0, -1.0], "the other differs by -1.0 points on average, at most by -1.0 (b and c)."),
    ([0.0, 0.0, 0.0], "two runs: the same in both."), ([np.nan] * 3, "two runs: the difference is undefined."),
])  # fmt: skip
def test_no_strategy_differs_most_where_several_do_or_none(gaps, text):
    walks = pd.DataFrame({"one": 0.5, "other": 0.5 + np.array(gaps) / 100, "difference": gaps}, index=list("abc"))
    assert draw(walks)[1].endswith(text)


def test_what_was_changed_is_refused(laptop):
    path = laptop.profile_dir / "imdb" / "seed-0" / "steps.csv"
    path.write_bytes(path.read_bytes().replace(b"imdb,0,Random,0", b"imdb,0,Random,9", 1))
    with pytest.raises(UserError, match=r"laptop/imdb/seed-0/steps.csv: is not what the run wrote"):
        compare.main(laptop, str(LAPTOP))
    with pytest.raises(UserError, match="is this run itself"):
        compare.main(laptop, str(laptop.profile_dir))
    record = laptop.profile_dir / "imdb" / "seed-0" / units.PROVENANCE
    record.write_text(json.dumps(json.loads(record.read_text()) | {"complete": False}))
    assert list(two_runs.read(laptop.profile_dir).records) == [("newsgroup", 0)], "a record that was changed is none"


def test_the_make_target():
    words = ["compare", "PROFILE=paper", "SET=precision=bf16", "WITH=outputs/my run/paper"]
    done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True)
    line = " ".join(done.stdout.replace("\\\n", " ").split())
    assert done.returncode == 0 and "compare --profile 'paper' --datasets 'newsgroup' 'dbpedia'" in line
    assert "--set 'precision=bf16' --with 'outputs/my run/paper'" in line
