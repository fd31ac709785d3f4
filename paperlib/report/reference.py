"""Keep a finished run as the reference that the project shows: its small files, and what the README says of them."""

import re
import shutil
from pathlib import Path

import pandas as pd

from paperlib.common import escape
from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_bytes, atomic_write_text
from paperlib.common.markdown_table import markdown_table
from paperlib.common.places import ROOT
from paperlib.evidence import claims, comparisons, tables, units
from paperlib.evidence.estimates import TABLES, Results
from paperlib.params import DATASETS, Params
from paperlib.report import compare

REFERENCE = ROOT / "outputs" / "reference"
README = ROOT / "README.md"
START, END = "<!-- from here on written by make reference -->", "<!-- up to here -->"
# No texts, no weights, no records of models, no notebooks: what can be read, compared and drawn again.
OF_PROFILE = ("claims.csv", "claims.md", units.PROVENANCE, "tables/*", "figures/*", "bench/bench.*", "compare/*")
OF_UNIT = (*(f"{table}.csv" for table in units.UNIT_TABLES), "distillation.json", units.PROVENANCE)
SHORT = {
    "claim": "claim", "paper_says": "the paper says", "verdict_table1": "by its Table 1", "ours_says": "this run says",
    "verdict_ours": "by this run",
}  # fmt: skip


def make(params: Params) -> str:
    """Keep the finished units of a profile with these settings, and show them in the README; return what was done.

    Raises UserError when there are none, when figures and claims are not of exactly these units, or in the smoke
    profile, whose numbers are no results.
    """
    found = units.comparable(params)
    if params.profile == "smoke" or not found:
        raise UserError(f"profile {params.profile}: no results to keep as the reference")
    drawn = units.provenance(params.profile_dir).get("results", {}).get("tables", {})
    if set(drawn) != {f"{dataset} {seed}" for dataset, seed in found} or units.harmed_results(params):
        raise UserError(f"profile {params.profile}: figures and claims are not of these units: run make figures first")
    keep(params.profile_dir, found, REFERENCE / params.profile)
    show_in_readme(REFERENCE / params.profile)
    return f"kept {len(found)} units in outputs/reference/{params.profile}, shown in README.md"


def keep(source: Path, found: list[tuple[str, int]], target: Path) -> None:
    """Replace the reference in `target` by the small files of a profile's folder and of these units in it."""
    wanted = [path for pattern in OF_PROFILE for path in sorted(source.glob(pattern))]
    wanted += [source / dataset / f"seed-{seed}" / name for dataset, seed in found for name in OF_UNIT]
    shutil.rmtree(target, ignore_errors=True)
    for path in wanted:
        atomic_write_bytes(target / path.relative_to(source), path.read_bytes())


def show_in_readme(folder: Path, readme: Path = README) -> None:
    """Write what the README says of a reference between its two marks; UserError when it lacks them."""
    text = readme.read_text(encoding="utf-8")
    marked = re.compile(f"{re.escape(START)}\n.*?{re.escape(END)}\n", re.DOTALL)
    if not marked.search(text):
        raise UserError(f"{readme.name}: the marks between which the reference is shown are gone")
    shown = f"{START}\n{section(folder)}{END}\n"
    atomic_write_text(readme, marked.sub(lambda _: shown, text))


def section(folder: Path) -> str:
    """Return the README's account of a reference as Markdown: what was run, Figure 1, the claims; all from its files."""
    steps, verdicts = tables.collect(folder, "steps"), pd.read_csv(folder / "claims.csv", keep_default_na=False)
    address = f"outputs/reference/{folder.name}"
    counts = pd.DataFrame({name: verdicts[column].value_counts() for name, column in _verdict_columns().items()})
    counts = counts.reindex([claims.HOLDS, claims.NOISE, claims.FAILS, claims.UNTESTABLE]).fillna(0).astype(int)
    rows = [[escape.markdown(verdict), *map(str, row)] for verdict, row in zip(counts.index, counts.to_numpy())]
    every = [[escape.markdown(cell) for cell in row] for row in verdicts[list(SHORT)].to_numpy()]
    return (
        f"![Accuracy against layers removed: the walks of all strategies and controls on each dataset]"
        f"({address}/figures/figure1.png)\n\n"
        f"Figure 1 of {_account(folder, steps)}\n\n"
        f"Maximum accuracy over depths of the Random-Forest walk, minus that of:\n\n{_rivals(folder)}\n"
        f"Of {len(verdicts)} claims, the paper's and ours about it:\n\n"
        f"{markdown_table(['', *counts], rows)}\n"
        f"<details><summary>Claim by claim</summary>\n\n{markdown_table(list(SHORT.values()), every)}\n</details>\n\n"
        f"How each verdict is reached is in [`claims.md`]({address}/claims.md).\n"
        f"{_compared(folder, address)}"
    )


def _compared(folder: Path, address: str) -> str:
    """Return the page of `make compare`, where there is one, folded up and with links that hold from the README."""
    path = folder / compare.FOLDER / "compare.md"
    if not path.exists():
        return ""
    title, _, text = path.read_text(encoding="utf-8").partition("\n\n")
    text = text.replace("](compare.png)", f"]({address}/{compare.FOLDER}/compare.png)")
    return f"\n<details><summary>{title.removeprefix('# ')}</summary>\n\n{text}\n</details>\n"


def _account(folder: Path, steps: pd.DataFrame) -> str:
    """Say in one sentence what was run, from the tables and the provenance of the units."""
    runs = [record["parameters"] for record in units.finished(folder).values()]
    models, trained = {run["model"] for run in runs}, {run["train_size"] for run in runs}
    layers, tested = steps["layers"].unique(), steps["test_size"].unique()
    if max(map(len, (models, trained, layers, tested))) > 1:
        raise UserError(f"{folder.name}: units of different models or sizes make no reference")
    found = steps.drop_duplicates(["dataset", "seed"])
    of_dataset = found.groupby("dataset", sort=False)["seed"].nunique()
    seeds = f"{of_dataset.min()}" if of_dataset.nunique() == 1 else f"{of_dataset.min()} or {of_dataset.max()}"
    plural = "" if of_dataset.max() == 1 else "s"
    return (
        f"one real run, {len(of_dataset)} of the paper's {len(DATASETS)} datasets with {seeds} seed{plural} each "
        f"({', '.join(of_dataset.index)}): the {layers[0]}-layer encoder {models.pop()}, {trained.pop()} training and "
        f"{tested[0]} test examples of each."
    )


def _rivals(folder: Path) -> str:
    """Tabulate what the forest's fusion gains over baseline, single signals, random order, ablation and equal training."""
    results = Results.from_tables(**{name: tables.collect(folder, name) for name in TABLES})
    found = comparisons.rivals(results, "Random-Forest")
    rows = [
        [rival, f"{row['mean']:+z.1f} ± {row['sem']:.1f}", f"{row['ahead']} of {row['datasets']}", row["verdict"]]
        for rival, row in found.iterrows()
    ]
    return markdown_table(["", "points (± s.e.m. over datasets)", "datasets ahead", "more accurate?"], rows)


def _verdict_columns() -> dict[str, str]:
    return {SHORT[column]: column for column in ("verdict_table1", "verdict_ours")}
