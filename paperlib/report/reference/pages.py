"""What the project's pages say of the kept references: README.md, notebooks/README.md and a page of their own, all from their files."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from paperlib.common import escape
from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_text
from paperlib.common.markdown_table import markdown_table
from paperlib.common.messages import count, span, unit_name
from paperlib.common.places import ROOT
from paperlib.evidence import claims, comparisons, headline, sentences, statistics, units
from paperlib.report import compare
from paperlib.report.reference import account, notebooks
from paperlib.report.reference.kept import Kept, profiles

START, END = "<!-- from here on written by make reference -->", "<!-- up to here -->"
SHORT = {
    "claim": "claim", "paper_says": "the paper says", "verdict_table1": "by its Table 1", "ours_says": "this run says",
    "verdict_ours": "by this run",
}  # fmt: skip
ABLATION, CONTROL = "Greedy-Ablation", "Equal-Training"
NOTEBOOKS = "notebooks"  # the folder of the executed ones
WORDS = {**headline.WORDS, "the same models": "equals"}


def show(root: Path = ROOT) -> None:
    """Write what the pages of the project say of the references."""
    for path, text in pages(root).items():
        atomic_write_text(path, text)


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Return the pages that speak of the references: README.md and notebooks/README.md between two marks, and their own.

    Raises UserError when the marks are gone.
    """
    reference = root / "outputs" / "reference"
    kept = profiles(reference)
    shown = {root / "README.md": section(*kept) if kept else "",
             root / "notebooks" / "README.md": executed(kept[0], "../outputs/reference/") if kept else ""}  # fmt: skip
    return {path: _between_marks(path, text) for path, text in shown.items()} | {reference / "README.md": page(kept)}


def _between_marks(path: Path, shown: str) -> str:
    text = path.read_text(encoding="utf-8")
    marked = re.compile(f"{re.escape(START)}\n.*?{re.escape(END)}\n", re.DOTALL)
    if not marked.search(text):
        raise UserError(f"{path.name}: the marks between which the reference is shown are gone")
    return marked.sub(lambda _: f"{START}\n{shown}{END}\n", text)


def section(kept: Kept, *others: Kept) -> str:
    """Return README.md's account of a reference as Markdown: the headline, Figure 1, what was run; all from its files.

    Of `others` it says where they stand, and on how many datasets.
    """
    address = f"outputs/reference/{kept.folder.name}"
    return (
        f"{in_a_sentence(kept)}\n\n"
        f"![Accuracy against layers removed: the walks of all strategies and controls on each dataset]"
        f"({address}/figures/figure1.png)\n\n"
        f"Figure 1 of {account.run(kept)} {account.texts(kept)}\n\n"
        f"Maximum accuracy over depths of the random forest's walk, minus that of:\n\n{_rivals_table(kept)}\n{_on_another_encoder(kept, short=True)}{_further(others)}"
        f"Every claim with its verdict, the comparison of two runs and the machine that ran this: "
        f"[outputs/reference](outputs/reference/README.md).\n"
    )


def _further(others: Sequence[Kept]) -> str:
    """Say what else is kept, and link to it."""
    told = []
    for other in others:
        models, datasets = {run["model"] for run in other.runs}, other.steps["dataset"].unique()
        told.append(f"of {sentences.listed(sorted(models))} on {sentences.listed(datasets)} ([{other.folder.name}](outputs/reference/README.md#{other.folder.name}))")
    return f"The whole study, every rival in it, was run {sentences.listed(told)}, too. " if told else ""


def page(kept: list[Kept]) -> str:
    """Return the page about all references as Markdown."""
    opening = (
        "# Reference runs\n\nReal runs, kept by `make reference`, which writes this page too: tables, figures, claims, executed "
        "notebooks; no texts and no weights. `make compare` lays a run of yours beside them. The notebooks are kept smaller than they were run (no paths "
        "and times, pictures of fewer colours): their hashes in `provenance.json` are those of the originals.\n"
    )
    return "\n".join([opening, *(_chapter(one, [other for other in kept if other is not one]) for one in kept)])


