"""The notebooks: their form, and one whole smoke study run as a person would run it."""

import ast
import base64
import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from smoke_study import reproduce

from paperlib import __main__ as command_line
from paperlib import params as parameters
from paperlib.common.places import ROOT
from paperlib.evidence import provenance, units
from paperlib.figures import drawing
from paperlib.names import SIGNALS, WALKS

NAMES = sorted([*units.OF_PROFILE, *units.UNIT_NOTEBOOKS])
BY_HAND = [units.YOURS, "11_explore", *units.ON_REQUEST]  # for whoever sits before them: `make reproduce` makes no result of them
MOST_LINES = 15  # of a code cell
UNIT_TABLES = (
    "steps",
    "signals",
    "ablation",
    "fusion",
    "fusion_fit",
    "distillation",
    "distillation_curve",
    "randomization",
    "subsets",
    "shapley",
    "regret",
)


def read(name):
    return nbformat.read(units.NOTEBOOKS / f"{name}.ipynb", as_version=4)


def cells(name, kind):
    return [cell for cell in read(name).cells if cell.cell_type == kind]


@pytest.fixture(params=[*NAMES, *BY_HAND])
def name(request):
    return request.param


def test_the_driver_knows_every_notebook():
    assert sorted(path.stem for path in units.NOTEBOOKS.glob("*.ipynb")) == [*NAMES, *BY_HAND] == sorted([*NAMES, *BY_HAND])


def test_a_notebook_is_valid_and_clean(name):
    notebook = read(name)
    nbformat.validate(notebook)
    for cell in cells(name, "code"):
        assert cell.outputs == [] and cell.execution_count is None
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3", "every machine has a kernel of this name"


def test_one_cell_holds_the_parameters_as_literals(name):
    tagged = [cell for cell in cells(name, "code") if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    values = {}
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign) and len(statement.targets) == 1
        values[statement.targets[0].id] = ast.literal_eval(statement.value)
    assert list(values) == ["profile", "dataset", "seed", "settings"]
    loaded = parameters.load(**values)  # they run by hand, too
    assert (loaded.profile, loaded.seed) == ("laptop", 0)


def test_code_cells_are_short_and_define_nothing(name):
    for cell in cells(name, "code"):
        assert len(cell.source.splitlines()) <= MOST_LINES, cell.source
        assert max(map(len, cell.source.splitlines())) <= 120, cell.source
        kinds = [type(node) for node in ast.walk(ast.parse(cell.source))]
        assert not {ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef} & set(kinds), cell.source


def test_there_is_more_prose_than_code(name):
    prose, code = cells(name, "markdown"), cells(name, "code")
    assert len(prose) > len(code)
    assert len(" ".join(cell.source for cell in prose)) > len(" ".join(cell.source for cell in code))


def test_notebooks_open_and_close_alike(name):
    notebook = read(name)
    first, last = notebook.cells[0], cells(name, "code")[-1]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert "provenance.footer(" in last.source
    tagged = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    assert tagged == code[:1], "parameters come before any other code"


def test_links_lead_somewhere(name):
    for cell in cells(name, "markdown"):
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.source):
            assert (
                target.startswith(("https://", "#")) or (units.NOTEBOOKS / target.split("#")[0]).exists()
            ), target


def check(words, capsys, *more):
    status = command_line.main(["check", *words, *more])
    return status, capsys.readouterr().out


def snapshot(folder):
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_every_output_is_there(reproduced):
    folder, _, done, _ = reproduced
    unit = folder / "newsgroup" / "seed-0"
    expected = [
        folder / "index.html",
        folder / "claims.csv",
        *(folder / "tables" / f"table1.{s}" for s in ("csv", "md", "tex")),
    ]
    expected += [folder / "figures" / f"figure{i}.{suffix}" for i in range(1, 9) for suffix in ("png", "svg")]
    expected += [unit / f"{table}.csv" for table in UNIT_TABLES]
    expected += [
        unit / "provenance.json",
        unit / "student" / "model.safetensors",
        unit / "nodes" / "original.json",
    ]
    expected += [
        unit / "notebooks" / f"{name}.{s}" for name in units.UNIT_NOTEBOOKS for s in ("ipynb", "html")
    ]
    expected += [
        folder / "notebooks" / f"{name}.{s}"
        for name in units.OF_PROFILE
        for s in ("ipynb", "html")
    ]
    assert [str(path) for path in expected if not path.exists() or path.stat().st_size == 0] == []
    assert (
        not (folder / "failed").exists()
        and f"report: {folder}/index.html" in done.stdout
        and done.stderr == ""
    )
    assert not [path for path in folder.rglob("*") if "partial" in path.name or path.name == "progress.json"]


