"""The reference run: small files only, and the README says of it what they say."""

import base64
import errno
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import smoke_params
from PIL import Image

from paperlib import params
from paperlib.common import records
from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.driver import redrawing, run
from paperlib.evidence import claims, comparisons, one_study, other_encoder, provenance, tables, units
from paperlib.evidence.estimates import Results
from paperlib.report.reference import account, keeping, notebooks, pages
from paperlib.report.reference.kept import Kept

UNFINISHED = sorted((keeping.REFERENCE / "unfinished").glob("*.tar.xz"))  # records of units that a run is to go on with
FILES = {path: path.stat().st_size for path in keeping.REFERENCE.rglob("*") if path.is_file() and path not in UNFINISHED}
PROFILES = sorted(path for path in keeping.REFERENCE.glob("*") if (path / "claims.csv").exists())


@pytest.fixture
def laptop():
    folder = keeping.REFERENCE / "laptop"
    assert folder in PROFILES
    return folder


def test_no_texts_or_weights_are_kept() -> None:
    assert {path.suffix for path in FILES} - {".ipynb"} == {".csv", ".json", ".md", ".png", ".svg", ".tex", ".txt"}
    alt_texts = {f"figure{n}{form}.alt.txt" for n in range(1, 9) for form in ("", "-narrow")} | {"compare.alt.txt"}
    assert {path.name for path in FILES if path.suffix == ".txt"} <= alt_texts
    assert max(FILES.values()) < 1_000_000 and sum(FILES.values()) < 15_000_000


@pytest.mark.parametrize("archive", UNFINISHED, ids=lambda path: path.name)
def test_of_what_is_not_finished_there_are_records_alone(archive: Path) -> None:
    """Whole ones, of models: no texts, no weights, and nothing that would be unpacked elsewhere."""
    assert archive.stat().st_size < 1_000_000 and archive.name in (archive.parent / "README.md").read_text()
    with tarfile.open(archive) as packed:
        members = [member for member in packed if not member.isdir()]
        assert members and all(member.isfile() and re.fullmatch(r"outputs/[\w-]+(/epochs/[\w.,=-]+/[\w-]+)?/\w+/seed-\d+/nodes(-[0-9a-f]{16})?/[\w+-]+\.json", member.name) for member in members)
        for member in members:
            record = json.loads(packed.extractfile(member).read())
            assert record == records.seal(record) and (member.name.endswith(records.STUDY_FILE) or records.is_node(Path(member.name).stem))


def test_executed_notebooks_are_small_and_name_no_path() -> None:
    kept = [path for path in FILES if path.suffix == ".ipynb"]
    for profile in PROFILES:
        assert sum(FILES[path] for path in kept if path.is_relative_to(profile)) < 3_000_000
    for path in kept:
        notebook = json.loads(path.read_text())
        assert notebooks.scrubbed(notebook) == notebook
        assert not re.search(r"\d rows × \d", path.read_text()), f"{path.name}: pandas left out a part of a table"
        assert all(cell.get("execution_count") for cell in notebook["cells"] if cell["cell_type"] == "code")


def test_the_pages_say_what_the_files_say() -> None:
    for path, text in pages.pages().items():
        assert path.read_text() == text, f"{path.name}: run make reference"


@pytest.mark.parametrize("folder", PROFILES, ids=lambda folder: folder.name)
def test_the_kept_claims_are_what_this_code_says_of_the_kept_tables(folder, tmp_path) -> None:
    """Whoever changes a rule, a test or a sentence of the claims has the reference drawn again."""
    redrawing.lay_out(folder, tmp_path / folder.name)
    laid = params.load(folder.name, settings={"output_dir": str(tmp_path)})
    computed = claims.evaluate(Results.from_paper(), comparisons.results_of(laid))
    kept = pd.read_csv(folder / "claims.csv", keep_default_na=False)
    same_text = pd.read_csv(io.StringIO(computed.to_csv(index=False)), keep_default_na=False)
    pd.testing.assert_frame_equal(same_text.set_index("id"), kept.set_index("id"))


