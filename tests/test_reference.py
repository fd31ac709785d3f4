"""The reference run: small files only, and the README says of it what they say."""

import re
import shutil

import pandas as pd
import pytest
from conftest import smoke_params

from paperlib.common.errors import UserError
from paperlib.evidence import claims, comparisons, tables, units
from paperlib.report import reference

KEPT = {path: path.stat().st_size for path in reference.REFERENCE.rglob("*") if path.is_file()}
PROFILES = sorted(path for path in reference.REFERENCE.glob("*") if (path / "claims.csv").exists())


@pytest.fixture
def laptop():
    folder = reference.REFERENCE / "laptop"
    assert folder in PROFILES
    return folder


def test_no_texts_weights_or_notebooks_are_kept() -> None:
    assert {path.suffix for path in KEPT} == {".csv", ".json", ".md", ".png", ".svg", ".tex", ".txt"}
    alt_texts = {f"figure{n}.alt.txt" for n in range(1, 9)} | {"compare.alt.txt"}
    assert {path.name for path in KEPT if path.suffix == ".txt"} <= alt_texts
    assert max(KEPT.values()) < 1_000_000 and sum(KEPT.values()) < 20_000_000


def test_the_readme_says_what_the_files_say(laptop, tmp_path) -> None:
    copy = shutil.copy(reference.README, tmp_path)
    reference.show_in_readme(laptop, tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == reference.README.read_text(), f"run make reference; {copy}"


def test_the_account_counts_what_is_there(laptop) -> None:
    text = reference.section(laptop)
    found = sorted(path.parent.parent.name for path in laptop.glob("*/seed-*/steps.csv"))
    datasets, seeds = sorted(set(found)), {found.count(name) for name in set(found)}
    said = re.search(r"(\d) of the paper's 9 datasets with (.+?) seeds? each \((.+?)\)", text)
    assert (int(said[1]), sorted(said[3].split(", "))) == (len(datasets), datasets)
    assert said[2] == " or ".join(map(str, sorted({min(seeds), max(seeds)})))
    table = pd.read_csv(laptop / "claims.csv")
    held = (table["verdict_table1"] == claims.HOLDS).sum(), (table["verdict_ours"] == claims.HOLDS).sum()
    assert f"| holds | {held[0]} | {held[1]} |" in text
    best = tables.collect(laptop, "steps").query("step > 0").groupby(["strategy", "dataset", "seed"])["accuracy"].max()
    maxima = best.groupby(["strategy", "dataset"]).mean()
    gap = 100 * (maxima["Random-Forest"] - maxima["Equal-Training"]).mean()
    assert re.search(rf"\| Equal-Training \| {re.escape(f'{gap:+z.1f}')} ± ", text)
    text = text.partition("<details><summary>Two runs compared")[0]
    assert len(re.findall(r"^\| ", text, re.MULTILINE)) == 2 + 4 + 2 + len(table) + 2 + len(comparisons.RIVALS)


def test_a_comparison_is_shown_where_there_is_one(laptop, tmp_path) -> None:
    shutil.copytree(laptop, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "compare", ignore_errors=True)
    without = reference.section(tmp_path)
    (tmp_path / "compare").mkdir()
    (tmp_path / "compare" / "compare.md").write_text("# Two runs\n\nThey differ.\n\n![dots](compare.png)\n")
    link = f"outputs/reference/{tmp_path.name}/compare/compare.png"
    shown = f"<summary>Two runs</summary>\n\nThey differ.\n\n![dots]({link})\n\n</details>\n"
    assert reference.section(tmp_path) == f"{without}\n<details>{shown}"


def test_keeping_replaces_what_was_kept(laptop, tmp_path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "steps.csv").write_text("left over")
    unit = next(laptop.glob("*/seed-*"))
    chosen = (unit.parent.name, int(unit.name.removeprefix("seed-")))
    reference.keep(laptop, [chosen], tmp_path)
    kept = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    others = {path for path in laptop.glob("*/seed-*/*") if path.parent != unit}
    assert kept == {path.relative_to(laptop) for path in laptop.rglob("*") if path.is_file() and path not in others}
    assert all((tmp_path / path).read_bytes() == (laptop / path).read_bytes() for path in kept)


def test_units_of_different_sizes_are_refused(laptop, tmp_path) -> None:
    shutil.copytree(laptop, tmp_path, dirs_exist_ok=True)
    path = next(tmp_path.glob("*/seed-*/steps.csv"))
    pd.read_csv(path).assign(test_size=1).to_csv(path, index=False)
    with pytest.raises(UserError, match="different models or sizes"):
        reference.section(tmp_path)


def test_what_is_no_result_is_not_kept(tmp_path) -> None:
    with pytest.raises(UserError, match="profile smoke: no results to keep"):
        reference.make(smoke_params(tmp_path))


def test_figures_of_other_units_are_not_kept(tmp_path, monkeypatch) -> None:
    params = smoke_params(tmp_path).replace(profile="laptop")
    monkeypatch.setattr(units, "comparable", lambda params: [("newsgroup", 0), ("newsgroup", 1)])
    monkeypatch.setattr(units, "provenance", lambda folder: {"results": {"tables": {"newsgroup 0": {}}}})
    with pytest.raises(UserError, match="run make figures first"):
        reference.make(params)


def test_a_readme_without_marks_is_left_alone(laptop, tmp_path) -> None:
    (tmp_path / "README.md").write_text("# Nothing\n")
    with pytest.raises(UserError, match="README.md: the marks"):
        reference.show_in_readme(laptop, tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "# Nothing\n"