@pytest.mark.parametrize("number", range(1, 9))
def test_figures_are_real_images(reproduced, number):
    path = reproduced[0] / "figures" / f"figure{number}.png"
    with Image.open(path) as image:
        assert min(image.size) > 200
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20, "an empty canvas has few colours"
    root = ElementTree.parse(path.with_suffix(".svg")).getroot()
    assert root.tag.endswith("}svg") and len(list(root.iter())) > 50


def test_executed_notebooks_hold_figures_and_no_errors(reproduced):
    folder = reproduced[0]
    paths = [*folder.rglob("notebooks/*.ipynb")]
    assert len(paths) == len(NAMES)
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        assert not [output for output in outputs if output.output_type == "error"]
        assert not [o for o in outputs if o.output_type == "stream" and o.name == "stderr"], (
            f"{path.name} warns"
        )
        assert any("image/png" in output.get("data", {}) for output in outputs), (
            f"{path.name} shows no figure"
        )
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
        texts = [output.get("data", {}).get("text/plain", "") for output in outputs]
        assert not [text for text in texts if re.search(r"\[\d+ rows x \d+ columns\]", text)], f"{path.name}: a table is not whole"


def test_nothing_names_this_machine(reproduced):
    """Results are for sharing: neither the project's folder nor the home folder may show in text."""
    from pathlib import Path

    folder = reproduced[0]
    told = []
    for path in folder.rglob("*"):
        if (
            path.suffix in (".csv", ".md", ".tex", ".json", ".html", ".ipynb", ".svg")
            and "student" not in path.parts
        ):
            text = path.read_text(encoding="utf-8")
            told += [path.name for place in (str(ROOT), str(Path.home()) + "/") if place in text]
    assert told == []


def test_tables_hold_the_whole_study(reproduced):
    unit = reproduced[0] / "newsgroup" / "seed-0"
    frames = {name: pd.read_csv(unit / f"{name}.csv") for name in UNIT_TABLES}
    assert set(frames["steps"]["strategy"]) == set(WALKS)
    depths = frames["steps"].groupby("strategy")["step"].agg(["min", "max", "size"])
    assert (depths == [0, 4, 5]).all(axis=None), "every walk goes from four layers to none"
    assert set(SIGNALS) <= set(frames["signals"]) and frames["signals"][list(SIGNALS)].notna().all(axis=None)
    assert frames["randomization"]["test"].value_counts().to_dict() == {"Random-All": 10, "Random-Inner": 10}
    assert frames["distillation"]["model"].tolist() == ["teacher", "pruned", "distilled", "ce_control"]
    assert not frames["steps"]["diverged"].any()
    claims = pd.read_csv(reproduced[0] / "claims.csv")
    assert len(claims) > 10 and claims.iloc[:, 0].is_unique


def test_the_student_of_the_study_is_the_best_of_the_forest(reproduced):
    unit = reproduced[0] / "newsgroup" / "seed-0"
    steps, models = pd.read_csv(unit / "steps.csv"), pd.read_csv(unit / "distillation.csv").set_index("model")
    forest = steps[(steps["strategy"] == "Random-Forest") & (steps["step"] > 0)]
    best = forest[forest["accuracy"] == forest["accuracy"].max()].iloc[-1]
    assert (
        models.loc["pruned", "accuracy"] == best["accuracy"]
        and models.loc["pruned", "parameters"] == best["parameters"]
    )
    config = json.loads((unit / "student" / "config.json").read_text())
    assert config["num_hidden_layers"] == 4 - best["step"]


def test_a_second_run_does_nothing(reproduced):
    folder, words, _, _ = reproduced
    before = snapshot(folder.parent.parent)
    done = reproduce(words)
    assert done.returncode == 0 and done.stderr == ""
    assert not any(name in done.stdout for name in NAMES), "no notebook may run again"
    assert snapshot(folder.parent.parent) == before, "no node, table, figure or page may be written again"


def test_what_was_reproduced_is_fresh(reproduced, capsys):
    assert check(reproduced[1], capsys) == (0, "fresh: newsgroup seed 0\n")


@pytest.mark.parametrize(
    "setting", ["epochs=3", "learning_rate=1.0e-3", "kd_alpha=0.4", "mi_bins=5", "forest_trees=21"]
)
def test_a_touched_parameter_makes_it_stale(setting, reproduced, capsys):
    status, out = check(reproduced[1], capsys, setting)
    assert status == 1
    for name in units.UNIT_NOTEBOOKS:
        assert f"newsgroup seed 0: {name} is stale or missing\n" in out


@pytest.mark.parametrize("setting", ["workers=2", "cache_gb=0.2"])
def test_where_and_how_fast_it_ran_does_not_matter(setting, reproduced, capsys):
    assert check(reproduced[1], capsys, setting)[0] == 0


def test_another_seed_or_dataset_is_not_there_yet(reproduced, capsys):
    words = reproduced[1]
    assert command_line.main(["check", "--seeds", "0", "1", *words]) == 1
    out = capsys.readouterr().out
    assert "newsgroup seed 1: 01_signals is stale" in out and "newsgroup seed 0" not in out