def test_the_account_counts_what_is_there(laptop) -> None:
    text = pages.page([Kept(laptop)])
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
    assert re.search(rf"is behind a model that loses no layer .+ \({re.escape(f'{gap:+z.1f}')} ± ", text) or gap > 0
    found = {name: tables.collect(laptop, name) for name in ("steps", "randomization")}
    rivals = comparisons.rivals(Results.from_tables(**found), "Random-Forest")
    beside = other_encoder.beside(tables.collect(laptop, "steps"), tables.of_profile(laptop, "steps_encoder"))
    assert len(re.findall(r"^\| ", text, re.MULTILINE)) == 2 + 4 + 2 + len(table) + 2 + len(rivals) + 2 + len(beside)


def test_a_comparison_is_linked_where_there_is_one(laptop, tmp_path) -> None:
    copy = tmp_path / "laptop"
    shutil.copytree(laptop, copy)
    shutil.rmtree(copy / "compare", ignore_errors=True)
    without = pages.page([Kept(copy)])
    (copy / "compare").mkdir()
    (copy / "compare" / "compare.md").write_text("# Two runs\n\nThey differ.\n")
    assert pages.page([Kept(copy)]) == f"{without}\n### Two runs beside each other\n\n[Two runs](laptop/compare/compare.md)\n"


def test_what_was_run_beside_the_study_is_said(laptop, tmp_path) -> None:
    assert account.beside(Kept(tmp_path)) == ""
    said = account.beside(Kept(laptop))
    axis, encoder = tables.collect(laptop, "epochs"), tables.of_profile(laptop, "transfer_encoder")
    assert all(f"{name} seed 0" in said for name in axis["dataset"].unique()) and said.count("seed 0") == axis["dataset"].nunique()
    assert f"12 layers, on {encoder['dataset'].nunique()} datasets and seeds" in said and "all-mpnet-base-v2" in said
    walks = tables.of_profile(laptop, "steps_encoder")
    assert all(name in said.partition("Walked down from them (09, section 5), ")[2] for name in {*walks["strategy"], *walks["dataset"]})


def test_what_trained_the_models_of_other_settings_is_said_where_it_is_known() -> None:
    axis = pd.DataFrame({"dataset": ["imdb", "imdb", "imdb", "yelp"], "seed": 0, "epochs": [1, 3, 10, 1], "trained_on": ["B", "A; B", "A; C", "A"]})
    assert account._trained_otherwise(axis) == "imdb seed 0 (on A and B and C), yelp seed 0 (on A)"
    assert account._trained_otherwise(axis.assign(trained_on=[None, "A", None, None])) == "imdb seed 0 (on A), yelp seed 0"
    assert account._trained_otherwise(axis.drop(columns="trained_on")) == "imdb seed 0, yelp seed 0"


@pytest.mark.parametrize(
    "sources, said",
    [
        ({"newsgroup": ""}, "The texts are those that `make reproduce` fetches."),
        ({"newsgroup": "texts"}, "All texts were read from a local folder (`data_dir`): **its newsgroup is not the one"),
        ({"newsgroup": "", "imdb": "texts"}, "The texts of imdb were read from a local folder (`data_dir`)."),
    ],
)
def test_the_source_of_the_texts_is_said(sources, said, monkeypatch) -> None:
    runs = [{"dataset": name, "data_dir": folder, "data_source": "auto"} for name, folder in sources.items()]
    monkeypatch.setattr(Kept, "runs", runs)
    assert account.texts(Kept(ROOT)).startswith(said)


