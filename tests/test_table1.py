"""Table 1 in its three forms, against brute force on the published numbers and against hostile names."""

import io
import re

import mistune
import numpy as np
import pandas as pd
import pytest

from paperlib import published
from paperlib.common.errors import UserError
from paperlib.evidence import table1
from paperlib.names import OURS, STRATEGIES, WALKS

HOSTILE = ["a|b", r"x_y & {z} \input{q}", "<i>**$5%~^#</i>\nnew"]


@pytest.fixture
def printed():
    return table1.frame(published.maxima(), published.baseline())


@pytest.fixture
def with_controls():
    rng = np.random.default_rng(3)
    names, datasets = list(WALKS), ["imdb", "yelp"]
    maxima = pd.DataFrame(rng.uniform(0.2, 0.6, (len(names), 2)), index=names, columns=datasets)
    maxima.loc["Equal-Training"] = 0.9
    maxima.loc["Greedy-Ablation", "yelp"] = np.nan
    return maxima, pd.Series({"yelp": 0.95, "imdb": 1 / 3})


def test_the_published_table_has_the_paper_s_rows_in_order(printed):
    assert list(printed.index) == ["Baseline", *STRATEGIES]
    assert printed.loc["Baseline", "newsgroup"] == 0.289
    assert printed.loc["Random-Forest", "amazon"] == 0.730


def test_bold_is_every_tie_of_the_best_strategy_by_brute_force(printed):
    bold = {
        (strategy, dataset)
        for dataset in printed
        for strategy in STRATEGIES
        if all(printed.loc[strategy, dataset] >= printed.loc[other, dataset] for other in STRATEGIES)
    }
    mask = table1.best(printed).stack()
    assert set(mask[mask].index) == bold
    assert len(bold) == 11  # nine datasets; newsgroup and dbpedia are shared by both fusers
    assert table1.to_markdown(printed).count("**") == 2 * 11
    assert table1.to_latex(printed).count(r"\textbf{") == 11


def test_bold_ignores_baseline_and_controls(with_controls):
    table = table1.frame(*with_controls)
    assert not table1.best(table).loc[["Baseline", *OURS]].to_numpy().any()
    assert table1.best(table).sum().tolist() == [1, 1]


def test_ties_survive_float_noise(with_controls):
    maxima, baseline = with_controls
    maxima.loc["Random", "imdb"] = 0.1 + 0.7
    maxima.loc["Weight-Norm", "imdb"] = 0.8  # differs from 0.1 + 0.7 in the last bit
    best = table1.best(table1.frame(maxima, baseline))
    assert list(best.index[best["imdb"]]) == ["Random", "Weight-Norm"]


def test_csv_keeps_every_digit(with_controls):
    table = table1.frame(*with_controls)
    again = pd.read_csv(io.StringIO(table1.to_csv(table)), index_col="Strategy")
    pd.testing.assert_frame_equal(again, table, check_exact=True, check_index_type=False)
    assert again.loc["Baseline", "imdb"] == 1 / 3


def test_markdown_reads_back_as_the_same_cells(printed):
    rows = [line.strip("| ").split(" | ") for line in table1.to_markdown(printed).splitlines()[2:18]]
    assert [row[0] for row in rows] == ["Baseline (uncompressed)", *STRATEGIES]
    cells = [[float(cell.strip("*")) for cell in row[1:]] for row in rows]
    np.testing.assert_array_equal(cells, printed.to_numpy())
    assert "| 0.508 |" not in table1.to_markdown(printed)
    assert "| 0.730 |" in table1.to_markdown(printed)  # three decimals, as printed


def test_controls_come_last_below_a_rule(with_controls):
    table = table1.frame(*with_controls)
    markdown = table1.to_markdown(table).splitlines()
    assert markdown[2 + 16].startswith("| *Controls")
    assert [line.split(" | ")[0] for line in markdown[19:31]] == [f"| {name}" for name in OURS]
    latex = table1.to_latex(table).splitlines()
    rules = [place for place, line in enumerate(latex) if line == r"\midrule"]
    assert latex[rules[1] - 1].startswith("Baseline (uncompressed) &")
    assert latex[rules[2] - 1].startswith("Random-Forest &")
    assert latex[rules[2] + 1].startswith("Equal-Training &")
    assert markdown[20].endswith("| – |")  # a control that was not run


def hostile_table():
    names, values = ["Random", r"my_{own} | \x"], [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
    maxima = pd.DataFrame(values, index=names, columns=HOSTILE)
    return table1.frame(maxima, pd.Series([0.7, 0.8, 0.9], index=HOSTILE))


def test_markdown_renders_hostile_names_as_plain_text():
    markdown = table1.to_markdown(hostile_table(), note="*seed* <b>1</b>")
    html = mistune.create_markdown(plugins=["table"])(markdown)
    heads = re.findall(r"<th(?: [^>]*)?>(.*?)</th>", html)
    escaped = ["a|b", r"x_y &amp; {z} \input{q}", "&lt;i&gt;**$5%~^#&lt;/i&gt; new"]
    assert heads == ["Strategy", *escaped]
    assert r"my_{own} | \x</td>" in html
    assert "*seed* &lt;b&gt;1&lt;/b&gt;" in html


def test_latex_escapes_hostile_names():
    latex = table1.to_latex(hostile_table(), note=r"100 % of \this")
    head = latex.splitlines()[2]
    assert head == (
        r"Strategy & a\textbar{}b & x\_y \& \{z\} \textbackslash{}input\{q\} & "
        r"\textless{}i\textgreater{}**\$5\%\textasciitilde{}\textasciicircum{}\#"
        r"\textless{}/i\textgreater{} new \\"
    )
    assert r"100 \% of \textbackslash{}this" in latex
    assert r"my\_\{own\} \textbar{} \textbackslash{}x & 0.400" in latex.replace(r"\textbf{0.400}", "0.400")


def test_write_makes_the_three_files_with_the_note_and_the_same_bytes_again(tmp_path, printed):
    for folder in (tmp_path / "one", tmp_path / "two"):
        table1.write(folder, published.maxima(), published.baseline(), note="laptop profile")
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"table1.csv", "table1.md", "table1.tex"}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert "laptop profile" in (tmp_path / "one" / "table1.md").read_text(encoding="utf-8")
    assert "laptop profile" in (tmp_path / "one" / "table1.tex").read_text(encoding="utf-8")
    again = pd.read_csv(tmp_path / "one" / "table1.csv", index_col="Strategy")
    np.testing.assert_array_equal(again.to_numpy(), printed.to_numpy())


def test_write_into_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        table1.write(tmp_path / "taken", published.maxima(), published.baseline())