def test_a_touched_cell_makes_its_notebook_stale(reproduced, capsys, monkeypatch, tmp_path):
    shutil.copytree(units.NOTEBOOKS, tmp_path / "notebooks")
    monkeypatch.setattr(units, "NOTEBOOKS", tmp_path / "notebooks")
    assert check(reproduced[1], capsys)[0] == 0
    path = tmp_path / "notebooks" / "02_ablation.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].source += "\n"
    notebook.cells[2].source += " More."
    nbformat.write(notebook, path)
    status, out = check(reproduced[1], capsys)
    assert status == 1 and "newsgroup seed 0: 02_ablation is stale" in out and "01_signals" not in out


def test_touched_code_makes_everything_stale(reproduced, capsys, monkeypatch):
    monkeypatch.setattr(units, "_library", lambda: "another")
    status, out = check(reproduced[1], capsys)
    assert status == 1 and all(f"{name} is stale" in out for name in NAMES)


@pytest.mark.parametrize(
    "path, stale",
    [
        ("newsgroup/seed-0/steps.csv", "03_strategies"),
        ("newsgroup/seed-0/randomization.csv", "06_randomization"),
        ("newsgroup/seed-0/notebooks/01_signals.ipynb", "01_signals"),
        ("newsgroup/seed-0/provenance.json", "05_distillation"),
        ("figures/figure3.png", "07_figures"),
        ("tables/table1.csv", "07_figures"),
        ("index.html", "07_figures"),
        ("claims.csv", "07_figures"),
    ],
)
@pytest.mark.parametrize("harm", ["changed", "removed"])
def test_a_harmed_output_is_stale_and_a_mended_one_fresh(path, stale, harm, reproduced, capsys):
    folder, words, *_ = reproduced
    content = (folder / path).read_bytes()
    try:
        if harm == "removed":
            (folder / path).unlink()
        else:
            (folder / path).write_bytes(content[: len(content) // 2])
        status, out = check(words, capsys)
        assert status == 1 and f"{stale} is stale or missing" in out
    finally:
        (folder / path).write_bytes(content)
    assert check(words, capsys)[0] == 0


def test_the_smoke_banner_is_on_every_page_and_figure(reproduced):
    """In the text of pages, tables and drawings; in pictures, as a red band across the top."""
    folder, banner = reproduced[0], provenance.SMOKE_BANNER
    assert folder.name == "smoke", "a folder of its own"
    pages = [*folder.rglob("*.html"), *folder.rglob("claims.md"), *folder.rglob("table1.md"), *folder.rglob("table1.tex")]
    drawings = [*folder.rglob("figures/*.svg")]
    assert len(pages) == len(NAMES) + 4 and len(drawings) == 8
    assert [path.name for path in [*pages, *drawings] if banner not in path.read_text(encoding="utf-8")] == []
    for path in folder.rglob("notebooks/*.ipynb"):
        assert banner in path.read_text(encoding="utf-8")
        for picture in pictures(path):
            assert has_red_band(picture), f"{path.name} shows a figure without the banner"
    assert [path.name for path in folder.rglob("figures/*.png") if not has_red_band(path.read_bytes())] == []


def pictures(path):
    """Yield the pictures that an executed notebook shows."""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield base64.b64decode(output["data"]["image/png"])


def has_red_band(content):
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    red = tuple(int(drawing.RED[i : i + 2], 16) for i in (1, 3, 5))
    top = pixels[: len(pixels) // 4]
    return (abs(top - red).sum(axis=2) < 12).mean(axis=1).max() > 0.4


def test_provenance_is_complete(reproduced):
    """Of the unit and of the report, and in words at the end of each notebook."""
    folder = reproduced[0]
    wanted = {"parameters", "fingerprint", "commit", "clean", "packages", "python", "platform", "cpu", "cores", "memory_gb", "gpu",
              "cuda", "seeds", "wall_seconds", "peak_memory_gb", "finished", "command"}  # fmt: skip
    for path in (folder / "provenance.json", folder / "newsgroup" / "seed-0" / "provenance.json"):
        record = json.loads(path.read_text())
        assert wanted <= set(record) and set(record["parameters"]) == set(parameters.Params.model_fields)
        assert record["wall_seconds"] > 0 and record["peak_memory_gb"] > 0 and record["seeds"] == [0]
    for path in folder.rglob("notebooks/*.ipynb"):
        last = nbformat.read(path, as_version=4).cells[-1].outputs[-1]["data"]["text/markdown"]
        for line in ("Study", "Model", "Parameters", "Commit", "Software", "Hardware", "Wall time, peak memory"):
            assert f"| {line}" in last, f"{path.name} does not say {line}"