def _chapter(kept: Kept, others: list[Kept]) -> str:
    verdicts, name = kept.verdicts, kept.folder.name
    counts = pd.DataFrame({SHORT[side]: verdicts[side].value_counts() for side in ("verdict_table1", "verdict_ours")})
    counts = counts.reindex([claims.HOLDS, claims.NOISE, claims.FAILS, claims.UNTESTABLE]).fillna(0).astype(int)
    rows = [[escape.markdown(verdict), *map(str, row)] for verdict, row in zip(counts.index, counts.to_numpy())]
    every = [[escape.markdown(cell) for cell in row] for row in verdicts[list(SHORT)].to_numpy()]
    return (
        f"## {name}\n\n{in_a_sentence(kept)}\n\nThis is {account.run(kept)} {account.texts(kept)} {account.machine(kept)}{account.beside(kept)}{account.elsewhere(kept, others)}\n\n"
        f"![Accuracy against layers removed]({name}/figures/figure1.png)\n\n"
        f"Maximum accuracy over depths of the random forest's walk, minus that of:\n\n{_rivals_table(kept)}\n{_on_another_encoder(kept)}"
        f"### Notebooks, executed\n\n{executed(kept)}\n"
        f"### Claims\n\nOf {len(verdicts)} claims, the paper's and ours about it:\n\n{markdown_table(['', *counts], rows)}\n"
        f"{_too_few(kept)}{markdown_table(list(SHORT.values()), every)}\n"
        f"How each verdict is reached is in [claims.md]({name}/claims.md).\n{_compared(kept.folder)}"
    )


def _too_few(kept: Kept) -> str:
    """Say why most claims cannot be tested on few datasets, numbers or not; "" where there are enough."""
    run = len({run["dataset"] for run in kept.runs})
    if run >= statistics.MIN_DATASETS:
        return ""
    return (
        f"Most claims are about all datasets, and {count(run)} {'is' if run == 1 else 'are'} too few for their rules, which need "
        f"{statistics.MIN_DATASETS} or more: their numbers are shown, and judged by nothing.\n\n"
    )


def in_a_sentence(kept: Kept) -> str:
    """Say what fusion gains over the measurement that it imitates, and over training alone."""
    ablation, control = kept.rivals.loc[ABLATION], kept.rivals.loc[CONTROL]
    where = f"Over {control['datasets']} datasets" if control["datasets"] > 1 else f"On {kept.runs[0]['dataset']} alone"
    alike = ablation["verdict"] == control["verdict"] == claims.NOISE
    joined = ", nor from" if alike else f". It {WORDS.get(control['verdict'], '?')}"
    return (
        f"**{where}, random-forest fusion {WORDS.get(ablation['verdict'], '?')} greedy ablation, which "
        f"uses its target and no signal ({_points(ablation)} points of accuracy){joined} a model that "
        f"loses no layer and trains for as many rounds ({_points(control)}; ahead on {control['ahead']} of {count(control['datasets'], 'dataset')}), "
        "each at its best round.**"
    )


def executed(kept: Kept, address: str = "") -> str:
    """List the executed notebooks: of the paper's numbers, of all units, of one unit and which texts it read."""
    folder = kept.folder
    links = {path.stem: f"[{path.stem}]({address}{path.relative_to(folder.parent)})" for path in sorted((folder / NOTEBOOKS).glob("*.ipynb"))}
    of_paper, of_unit = [[name for name in links if name in kind] for kind in ((units.BEFORE,), units.of_unit())]
    of_all = [name for name in links if name not in (*of_paper, *of_unit)]
    elsewhere = [name for name in of_all if name == units.TRANSFER and len({run["dataset"] for run in kept.runs}) == 1]
    groups = {
        "Of the paper's own numbers": of_paper, "About all units": [name for name in of_all if name not in elsewhere],
        "Of the project's first reference, since it needs two datasets": elsewhere,
    }  # fmt: skip
    if of_unit:
        record = json.loads((folder / NOTEBOOKS / units.PROVENANCE).read_text(encoding="utf-8"))
        run = record["parameters"]
        source = "a local folder (`data_dir`)" if account.is_local(run) else "where `make reproduce` takes them"
        groups[f"Of {unit_name(run['dataset'], run['seed'])}, its texts from {source}{_run_apart(record, kept)}"] = of_unit
    lines = [f"- {whose}: {', '.join(links[name] for name in names)}" for whose, names in groups.items() if names]
    older = [path.stem for path, renewed in notebooks.beside_sources(folder / NOTEBOOKS, units.NOTEBOOKS).items() if renewed is None]
    if older:
        lines.append(f"- Run by earlier code than that of today's notebooks, and say what it said: {', '.join(older)}")
    absent = sorted(path.stem for path in units.NOTEBOOKS.glob("*.ipynb") if path.stem not in links)
    if lines and absent:
        lines.append(f"- Not among them: {', '.join(absent)}")
    return "\n".join(lines or ["None is kept yet."]) + "\n"


def _run_apart(record: dict, kept: Kept) -> str:
    """Say if the executed notebooks are of another run than the tables beside them; "" if not."""
    if not record.get("finished") or record["finished"] in [each["finished"] for each in kept.records]:
        return ""
    return f", in a run of their own ({record['cpu']}, commit {record['commit'][:7]}), not that of the tables"