def test_keeping_replaces_what_was_kept(laptop, tmp_path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "steps.csv").write_text("left over")
    unit = next(laptop.glob("*/seed-*"))
    chosen = (unit.parent.name, int(unit.name.removeprefix("seed-")))
    keeping.keep(laptop, [chosen], tmp_path)
    of_profile = {path.stem for path in tmp_path.glob("notebooks/*")}
    assert of_profile == {path.stem for path in laptop.glob("notebooks/*")} & set(units.OF_PROFILE), "none of a unit"
    kept = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file() and path.stem not in of_profile}
    others = {path for path in laptop.glob("*/seed-*/*") if path.parent != unit} | set(laptop.glob("notebooks/**/*"))
    assert kept == {path.relative_to(laptop) for path in laptop.rglob("*") if path.is_file() and path not in others}
    assert all((tmp_path / path).read_bytes() == (laptop / path).read_bytes() for path in kept)


def test_what_is_kept_stays_where_it_cannot_be_replaced(laptop, tmp_path, monkeypatch):
    """All or none: a disk that is full, or an interrupt, costs nothing."""
    target, written = tmp_path / "kept", []
    shutil.copytree(laptop, target)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}

    def full(path, content):
        written.append(path)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    monkeypatch.setattr(keeping, "atomic_write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        keeping.keep(laptop, [("imdb", 0)], target)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before and [*tmp_path.iterdir()] == [target]


def test_a_kept_notebook_whose_source_is_gone_is_of_earlier_code(laptop, tmp_path):
    found = notebooks.beside_sources(laptop / "notebooks", tmp_path)
    assert found and set(found.values()) == {None}


def executed(text, picture=None):
    """Return a notebook of one executed cell that printed a text, and drew where there is a picture (PNG in base64)."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": [text]}]
    if picture:
        data = {"image/png": picture, "image/svg+xml": "<svg/>", "text/plain": ["<Figure>"]}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {"image/png": {"width": 400}}})
    cell = {"cell_type": "code", "execution_count": 1, "source": ["print(1)\n"], "outputs": outputs,
            "metadata": {"tags": ["parameters"], "execution": {"iopub.status.busy": "2026"}}}  # fmt: skip
    metadata = {"kernelspec": {"name": "python3"}, "papermill": {"input_path": "/home/someone/in.ipynb"}}
    return {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def as_base64(image):
    written = io.BytesIO()
    image.save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def test_a_notebook_loses_paths_times_and_colours() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 2400, 4), dtype=np.uint8)
    noise[:, :, 3], noise[:50, :, :3], noise[50:100] = 255, (214, 58, 0), 0  # a red band, one that is not there, noise
    notebook = executed(f"saved {ROOT}/outputs/x.csv and /home/someone/data.csv\n", as_base64(Image.fromarray(noise)))
    before = json.dumps(notebook)
    copied = notebooks.small(notebook)
    assert json.dumps(notebook) == before, "the run's own copy stays as it is"
    (cell,) = copied["cells"]
    assert cell["outputs"][0]["text"] == ["saved ./outputs/x.csv and …/data.csv\n"] and cell["source"] == ["print(1)\n"]
    assert cell["metadata"] == {"tags": ["parameters"]} and copied["metadata"] == {"kernelspec": {"name": "python3"}}
    assert set(cell["outputs"][1]["data"]) == {"image/png", "text/plain"}
    assert cell["outputs"][1]["metadata"] == {"image/png": {"width": 400}}
    small = Image.open(io.BytesIO(base64.b64decode(cell["outputs"][1]["data"]["image/png"])))
    assert small.mode == "P" and small.size == (notebooks.WIDTHS[0], round(300 / 2400 * notebooks.WIDTHS[0]))
    colours = small.convert("RGB")
    assert len(colours.getcolors(1000)) <= notebooks.COLOURS
    assert np.allclose(colours.getpixel((600, small.height // 12)), (214, 58, 0), atol=6) and colours.getpixel((600, small.height // 4)) == (255, 255, 255)


def test_kept_notebooks_have_the_prose_of_today_where_their_code_is_still_the_same() -> None:
    def cell(name, kind, source, *tags, **run):
        return {"id": name, "cell_type": kind, "source": [source], "metadata": {"tags": list(tags)}, **run}

    source = {"cells": [cell("a", "markdown", "True."), cell("b", "code", "seed = 0", "parameters"), cell("new", "markdown", "More."), cell("c", "code", "f()")]}
    ran = {"execution_count": 1, "outputs": ["shown"]}
    injected = cell("x1", "code", "seed = 1", "injected-parameters", **ran)
    kept = {"metadata": {"n": 1}, "cells": [cell("a", "markdown", "Untrue."), cell("b", "code", "seed = 0", "parameters", **ran), injected,
                                            cell("old", "markdown", "Less."), cell("c", "code", "f()", **ran)]}  # fmt: skip
    renewed = notebooks.renewed(kept, source)
    assert [each["id"] for each in renewed["cells"]] == ["a", "b", "x1", "new", "c"] and renewed["metadata"] == {"n": 1}
    assert renewed["cells"][0]["source"] == ["True."] and renewed["cells"][4] == kept["cells"][4]
    assert notebooks.renewed(renewed, source) == renewed
    source["cells"][3]["source"] = ["g()"]
    assert notebooks.renewed(kept, source) is None, "its outputs are not of this code"


@pytest.mark.parametrize(("words", "width"), [(0, 840), (990_000, 760), (1_000_000, 440)], ids=["small", "large", "of texts alone too large"])
def test_pictures_are_as_wide_as_the_notebook_may_be_large(words, width) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 1680, 3), dtype=np.uint8)  # 9,900 characters 800 wide, 8,600 at 760
    notebook = executed("w" * words, as_base64(Image.fromarray(noise)))
    (cell,) = json.loads(notebooks.fitting(notebook))["cells"]
    assert Image.open(io.BytesIO(base64.b64decode(cell["outputs"][1]["data"]["image/png"]))).width == width


def test_executed_notebooks_are_kept_beside_the_numbers(laptop, tmp_path) -> None:
    """Those of one unit replace another's; the numbers may then be kept anew without them."""
    target, params = tmp_path / "reference", smoke_params(tmp_path)
    for folder, name in ((params.profile_dir, "00_published"), (params.profile_dir, "07_figures"), (params.unit_dir, "01_signals")):
        (folder / "notebooks").mkdir(parents=True, exist_ok=True)
        (folder / "notebooks" / f"{name}.ipynb").write_text(json.dumps(executed(f"{folder}/{name}\n")))
    (params.unit_dir / "provenance.json").write_text(json.dumps({"parameters": params.model_dump()}))
    (target / "notebooks").mkdir(parents=True)
    (target / "notebooks" / "02_ablation.ipynb").write_text("of another unit")
    keeping.keep_unit_notebooks(params, target)
    keeping.keep(params.profile_dir, [], target)
    kept = sorted(str(path.relative_to(target)) for path in target.rglob("*.ipynb"))
    assert kept == ["notebooks/00_published.ipynb", "notebooks/01_signals.ipynb", "notebooks/07_figures.ipynb"]
    assert str(tmp_path) not in "".join(path.read_text() for path in target.rglob("*.ipynb"))
    assert pages.executed(Kept(target)) == (
        "- Of the paper's own numbers: [00_published](reference/notebooks/00_published.ipynb)\n"
        "- About all units: [07_figures](reference/notebooks/07_figures.ipynb)\n"
        "- Of newsgroup seed 0, its texts from where `make reproduce` takes them: "
        "[01_signals](reference/notebooks/01_signals.ipynb)\n"
        "- Run by earlier code than that of today's notebooks, and say what it said: 00_published, 01_signals, 07_figures\n"
        "- Not among them: 02_ablation, 03_strategies, 04_fusion, 05_distillation, 06_randomization, 08_subsets, 09_transfer, "
        "10_your_model, 11_explore, 12_epochs\n"
    )


def test_notebooks_of_another_run_than_the_tables_are_said_to_be(monkeypatch) -> None:
    record = {"finished": "today", "cpu": "a processor", "commit": "0123456789"}
    for finished, said in ((["yesterday"], ", in a run of their own (a processor, commit 0123456), not that of the tables"), (["yesterday", "today"], "")):
        monkeypatch.setattr(Kept, "records", [{"finished": day} for day in finished])
        assert pages._run_apart(record, Kept(ROOT)) == said


@pytest.mark.parametrize(
    "only, said, kept",
    [
        ("", "2 units and the notebooks of newsgroup seed 0", {"claims.csv", "00_published.ipynb", "01_signals.ipynb"}),
        ("numbers", "2 units", {"claims.csv", "00_published.ipynb"}),
        ("notebooks", "the notebooks of newsgroup seed 0", {"00_published.ipynb", "01_signals.ipynb"}),
    ],
)
def test_numbers_and_notebooks_are_kept_as_asked(only, said, kept, tmp_path, monkeypatch) -> None:
    params = smoke_params(tmp_path).replace(profile="laptop")
    for folder, name in ((params.profile_dir, "00_published"), (params.unit_dir, "01_signals")):
        (folder / "notebooks").mkdir(parents=True)
        (folder / "notebooks" / f"{name}.ipynb").write_text(json.dumps(executed("1\n")))
    (params.unit_dir / "provenance.json").write_text("{}")
    (params.profile_dir / "claims.csv").write_text("claim\n")
    record = {"results": {"tables": {"newsgroup 0": {}, "newsgroup 1": {}}}}
    for module, name, value in ((one_study, "comparable", [("newsgroup", 0), ("newsgroup", 1)]), (one_study, "left_out", {}),
                                (units, "stale", []), (units, "harmed_results", []), (units, "provenance", record)):  # fmt: skip
        monkeypatch.setattr(module, name, lambda given, value=value: value)
    monkeypatch.setattr(keeping, "OF_UNIT", ())
    monkeypatch.setattr(keeping, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(pages, "show", lambda: None)
    assert keeping.make(params, only) == f"kept {said} in outputs/reference/laptop"
    found = {path.name for path in (tmp_path / "reference" / "laptop").rglob("*") if path.is_file()}
    assert found - {"provenance.json"} == kept


def test_notebooks_of_a_unit_that_is_not_fresh_are_not_kept(tmp_path, monkeypatch) -> None:
    params = smoke_params(tmp_path).replace(profile="laptop")
    monkeypatch.setattr(one_study, "comparable", lambda params: [("imdb", 0)])
    with pytest.raises(UserError, match="newsgroup seed 0: not fresh"):
        keeping.make(params, only="notebooks")


def test_units_of_different_sizes_are_refused(laptop, tmp_path) -> None:
    shutil.copytree(laptop, tmp_path, dirs_exist_ok=True)
    path = next(tmp_path.glob("*/seed-*/steps.csv"))
    pd.read_csv(path).assign(test_size=1).to_csv(path, index=False)
    with pytest.raises(UserError, match="different models or sizes"):
        pages.section(Kept(tmp_path))


def test_a_reference_of_one_dataset_is_said_to_be_of_it_alone(laptop, tmp_path) -> None:
    shutil.copytree(laptop / "imdb" / "seed-0", tmp_path / "imdb" / "seed-0")
    record = json.loads((tmp_path / "imdb" / "seed-0" / units.PROVENANCE).read_text())
    provenance.write(tmp_path / "imdb" / "seed-0" / units.PROVENANCE, record | {"computed": {"device": "cpu", "precision": "bf16"}})
    shutil.copy(laptop / "claims.csv", tmp_path)
    text = pages.page([Kept(tmp_path)])
    assert "**On imdb alone, random-forest fusion " in text and re.search(r"ahead on [01] of 1 dataset\)", text)
    assert "1 of the paper's 9 datasets with 1 seed (imdb)" in text and "GPU: none, in bf16; at commit" in text
    assert "1 dataset is too few for their rules, which need 5 or more" in text
    assert "too few" not in pages.page([Kept(laptop)]) and "whole study" not in pages.section(Kept(laptop))
    assert "was run of all-MiniLM-L6-v2 on imdb ([" in pages.section(Kept(laptop), Kept(tmp_path)), "what else is kept has a link"


def test_a_reference_that_several_computers_computed_says_so(laptop, tmp_path) -> None:
    shutil.copytree(laptop / "imdb" / "seed-0", tmp_path / "imdb" / "seed-0")
    path, here = tmp_path / "imdb" / "seed-0" / "steps.csv", "hours in all on"
    steps, record = pd.read_csv(path, keep_default_na=False, dtype={"removed": str}).drop(columns="trained_on"), path.with_name(units.PROVENANCE)
    steps.to_csv(path, index=False)  # as earlier code wrote it
    trained, known = steps.drop_duplicates("removed")["seconds"].sum(), json.loads(record.read_text())
    provenance.write(record, known | {"cores": 4, "wall_seconds": trained / 5})
    assert "hours to train: all on " in account.machine(Kept(tmp_path)), "no time for all of it: some was at hand"
    provenance.write(record, known | {"cores": 4, "wall_seconds": trained / 3})
    assert here in account.machine(Kept(tmp_path))
    computers = {removed: ("A", "B", "B")[number % 3] for number, removed in enumerate(steps["removed"].unique())}
    steps.assign(trained_on=steps["removed"].map(computers), seconds=360.0).to_csv(path, index=False)
    said, models = account.machine(Kept(tmp_path)), len(computers)
    of_b = sum(computer == "B" for computer in computers.values())
    assert f"The {models} models on its walks, random orders not counted, took {models / 10:.1f} hours to train: {of_b} on B and {models - of_b} on A." in said and here not in said
    orders = pd.read_csv(laptop / "imdb" / "seed-0" / "randomization.csv", keep_default_na=False, dtype={"order": str})
    orders.assign(trained_on=["A", "A; B"] * (len(orders) // 2)).to_csv(path.with_name("randomization.csv"), index=False)
    assert account.machine(Kept(tmp_path)) == f"{said} Those of the random orders were trained: imdb seed 0 (on A and B)."
    orders.to_csv(path.with_name("randomization.csv"), index=False)
    steps.assign(trained_on="A", seconds=360.0).to_csv(path, index=False)
    assert "hours to train: all on A." in account.machine(Kept(tmp_path)), "another than that which made the tables"
    steps.assign(trained_on=known["cpu"]).to_csv(path, index=False)
    assert here in account.machine(Kept(tmp_path))


def test_what_is_no_result_is_not_kept(tmp_path) -> None:
    with pytest.raises(UserError, match="profile smoke: no results to keep"):
        keeping.make(smoke_params(tmp_path))


def test_figures_of_other_units_are_not_kept(tmp_path, monkeypatch) -> None:
    params = smoke_params(tmp_path).replace(profile="laptop")
    monkeypatch.setattr(one_study, "comparable", lambda params: [("newsgroup", 0), ("newsgroup", 1)])
    monkeypatch.setattr(units, "provenance", lambda folder: {"results": {"tables": {"newsgroup 0": {}}}})
    with pytest.raises(UserError, match="run make figures first"):
        keeping.make(params, only="numbers")


def test_no_p_reads_zero() -> None:
    for path in (ROOT / "outputs" / "reference").glob("*/claims.*"):
        assert not re.search(r"p = 0\.0+\b(?!\d)", path.read_text())


def test_a_readme_without_marks_is_left_alone(tmp_path) -> None:
    (tmp_path / "README.md").write_text("# Nothing\n")
    with pytest.raises(UserError, match="README.md: the marks"):
        pages.show(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# Nothing\n" and len(list(tmp_path.rglob("*"))) == 1


@pytest.fixture
def small_reference(laptop, tmp_path, monkeypatch):
    """Keep one unit in a reference of this test, and let notebooks be executed in no time; return its folder."""
    root = tmp_path / "reference"
    keeping.keep(laptop, [("newsgroup", 0)], root / "laptop")
    monkeypatch.setattr(redrawing, "REFERENCE", root)
    monkeypatch.setattr(keeping, "REFERENCE", root)
    monkeypatch.setattr(redrawing, "PLACE", str(tmp_path / "redrawn"))
    monkeypatch.setattr(pages, "show", lambda: None)
    return root / "laptop"


def drawn(studies, settings):
    """Draw claims and nothing else, as the driver does; the notebooks about all units are empty ones."""
    [study] = studies
    for name in units.OF_PROFILE:
        units.executed(name, study).parent.mkdir(exist_ok=True)
        units.executed(name, study).write_text('{"cells": [], "metadata": {}}')
    claims.write(claims.evaluate(Results.from_paper(), comparisons.results_of(study)), study.profile_dir)
    for name, there in (("walks", other_encoder.walks(True, study)), ("choices", other_encoder.first_choices([], True, study))):
        tables.write_for_profile(study.profile_dir, name, there)
    provenance.write(study.profile_dir / units.PROVENANCE, {"results": run._results(study), "settings": settings})
    return 0


def test_what_is_kept_is_drawn_again_from_its_tables(small_reference, monkeypatch) -> None:
    """Units of other code are taken as they were kept, walks down another encoder too; the tables stay to the byte."""
    before = {path.relative_to(small_reference): path.read_bytes() for path in small_reference.rglob("*") if path.is_file()}
    (small_reference / "claims.csv").write_text("of other code")
    killed = Path(redrawing.PLACE, "laptop", "imdb", "seed-0")
    killed.mkdir(parents=True)
    (killed / "steps.csv").write_text("of a drawing that was killed")
    monkeypatch.setattr(run, "draw", drawn)
    assert redrawing.redraw(params.load("laptop"), "data_dir=texts") == "kept 1 unit in outputs/reference/laptop"
    after = {path.relative_to(small_reference): path.read_bytes() for path in small_reference.rglob("*") if path.is_file()}
    new = {Path("tables", f"{name}.csv") for name in ("walks", "choices")}
    made = {Path(name) for name in ("claims.csv", "claims.md", "provenance.json")} | {Path("notebooks", f"{name}.ipynb") for name in units.OF_PROFILE}
    assert set(after) == set(before) | new
    assert {name for name in before if before[name] != after[name]} <= made
    assert len(pd.read_csv(small_reference / "claims.csv")) == len(claims.load())
    for name, kept in (("walks", "steps_encoder"), ("choices", "transfer_encoder")):
        pd.testing.assert_frame_equal(tables.of_profile(small_reference, name), tables.of_profile(small_reference, kept))
    assert json.loads(after[Path("provenance.json")])["settings"] == f"data_dir=texts output_dir={redrawing.PLACE}"
    assert not Path(redrawing.PLACE, "laptop").exists()


@pytest.mark.parametrize(("profile", "changed", "said"), [
    ("laptop", {"train_size": 1024}, "outputs/reference/laptop: its units were run with another train_size: give it with SET"),
    ("base", {}, "outputs/reference/base: nothing is kept of this profile"),
    ("laptop", {}, "outputs/reference/laptop was not drawn again"),
])  # fmt: skip
def test_what_cannot_be_drawn_again_stays_as_it_was_kept(profile, changed, said, small_reference, monkeypatch) -> None:
    before = {path: path.read_bytes() for path in small_reference.rglob("*") if path.is_file()}
    monkeypatch.setattr(run, "draw", lambda studies, settings: 1)
    with pytest.raises(UserError, match=said):
        redrawing.redraw(params.load(profile, settings=changed), "")
    assert {path: path.read_bytes() for path in small_reference.rglob("*") if path.is_file()} == before
    assert not Path(redrawing.PLACE, profile).exists()
