"""Table 1: maximum accuracy of every strategy on every dataset, laid out as the paper prints it."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from paperlib.common import escape
from paperlib.common.files import atomic_write_text
from paperlib.common.markdown_table import markdown_table
from paperlib.evidence.statistics import DECIMALS
from paperlib.names import OURS

BASELINE = "Baseline"
PRINTED_BASELINE = "Baseline (uncompressed)"  # as printed; the CSV keeps the short name, as published/ does
CAPTION = "Maximum test accuracy over one to all layers removed; bold: best of the paper's strategies."


def frame(maxima: pd.DataFrame, baseline: pd.Series) -> pd.DataFrame:
    """Return Table 1: the baseline's row, the strategies in the paper's order, then our controls and rivals.

    `maxima` (strategies, datasets) and `baseline` (datasets,) are accuracies as fractions.
    """
    first = baseline.reindex(maxima.columns).to_frame(BASELINE).T
    ours = maxima.index.isin(OURS)
    return pd.concat([first, maxima[~ours], maxima[ours]]).rename_axis(index="Strategy", columns=None)


def best(table: pd.DataFrame) -> pd.DataFrame:
    """Return a mask like `table`: the highest accuracy of each column among the strategies, ties all true.

    Neither the baseline nor a control or rival of ours competes, so that bold means what it means in the paper.
    """
    competing = table.drop(index=[BASELINE, *OURS], errors="ignore").round(DECIMALS)
    return competing.eq(competing.max()).reindex(table.index, fill_value=False)


def to_csv(table: pd.DataFrame) -> str:
    """Return the table as CSV with every digit."""
    return table.to_csv(lineterminator="\n")


def to_markdown(table: pd.DataFrame, note: str = "") -> str:
    """Return the table in GitHub's Markdown: three decimals, best in bold, caption and note underneath."""
    heads, *rows = _printed(table, "**{}**", escape.markdown)
    if ours := _ours(table):
        rows.insert(-ours, ["*Controls and rivals, not in the paper*"] + [""] * table.shape[1])
    return f"{markdown_table(heads, rows, numbers=heads[1:])}\n{escape.markdown(f'{CAPTION} {note}')}\n"


def to_latex(table: pd.DataFrame, note: str = "") -> str:
    """Return the table as a LaTeX tabular (booktabs): three decimals, best in bold, note underneath."""
    lines = [" & ".join(row) + r" \\" for row in _printed(table, r"\textbf{{{}}}", escape.latex)]
    if ours := _ours(table):
        lines.insert(-ours, r"\midrule")
    lines[1:1], lines[3:3] = [r"\midrule"], [r"\midrule"]  # around the baseline
    opening = [rf"\begin{{tabular}}{{l{'r' * table.shape[1]}}}", r"\toprule"]
    lines = [*opening, *lines, r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, rf"\par\smallskip{{\footnotesize {escape.latex(f'{CAPTION} {note}')}}}"]) + "\n"


def write(folder: Path | str, maxima: pd.DataFrame, baseline: pd.Series, note: str = "") -> None:
    """Write table1.csv, table1.md and table1.tex into a folder, each whole or not at all.

    Raises UserError when the folder cannot be written.
    """
    table = frame(maxima, baseline)
    texts = {"csv": to_csv(table), "md": to_markdown(table, note), "tex": to_latex(table, note)}
    for kind, text in texts.items():
        atomic_write_text(Path(folder) / f"table1.{kind}", text)


def _printed(table: pd.DataFrame, bold: str, escape: Callable[[object], str]) -> list[list[str]]:
    """Return the heading and the rows as text, names escaped, the best cells put into `bold`."""
    cells = table.map(lambda value: "–" if pd.isna(value) else f"{value:.3f}").astype(object)
    cells = cells.mask(best(table), cells.map(bold.format))
    names = [PRINTED_BASELINE if name == BASELINE else name for name in table.index]
    heading = [escape(name) for name in ("Strategy", *table.columns)]
    return [heading, *([escape(name), *row] for name, row in zip(names, cells.to_numpy()))]


def _ours(table: pd.DataFrame) -> int:
    return int(table.index.isin(OURS).sum())
