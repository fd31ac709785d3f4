"""Damage: whatever is cut short or changed is found and named, and none of it is read as a result."""

import shutil

import pandas as pd
import pytest
from conftest import smoke_params

from paperlib import __main__ as command_line
from paperlib import params
from paperlib.evidence import one_study, tables, units
from paperlib.tree import Study

UNIT = "newsgroup/seed-0"
# A file of a finished study, and the notebook that makes it anew.
FILES = {
    f"{UNIT}/nodes/original.json": "03_strategies",
    f"{UNIT}/nodes/study.json": "03_strategies",
    f"{UNIT}/distillation.json": "05_distillation",
    f"{UNIT}/student/model.safetensors": "05_distillation",
    f"{UNIT}/student/config.json": "05_distillation",
    f"{UNIT}/student/tokenizer.json": "05_distillation",
    f"{UNIT}/steps.csv": "03_strategies",
    f"{UNIT}/signals.csv": "03_strategies",
    f"{UNIT}/fusion_fit.csv": "04_fusion",
    f"{UNIT}/distillation_curve.csv": "05_distillation",
    f"{UNIT}/notebooks/04_fusion.ipynb": "04_fusion",
    f"{UNIT}/notebooks/04_fusion.html": "07_figures",
    f"{UNIT}/provenance.json": "06_randomization",
    "provenance.json": "07_figures",
    "notebooks/07_figures.ipynb": "07_figures",
    "notebooks/00_published.html": "07_figures",
    "figures/figure3.png": "07_figures",
    "figures/figure3.svg": "07_figures",
    "figures/figure3.alt.txt": "07_figures",
    "tables/table1.csv": "07_figures",
    "tables/table1.tex": "07_figures",
    "claims.csv": "07_figures",
    "claims.md": "07_figures",
    "index.html": "07_figures",
}


def flipped(content: bytes, share: float) -> bytes:
    """Return the content with one bit changed, so far from its beginning."""
    place = int(share * (len(content) - 1))
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


HARM = {
    "emptied": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "cut by two bytes": lambda content: content[:-2],
    "a byte changed": lambda content: flipped(content, 0.37),
    "another byte changed": lambda content: flipped(content, 0.83),
    "overwritten": lambda content: b"\0" * len(content),
}


@pytest.fixture(scope="module")
def finished(reproduced, tmp_path_factory):
    """Return a copy of a finished study to be damaged, and the words that name it."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(reproduced[0], folder / "out" / "smoke")
    return folder / "out" / "smoke", ["--profile", "smoke", "--set", f"output_dir={folder}/out", f"cache_dir={folder}/cache"]


@pytest.fixture
def harmed(request, finished):
    """Damage one file while a test runs."""
    name, harm = request.param
    path = finished[0] / name
    content = path.read_bytes()
    path.write_bytes(HARM[harm](content))
    assert path.read_bytes() != content
    yield name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


each_harm = pytest.mark.parametrize("harmed", [(name, harm) for name in FILES for harm in HARM], indirect=True, ids=" ".join)


@each_harm
def test_damage_is_found_and_named(harmed, finished, capsys, process_as_before):
    assert command_line.main(["check", *finished[1]]) == 1
    said = capsys.readouterr().out
    in_unit = harmed.startswith(UNIT) and not harmed.endswith(".html")
    where = f"newsgroup seed 0: {harmed.removeprefix(UNIT + '/')}" if in_unit else f"smoke: {harmed}"
    if "/student/" in harmed:
        where = "newsgroup seed 0: student"
    assert f"{where} was changed or cut short\n" in said
    assert f"{FILES[harmed]} is stale or missing\n" in said


def study_of(finished):
    return params.load("smoke", settings=" ".join(finished[1][3:]))


def test_without_damage_all_is_fresh(finished, capsys, process_as_before):
    assert command_line.main(["check", *finished[1]]) == 0
    assert capsys.readouterr().out == "fresh: newsgroup seed 0\n"
    assert one_study.comparable(study_of(finished)) == [("newsgroup", 0)]


TABLES = [name for name in FILES if name.startswith(UNIT) and name.endswith((".csv", "provenance.json"))]


@pytest.mark.parametrize("harmed", [(name, harm) for name in TABLES for harm in HARM], indirect=True, ids=" ".join)
def test_no_figure_is_drawn_from_damaged_tables(harmed, finished):
    assert one_study.comparable(study_of(finished)) == []


def test_damaged_records_and_weights_are_computed_again(tmp_path):
    """To the same numbers: a whole walk, of which record after record and weight after weight is damaged."""
    walks = ["Weight-Norm", "Linear-Regression"]
    study = Study(smoke_params(tmp_path))
    before = tables.steps(study, walks)
    paths = sorted([*tmp_path.rglob("nodes/*.json"), *tmp_path.rglob("*.safetensors")])
    assert {path.suffix for path in paths} == {".json", ".safetensors"} and len(paths) > 10
    for turn, path in enumerate(paths):
        path.write_bytes(list(HARM.values())[turn % len(HARM)](path.read_bytes()))
    with pytest.warns(UserWarning, match="was changed or cut short"):
        again = Study(smoke_params(tmp_path))
        after = tables.steps(again, walks)
    pd.testing.assert_frame_equal(after.drop(columns="seconds"), before.drop(columns="seconds"), check_exact=True)
    assert units.harmed(again.params) == []
