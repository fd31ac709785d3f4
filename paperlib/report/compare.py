"""`make compare`: lay a run beside another one of the same datasets and seeds, under other settings or elsewhere."""

from pathlib import Path

import numpy as np
import pandas as pd

from paperlib.common import escape, places
from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_text
from paperlib.common.markdown_table import markdown_table
from paperlib.common.messages import shown, unit_name
from paperlib.common.places import ROOT
from paperlib.evidence import one_study, provenance, two_runs
from paperlib.evidence.two_runs import Run
from paperlib.params import Params

FOLDER = "compare"
FEW = 3  # differences, which the title can name
HEADS = ["strategy", "this run", "the other", "difference (points)", "s.e.m.", "removed alike", "of steps"]
OF_TEXTS = {  # which texts a run reads, and which of them it draws: a test text of one size may be another's training text
    "data_dir", "data_source", "hub_id", "hub_config", "hub_revision", "hub_slices", "text_fields", "label_field",
    "train_size", "validation_size", "test_size",
}  # fmt: skip
OTHER_TEXTS = (
    "**The two may have read different texts** ({}): accuracies then differ for that reason before any other, and which "
    "run is the more accurate says nothing about the rest of what differs."
)
READING = (
    "Maximum accuracy over 1 to L removed layers, mean over units; difference: the other minus this run, with its standard "
    "error over units where there are several; removed alike: steps from the start up to which both removed the same."
)


def main(params: Params, other: str) -> str:
    """Compare a profile's finished units with those in the folder `other`, write the page; return where it is.

    Raises UserError when one of them has no finished unit, or no dataset and seed is in both.
    """
    try:
        folder = ROOT / places.path_text(other)
    except ValueError as error:
        raise UserError(f"command line: {other[:60]!r} {error}") from None
    if not folder.is_dir():
        raise UserError(f"command line: there is no folder {other} to compare with")
    if folder.resolve() == params.profile_dir.resolve():
        raise UserError(f"command line: {other} is this run itself: name another one, as with WITH=outputs/other/laptop")
    ours, theirs = two_runs.matched(two_runs.read(params.profile_dir), two_runs.read(folder))
    return shown(write(ours, theirs, params))


def write(one: Run, other: Run, params: Params) -> Path:
    """Write compare.csv, the figure and compare.md; return the path of the page."""
    # They import matplotlib, which writes a list of fonts into the cache.
    from paperlib.figures.compare import draw
    from paperlib.figures.drawing import save

    folder, walks = params.profile_dir / FOLDER, two_runs.walks(one, other)
    atomic_write_text(folder / "compare.csv", walks.to_csv(lineterminator="\n"))
    figure, alt = draw(walks)
    save(figure, folder, "compare", alt, provenance.banner(params), provenance.stamp(params))
    atomic_write_text(folder / "compare.md", page(one, other, walks, alt, provenance.banner(params)))
    return folder / "compare.md"


def page(one: Run, other: Run, walks: pd.DataFrame, alt: str, banner: str = "") -> str:
    """Return the comparison as Markdown: what differs, the models of both, the walks."""
    names = ", ".join((unit_name(*unit) for unit in one.records))
    places = f"This run: `{shown(one.folder)}`; the other: `{shown(other.folder)}`. In both: {escape.markdown(names)}."
    found = two_runs.differences(one, other)
    rows = [[escape.markdown(cell) for cell in (name, *row)] for name, row in zip(found.index, found.to_numpy())]
    named = f": {escape.markdown(', '.join(found.index))}" if 0 < len(found) <= FEW else ""
    settings = markdown_table(["", "this run", "the other"], rows) if rows else "Nothing that is recorded.\n"
    cells = [
        [row.Index, f"{row.one:.3f}", f"{row.other:.3f}", f"{row.difference:+z.1f}", _error(row.sem), f"{row.together:.3g}",
         f"{row.steps:.3g}"]
        for row in walks.itertuples()
    ]  # fmt: skip
    parts = [
        f"# Two runs compared{named}", f"**{banner}**" if banner else "", places, _account(one, walks),
        f"What differs:\n\n{settings}", _texts_text(found.index), _models_text(two_runs.models(one, other)),
        f"![{escape.markdown(alt)}](compare.png)", markdown_table(HEADS, cells, HEADS[1:]), _alone_text(one, other), READING,
    ]  # fmt: skip
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _account(run: Run, walks: pd.DataFrame) -> str:
    """Say what one run is: its model, its sizes, how far down its walks go."""
    recorded = [record["parameters"] for record in run.records.values()]
    model, train, test = (
        ", ".join(dict.fromkeys(str(each[name]) for each in recorded)) for name in ("model", "train_size", "test_size")
    )
    depth, layers = walks["steps"].max(), run.steps["layers"].max()
    ways = ", ".join(dict.fromkeys(way for record in run.records.values() if (way := one_study.computed(record))))  # of several it speaks of all
    return (
        f"This run: {escape.markdown(model)}, {train} training and {test} test examples, {f'{ways}, ' if ways else ''}walks down to {depth:.0f} of "
        f"{layers} layers removed."
    )


def _texts_text(differing: pd.Index) -> str:
    """Say that the texts may be others, where what decides on them differs."""
    named = [f"`{name}`" for name in differing if name in OF_TEXTS]
    return OTHER_TEXTS.format(", ".join(named)) if named else ""


def _alone_text(one: Run, other: Run) -> str:
    """Name the walks that stand in no row, as one of the runs did not take them."""
    walked = [dict.fromkeys(run.steps["strategy"]) for run in (one, other)]
    only = [[name for name in walked[here] if name not in walked[1 - here]] for here in (0, 1)]
    return " ".join(f"Only {run} walked: {', '.join(names)}." for run, names in zip(("this run", "the other"), only) if names)


def _models_text(found: pd.Series) -> str:
    if not found["both"]:
        return "No model was trained in both runs."
    return (
        f"Models trained: {found['one']:.0f} in this run, {found['other']:.0f} in the other, {found['both']:.0f} in both "
        f"(the same layers removed in the same order). Of these, {found['same']:.0%} have the same accuracy; it differs by "
        f"{found['mean']:.1f} points on average, {found['most']:.1f} at most. For scale: the standard error of one accuracy "
        f"on its test examples is {found['error']:.1f} points."
    )


def _error(sem: float) -> str:
    return f"{sem:.1f}" if np.isfinite(sem) else ""