def _compared(folder: Path) -> str:
    """Link to the page of `make compare`, where there is one, by its title."""
    path = folder / compare.FOLDER / "compare.md"
    if not path.exists():
        return ""
    title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    return f"\n### Two runs beside each other\n\n[{title}]({path.relative_to(folder.parent)})\n"


def _rivals_table(kept: Kept) -> str:
    """Tabulate what the forest's fusion gains over baseline, single signals, random order, ablation and equal training."""
    rows = [[rival, _points(row), f"{row['ahead']} of {row['datasets']}", row["verdict"]] for rival, row in kept.rivals.iterrows()]
    table = markdown_table(["", "points", "datasets ahead", "fusion is more accurate"], rows)
    return (
        f"{table}\nAfter ± stands the largest of three standard errors: over datasets, over seeds, and that of so few test examples. It holds where fusion is "
        f"ahead by twice that; a claim whose rule is a signed-rank test looks at datasets alone, or at random orders alone, and can hold where this says within noise.{_random_orders(kept)} Fusion, Greedy-Ablation and One-Shot choose layers by the *test* examples, as the paper seems to have done; "
        "Exact-Best does by validation examples, and the orders and signals by neither.\n"
    )


def _random_orders(kept: Kept) -> str:
    """Say if Random's orders are shared by all datasets, and what to look at instead; "" where they are not."""
    orders = statistics.shared_orders(kept.steps)
    if not orders:
        return ""
    instead = ""
    if comparisons.MEAN_RANDOM in kept.rivals.index:
        each = kept.orders[kept.orders["test"] == "Random-All"].groupby("dataset").size().tolist()
        instead = f"; the row below it rests on {span(each, 'order')}"
    return f" Random is {count(orders, 'order')} in all, {'one a seed, ' * (orders > 1)}which all datasets share{instead}."


def _on_another_encoder(kept: Kept, short: bool = False) -> str:
    """Set what fusion gains at each other encoder beside what it gains here on the same datasets, and say where they disagree.

    In a table or, `short`, in a sentence.
    """
    walked = {encoder: kept.walks[kept.walks["encoder"] == encoder] for encoder, found in kept.beside.items() if not found.empty}  # on both
    return "".join(_at(kept, encoder, there, short) for encoder, there in walked.items())


def _at(kept: Kept, encoder: str, there: pd.DataFrame, short: bool) -> str:
    found = kept.beside[encoder]
    layers = {side: f"{rows['layers'].iloc[0]} layers" for side, rows in (("here", kept.steps), ("there", there))}
    untold = list(found.index[(found[["verdict_here", "verdict_there"]] == claims.UNTESTABLE).any(axis=1)])
    apart = [rival for rival in found.index if rival not in untold and found.loc[rival, "verdict_here"] != found.loc[rival, "verdict_there"]]
    alike = [rival for rival in found.index if rival not in (*untold, *apart)]
    told = [f"{verb} {sentences.listed(rivals)}" for verb, rivals in (("say the same of", alike), ("differ on", apart)) if rivals]
    one_order = " Random there is one order for all datasets, which says nothing of others." * (statistics.shared_orders(there) == 1)
    agreed = f"By these verdicts {layers['here']} and {layers['there']} {', and '.join(told)}; other rivals were not walked there.{one_order}\n\n"
    cells = {rival: {side: _cells(row, side) for side in layers} for rival, row in found.iterrows()}
    encoder = f"{layers['there']}, of {encoder}"
    seeds = ", ".join(map(str, sorted(there["seed"].unique())))
    if short:
        gains = [f"minus {rival} {cell['there'][0]} (ahead on {cell['there'][1]} datasets; with {layers['here']} {cell['here'][0]})" for rival, cell in cells.items()]
        return f"On {encoder} (seed {seeds}), in points, fusion {sentences.listed(gains)}. {agreed}"
    heads = [f"{name}: {what}" for name in layers.values() for what in ("points", "datasets ahead", "more accurate")]
    rows = [[rival, *cell["here"], *cell["there"]] for rival, cell in cells.items()]
    return (
        f"The same on {encoder} (seed {seeds}; {', '.join(there['dataset'].unique())}), beside {layers['here']} on the same datasets:\n\n"
        f"{markdown_table(['', *heads], rows)}\n{agreed}"
    )


def _cells(row: pd.Series, side: str) -> list[str]:
    of_side = pd.Series({name: row[f"{name}_{side}"] for name in ("mean", "error", "ahead", "datasets", "verdict")})
    return [_points(of_side), f"{of_side['ahead']} of {of_side['datasets']}", of_side["verdict"]]


def _points(row: pd.Series) -> str:
    return f"{row['mean']:+z.1f}" + (f" ± {row['error']:.1f}" if np.isfinite(row["error"]) else "")
