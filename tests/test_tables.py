"""The tidy tables: one row for what happened, in the columns that figures, statistics and readers rely on."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import files_under, smoke_params
from test_tree import TINY

from paperlib import strategies
from paperlib.common import hardware
from paperlib.common.errors import UserError
from paperlib.evidence import tables, units
from paperlib.names import FAMILIES, FUSERS, SIGNALS, WALKS
from paperlib.nodes.node import unpack
from paperlib.tree import Study

FUSED = (*FUSERS, "Linear-Regression-Validation", "Random-Forest-Validation")
STEPS = ["dataset", "seed", "strategy", "step", "removed_layer", "removed", "accuracy", "validation_accuracy", "parameters",
         "size_gb", "seconds", "ties", "layers", "test_size", "first_loss", "last_loss", "largest_gradient_norm",
         "diverged", "trained_on"]  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    grown = Study(smoke_params(tmp_path_factory.mktemp("tables"), **TINY))
    tests = strategies.random_tests(grown.params)
    grown.grow([*WALKS, *tests["Random-All"], *tests["Random-Inner"]])
    return grown


@pytest.fixture(scope="module")
def frames(study):
    names = ("steps", "signals", "ablation", "fusion", "fusion_fit", "randomization")
    return tables.write(study, *names)


def test_steps_has_one_row_per_strategy_and_step(study, frames):
    steps = frames["steps"]
    assert list(steps.columns[: len(STEPS)]) == STEPS
    assert len(steps) == len(WALKS) * 5 and set(steps["strategy"]) == set(WALKS)
    assert (steps["dataset"] == "newsgroup").all() and (steps["seed"] == 0).all()
    assert (steps["layers"] == 4).all() and (steps["test_size"] == 24).all()
    assert set(steps["trained_on"]) == {hardware.cpu_model()}
    for name, rows in steps.groupby("strategy"):
        assert rows["step"].tolist() == [0, 1, 2, 3, 4]
        walk = study.walk(name)
        for row, node in zip(rows.itertuples(), walk.nodes):
            assert row.accuracy == unpack(node.record["test_correct"]).mean()
            assert row.validation_accuracy == unpack(node.record["validation_correct"]).mean()
            assert row.removed == node.record["removed"] and row.parameters == node.record["parameters"]
            assert row.size_gb == pytest.approx(4 * row.parameters / 1e9)
            assert (
                row.seconds == node.record["seconds"]["fine_tune"]
                and row.last_loss == node.record["health"]["last_loss"]
            )
        assert rows["ties"].tolist() == [1, *(choice.ties for choice in walk.choices)]


def test_removed_is_the_path_of_removed_layers(frames):
    walks = frames["steps"][~frames["steps"]["strategy"].isin(FAMILIES)]  # of these, each step is a walk of its own
    for name, rows in walks.groupby("strategy"):
        layers = rows["removed_layer"].tolist()
        assert layers[0] is pd.NA
        for step, removed in enumerate(rows["removed"]):
            words = (
                ["none"] * step
                if name == "Equal-Training"
                else [str(layer) for layer in layers[1 : step + 1]]
            )
            assert removed == "-".join(words)
        assert name == "Equal-Training" or sorted(layers[1:]) == [0, 1, 2, 3]


def test_the_original_model_is_the_same_for_every_strategy(frames):
    first = frames["steps"].query("step == 0").drop(columns="strategy")
    assert len(first.drop_duplicates()) == 1 and (first["removed"] == "").all()


def test_signals_and_ablation_have_one_row_per_node_and_layer(study, frames):
    for name, part, columns in (
        ("signals", "signals", list(SIGNALS)),
        (
            "ablation",
            "ablation_test",
            ["drop_test", "drop_validation", "loss_increase_test", "loss_increase_validation"],
        ),
    ):
        table = frames[name]
        assert list(table.columns) == ["dataset", "seed", "removed", "layer", *columns]
        nodes = [node for node in study.nodes() if node.has({part})]
        assert len(table) == sum(len(node.remaining) for node in nodes)
        assert not table.duplicated(["removed", "layer"]).any()
    for node in study.nodes():
        rows = frames["ablation"].query("removed == @node.record['removed']").set_index("layer")
        for split in ("test", "validation"):
            if node.has({f"ablation_{split}"}):
                assert rows[f"drop_{split}"].equals(
                    node.ablation(f"ablation_{split}")["drop"].rename(f"drop_{split}")
                )


def test_fusion_has_one_row_per_fuser_step_and_signal(study, frames):
    fusion, fits = frames["fusion"], frames["fusion_fit"]
    assert list(fusion.columns) == ["dataset", "seed", "strategy", "step", "removed", "signal", "weight"]
    assert len(fusion) == len(FUSED) * 3 * 12, "the last layer needs no fuser"
    assert (fusion.groupby(["strategy", "step"], sort=False)["signal"].apply(tuple) == SIGNALS).all()
    forest = (
        fusion[fusion["strategy"].str.startswith("Random-Forest")]
        .groupby(["strategy", "step"])["weight"]
        .sum()
    )
    assert (np.isclose(forest, 1) | (forest == 0)).all(), (
        "importances sum to one, unless the target is constant"
    )
    assert fits["step"].tolist() == [1, 2, 3] * len(FUSED) and fits["rows"].tolist() == [4, 3, 2] * len(FUSED)
    linear = fits[fits["strategy"].str.startswith("Linear")]
    assert linear["same_as_greedy"].all() and (linear["r2"].isna() | np.isclose(linear["r2"], 1)).all()
    for row in fits.itertuples():
        assert row.removed == study.walk(row.strategy).nodes[row.step - 1].record["removed"]


def test_randomization_has_one_row_per_order(study, frames):
    table = frames["randomization"]
    assert list(table.columns) == ["dataset", "seed", "test", "repeat", "order", "max_accuracy", "best_step", "trained_on"]
    assert (
        table["test"].tolist() == ["Random-All"] * 2 + ["Random-Inner"] * 2
        and table["repeat"].tolist() == [0, 1] * 2
    )
    for row in table.itertuples():
        walk = study.walk(f"{row.test}-{row.repeat}")
        accuracies = [node.accuracy for node in walk.nodes[1:]]
        assert row.max_accuracy == max(accuracies) == accuracies[row.best_step - 1]
        assert sorted(map(int, row.order.split("-"))) == (
            [0, 1, 2, 3] if row.test == "Random-All" else [1, 2]
        )


def test_tables_come_back_from_their_files(study, frames):
    for name, frame in frames.items():
        read = tables.read(study.params.unit_dir, name)
        if "removed_layer" in frame:
            frame = frame.assign(removed_layer=frame["removed_layer"].astype("float64"))
        pd.testing.assert_frame_equal(read, frame, check_dtype=False, check_exact=True)


def test_writing_again_gives_the_same_bytes(study, frames):
    folder = study.params.unit_dir
    before = {name: (folder / f"{name}.csv").read_bytes() for name in frames}
    tables.write(Study(study.params), *frames)
    assert {name: (folder / f"{name}.csv").read_bytes() for name in frames} == before
    assert not [name for name in files_under(folder) if "partial" in name]


def test_a_table_is_whole_or_made_whole(tmp_path):
    """What its walks lack is computed; what only other walks went through, or nobody, does not enter it."""
    study, walks = Study(smoke_params(tmp_path, **TINY)), ["Weight-Norm", "Random"]
    whole = {make: make(study, walks) for make in (tables.steps, tables.signals)}
    last = study.walk("Random").nodes[-2].record["removed"]
    (study.store.folder / f"{last}.json").unlink()
    again = Study(study.params)
    again.node((0, 1, 2), {"signals"})
    for make, frame in whole.items():
        clock = ["seconds"] if make is tables.steps else []
        pd.testing.assert_frame_equal(make(again, walks).drop(columns=clock), frame.drop(columns=clock), check_exact=True)
    assert set(tables.ablation(again, walks)["removed"]) == {""}, "neither of the two asks for drops on its way"


def test_each_table_has_one_writer():
    written = [table for names, _ in units.of_unit().values() for table in names]
    assert sorted(written) == sorted(tables.UNIT_TABLES)


@pytest.mark.parametrize("notebook", units.of_unit())
def test_a_notebook_writes_its_own_tables_and_no_others(notebook):
    cells = json.loads((units.NOTEBOOKS / f"{notebook}.ipynb").read_text())["cells"]
    code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    calls = re.findall(r"tables\.write\(study, (.*?)\)", code)
    assert tuple(re.findall(r'"(\w+)"', ", ".join(calls))) == units.of_unit()[notebook][0]


def test_the_walks_of_a_study_are_known_in_one_place(study, frames):
    told = {*frames["steps"]["strategy"], *(f"{row.test}-{row.repeat}" for row in frames["randomization"].itertuples())}
    assert told == set(strategies.every_walk(study.params))
    assert set(frames["fusion"]["strategy"]) == set(FUSED) < told


def test_reading_what_is_not_there_or_damaged(tmp_path):
    with pytest.raises(UserError, match="steps.csv: cannot be read"):
        tables.read(tmp_path, "steps")
    for content in (b"", b'a,b\n1,2,3\n"', b"\xff\xfe\x00"):
        (tmp_path / "steps.csv").write_bytes(content)
        with pytest.raises(UserError, match="steps.csv: cannot be read") as error:
            tables.read(tmp_path, "steps")
        assert "\n" not in str(error.value)


def write_unit(folder, dataset, seed, rows):
    unit = folder / dataset / f"seed-{seed}"
    unit.mkdir(parents=True)
    frame = pd.DataFrame({"dataset": dataset, "seed": seed, "strategy": "Random", "removed": rows})
    frame.to_csv(unit / "steps.csv", index=False)


def test_units_are_collected_in_the_papers_order(tmp_path):
    for dataset, seed in (("imdb", 10), ("imdb", 2), ("newsgroup", 1), ("mine", 0), ("arxiv", 0)):
        write_unit(tmp_path, dataset, seed, ["", "3", "3-1"])
    found = tables.collect(tmp_path, "steps")
    order = found.drop_duplicates(["dataset", "seed"])[["dataset", "seed"]].itertuples(index=False, name=None)
    assert list(order) == [("newsgroup", 1), ("arxiv", 0), ("imdb", 2), ("imdb", 10), ("mine", 0)]
    assert found["removed"].tolist() == ["", "3", "3-1"] * 5, "labels are text, also those of one layer"
    assert found.index.tolist() == list(range(15))
    some = tables.collect(tmp_path, "steps", [("imdb", 2), ("arxiv", 0), ("yelp", 0)])
    assert some["dataset"].unique().tolist() == ["arxiv", "imdb"] and set(some["seed"]) == {0, 2}
    assert tables.collect(tmp_path, "ablation") is None and tables.collect(tmp_path, "steps", []) is None
