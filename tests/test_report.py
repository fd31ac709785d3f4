"""The report: whole without a network, honest about what is missing, and safe whatever the data holds."""

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Browser
from bs4 import BeautifulSoup
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.evidence import claims, provenance, table1
from paperlib.figures import display
from paperlib.names import STRATEGIES
from paperlib.params import load
from paperlib.report import front, html, markdown, pages, tidy

SCRIPT = "<script>alert(1)</script>"
PIXEL = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q"
    b"\0\0\0\0IEND\xaeB`\x82"
).decode()


def _notebook(*cells, title="A notebook"):
    return new_notebook(
        cells=[new_markdown_cell(f"# {title}"), *cells], metadata={"language_info": {"name": "python"}}
    )


def _body(*cells, links=None, target=None):
    return BeautifulSoup(html.notebook_body(_notebook(*cells), links, target)[0], "html.parser")


def _output(**data):
    return new_code_cell(
        "x", outputs=[new_output("display_data", data={k.replace("_", "/"): v for k, v in data.items()})]
    )


def _save(notebook, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def _profile(out):
    """Make a profile with two units, one of them with a hostile name, and half of the files missing."""
    for name in ("00_published", "07_figures"):
        _save(_notebook(title=name), out / "notebooks" / f"{name}.ipynb")
    _save(_notebook(title="still running"), out / "notebooks" / ".07_figures.partial.ipynb")
    for dataset in ("imdb", "<script>x"):
        unit = out / dataset / "seed-1"
        for name in ("01_signals", "02_ablation"):
            _save(
                _notebook(new_markdown_cell("## Part & parcel\n[next](02_ablation.ipynb)")),
                unit / f"notebooks/{name}.ipynb",
            )
        steps = pd.DataFrame(
            {
                "strategy": "Random-Forest",
                "step": range(3),
                "removed": ["", "4", "4-2"],
                "accuracy": [0.5, 0.625, 0.625],
                "diverged": [False, False, dataset != "imdb"],
                "layers": 6,
            }
        )
        steps.to_csv(unit / "steps.csv", index=False)
    provenance.write(
        out / "imdb/seed-1/provenance.json", provenance.collect(load(dataset="imdb", seed=1), wall_seconds=65)
    )
    rows = [
        [
            f"claim-{i}",
            "ours" if i == 3 else "3.1",
            f"{SCRIPT} {i}",
            "says",
            "",
            "",
            1,
            2,
            "",
            "holds",
            verdict,
            "rule",
        ]
        for i, verdict in enumerate(["holds", "does not hold", "within noise", "cannot be tested here"])
    ]
    pd.DataFrame(rows, columns=claims.COLUMNS).to_csv(out / "claims.csv", index=False)
    maxima = pd.DataFrame(0.5, index=[*STRATEGIES, "Equal-Training"], columns=["imdb", SCRIPT])
    maxima.loc["Random-Forest"], maxima.loc["Equal-Training"] = 0.75, 0.9
    table1.write(out / "tables", maxima, pd.Series(0.8, index=maxima.columns))
    figure = Figure(figsize=(4, 1))
    (out / "figures").mkdir()
    figure.savefig(out / "figures" / "figure1.png")
    (out / "figures" / "figure1.alt.txt").write_text('Rises to "9" & <falls>.')
    return out


@pytest.fixture
def folder(tmp_path):
    """A profile without its report, to damage."""
    return _profile(tmp_path / "laptop")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A profile with its report, only to look at."""
    out = _profile(tmp_path_factory.mktemp("outputs") / "laptop")
    pages.build(out, "laptop", load())
    return out


@pytest.fixture
def index(site):
    return BeautifulSoup((site / "index.html").read_text(), "html.parser")


def test_what_is_pruned_is_named_by_its_layers(index):
    said = index.get_text(" ", strip=True)
    assert "These runs prune 6 layers of all-MiniLM-L6-v2, not the paper’s BERT-base" in " ".join(said.split())


def test_every_link_leads_somewhere_and_nothing_is_fetched(site, index):
    pages = [site / "index.html", *site.rglob("notebooks/*.html")]
    assert len(pages) == 7
    for page in pages:
        soup = BeautifulSoup(page.read_text(), "html.parser")
        assert not soup.select("iframe, object, link[rel=stylesheet]")
        ours = (html.TEMPLATES / "remember.js").read_text() if page.parent.name == "notebooks" else None
        assert [script.string for script in soup.select("script")] == [ours] * (ours is not None)
        policy = soup.select_one("meta[http-equiv=Content-Security-Policy]")["content"]
        allowed = base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode() if ours else ""
        assert policy.startswith(f"script-src 'sha256-{allowed}';" if ours else "script-src 'none';")
        assert not re.search(r"@import|url\(\s*['\"]?(?:https?:|//)", page.read_text())
        for element in soup.select("[src], a[href]"):
            address = element.get("src") or element["href"]
            if address.startswith("#"):
                assert soup.find(id=address[1:]), address
            elif not address.startswith("https://arxiv.org/"):
                from urllib.parse import unquote

                assert (page.parent / unquote(address.partition("#")[0])).exists(), (page.name, address)
        assert all(image.get("alt") for image in soup.select("img"))
        assert page.stat().st_size < html.MAX_PAGE_BYTES


def test_data_is_shown_as_text(index):
    assert not index.select("script")
    assert SCRIPT in index.select_one("#claims tbody").get_text()
    assert SCRIPT in index.select_one("#table1 thead").get_text()
    assert "<script>x, seed 1" in index.select_one("#notebooks").get_text()


def test_verdicts_have_colour_and_word(index):
    badges = {b.get_text(strip=True): b["class"][1] for b in index.select("#claims td:last-child .verdict")}
    assert badges == {
        "✓ holds": "good",
        "✗ does not hold": "bad",
        "≈ within noise": "near",
        "– cannot be tested here": "open",
    }
    assert "does not hold: 1" in index.select_one("fieldset.tally").get_text()
    assert [h.get_text() for h in index.select("#claims h3")] == [
        "Claims of the paper",
        "Claims of this companion",
    ]
    assert [len(body.select("tr")) for body in index.select("#claims tbody")] == [3, 1]


def test_claims_that_cannot_be_tested_are_folded(index):
    assert [row["id"] for row in index.select(".claimset tbody tr")] == ["claim-claim-0", "claim-claim-1", "claim-claim-2"]
    folded = index.select("details.untested")
    assert [fold.summary.get_text() for fold in folded] == ["1 claim of this companion cannot be tested by this run"]
    assert [row["id"] for row in folded[0].select("tbody tr")] == ["claim-claim-3"] and not folded[0].has_attr("open")
    filters = [box["id"] for box in index.select("fieldset input")]
    assert filters == ["show-all", "show-good", "show-near", "show-bad"], "no filter for what is folded"


def test_the_first_screen_sums_up_this_run_and_the_reference(tmp_path, monkeypatch):
    for name, seeds in (("laptop", (0,)), ("reference/laptop", (0, 1))):
        for seed in seeds:
            unit = tmp_path / name / "imdb" / f"seed-{seed}"
            unit.mkdir(parents=True)
            rows = [["Random-Forest", 0, 0.5], ["Random-Forest", 1, 0.75], ["Equal-Training", 0, 0.5], ["Equal-Training", 1, 0.5]]
            steps = pd.DataFrame(rows, columns=["strategy", "step", "accuracy"])
            steps.assign(dataset="imdb", seed=seed, layers=2, test_size=100, removed="").to_csv(unit / "steps.csv", index=False)
            models = pd.DataFrame({"dataset": "imdb", "seed": seed, "model": ["pruned", "distilled"], "accuracy": [0.75, 0.8]})
            models.to_csv(unit / "distillation.csv", index=False)
    monkeypatch.setattr(front, "REFERENCE", tmp_path / "reference")
    page = BeautifulSoup(pages.build(tmp_path / "laptop", "laptop").read_text(), "html.parser")
    heads = [cell.get_text() for cell in page.select("#front thead th")]
    assert heads == ["this run: imdb, one seed", "reference: imdb, two seeds"]
    cells = [[cell.get_text(" ") for cell in row.select("td")] for row in page.select("#front tbody tr")]
    assert cells[1] == ["75.0  ± 4.3 1 of 2 layers", "75.0  ± 3.1 1 of 2 layers"]  # 100 * sqrt(.75 * .25 / 100)
    assert "is ahead of the original (+25.0 ± 6.6 points)" in page.select_one(".finding").get_text()
    assert page.select_one("main section")["id"] == "front", "the first thing on the page"
    smoke = BeautifulSoup(pages.build(tmp_path / "laptop", "smoke").read_text(), "html.parser")
    assert smoke.select_one(".finding").get_text().startswith("Not a result:")


def test_numbers_beside_heads_that_span_rows_stand_to_the_right():
    table = pd.DataFrame({1: [1.5, 2.5], 2: [-3.0, 4.0]}, index=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    grid = BeautifulSoup(table.to_html(), "html.parser").table
    assert grid.find("th", rowspan="2").get_text() == "a"
    tidy.table(grid)
    assert all("number" in cell["class"] for cell in grid.select("tbody td"))
    assert ["number" in cell.get("class", []) for cell in grid.select("thead tr > *")] == [False, False, True, True]


def test_tables_have_numbers_to_the_right_and_no_empty_heads():
    frame = pd.DataFrame({"name": ["a", "b"], "accuracy": ["0.5 ± 0.1", "–"], "p": ["< 0.0001", "0.061"]}, index=pd.Index([1, 2], name="step"))
    grid = _body(_output(text_html=frame.to_html())).table
    assert [cell.get_text() for cell in grid.select("thead tr")[0].select("th")] == ["step", "name", "accuracy", "p"]
    assert len(grid.select("thead tr")) == 1 and not [th for th in grid.select("th") if not th.get_text(strip=True)]
    assert [["number" in cell.get("class", []) for cell in row.select("td")] for row in grid.select("tbody tr")] == [[False, True, True]] * 2
    plain = _body(_output(text_html=frame.rename_axis(None).to_html())).table
    assert plain.select_one("thead tr").find(["td", "th"]).name == "td"


def test_table1_marks_the_best_strategy_and_not_baseline_or_control(index):
    best = {row.th.get_text(): len(row.select("td.best")) for row in index.select("#table1 tbody tr")}
    assert {name for name, count in best.items() if count} == {"Random-Forest"} and best["Random-Forest"] == 2
    assert index.select_one("#table1 tr.baseline td").get_text() == "0.800"


def test_units_show_accuracy_time_and_divergence(index):
    rows = [[cell.get_text() for cell in row.select("td")] for row in index.select("#runs tbody tr")]
    assert rows[0][:2] == ["imdb", "1"]
    assert rows[0][4:7] == ["0.500", "0.625 with 2 removed", "1 min 05 s"]
    assert rows[1][2] == "unknown"
    alerts = [alert.get_text() for alert in index.select(".alert")]
    assert alerts == ["<script>x, seed 1: training diverged for 1 of 3 models; do not rely on its numbers."]


def test_missing_parts_are_named(site, index):
    text = index.get_text()
    assert "Not drawn, as the runs behind them are missing: Figure 2, 3, 4, 5, 6, 7, 8." in text
    assert "<script>x, seed 1: provenance.json is missing." in text
    assert index.select_one("#figure1 img")["alt"] == 'Rises to "9" & <falls>.'
    assert "wide" in index.select_one("#figure1")["class"]


def test_empty_folder_still_gives_a_report(tmp_path):
    text = BeautifulSoup(pages.build(tmp_path, "laptop").read_text(), "html.parser").get_text()
    for words in (
        "No claim has been tested yet",
        "Nothing has been run yet",
        "Table 1 has not been made yet",
    ):
        assert words in text


@pytest.mark.parametrize("content", [None, b"", b"a,b\n1,2,3\n"])
def test_damaged_files_are_reported_not_fatal(folder, content):
    unit = folder / "imdb" / "seed-1"
    for name in ("notebooks/01_signals.ipynb", "provenance.json", "steps.csv"):
        (unit / name).write_bytes(b"\x00{" if content is None else content)
    (folder / "figures" / "figure1.png").write_bytes(b"cut")
    (folder / "claims.csv").write_bytes(b"")
    (folder / "failed").mkdir()
    _save(_notebook(), folder / "failed" / "imdb-seed-1-01_signals.ipynb")
    text = pages.build(folder, "laptop").read_text()
    assert "01_signals.ipynb could not be read; run it again" in text
    assert "kept as failed/imdb-seed-1-01_signals.ipynb" in text
    assert "No claim has been tested yet" in text and "Figure 1, 2," in text


def test_units_left_out_of_the_figures_are_named(folder):
    text = pages.build(folder, "laptop", compared=[("<script>x", 1)]).read_text()
    assert "imdb, seed 1: not in the figures and claims: it is unfinished." in text
    text = pages.build(folder, "laptop", compared=[("<script>x", 1)], left_out={("imdb", 1): "it is of another study"}).read_text()
    assert "imdb, seed 1: not in the figures and claims: it is of another study." in text


def test_smoke_banner_is_on_every_page_and_only_there(folder):
    for profile, expected in (("smoke", True), ("laptop", False)):
        pages.build(folder, profile)
        for page in [folder / "index.html", *folder.rglob("notebooks/*.html")]:
            assert (provenance.SMOKE_BANNER in page.read_text()) == expected


def test_the_same_files_give_the_same_pages(folder):
    first = {page: page.read_bytes() for page in [pages.build(folder, "laptop"), *folder.rglob("*.html")]}
    pages.build(folder, "laptop")
    assert all(page.read_bytes() == content for page, content in first.items())


def test_notebooks_lead_to_each_other_in_reading_order(site, index):
    def buttons(page):
        bar = BeautifulSoup((site / page).read_text(), "html.parser").select_one("nav")
        return [link["href"] for link in bar.select("a[rel]")]

    own = "imdb/seed-1/notebooks"
    assert buttons(f"{own}/01_signals.html") == ["../../../notebooks/00_published.html", "02_ablation.html"]
    assert buttons(f"{own}/02_ablation.html") == ["01_signals.html", "../../../notebooks/07_figures.html"]
    last = "../imdb/seed-1/notebooks/02_ablation.html", "../%3Cscript%3Ex/seed-1/notebooks/02_ablation.html"
    assert buttons("notebooks/07_figures.html")[0] in last


def test_equations_become_mathml_and_prose_with_signs_stays():
    body = _body(
        new_markdown_cell(
            "Inline $a < b_1$ and `$code$`.\n\n$$\\sum_{i=1}^L A_i \\| x \\operatorname*{arg\\,min}_l$$\n\n"
            "\\begin{align} a &= b \\\\ c &= d \\end{align}\n\n| $A_l^2$ | x |\n|---|---|\n| 1 | $y$ |"
        )
    )
    displays = [element["display"] for element in body.select("math")]
    assert displays == ["inline", "block", "block", "inline", "inline"]
    assert body.select_one("math msub").get_text() == "b1"
    assert body.select("code")[0].get_text() == "$code$"
    assert "$" not in body.get_text().replace("$code$", "") and "\\" not in body.get_text()


def test_equation_that_cannot_be_converted_is_shown_as_source():
    assert markdown.mathml(r"\frac{a}{") == r'<code class="tex">\frac{a}{</code>'


@pytest.mark.parametrize(
    "payload",
    [
        SCRIPT,
        '<img src="x" onerror="alert(1)">',
        '<a href="javascript:alert(1)">a</a>',
        "<style>*{display:none}</style>",
        '<a href="data:text/html;base64,PHNjcmlwdD4=">a</a>',
        "<svg onload=alert(1)></svg>",
        '<div onclick="alert(1)">a</div>',
        '<iframe src="https://example.org"></iframe>',
        '<img src="https://example.org/x.png">',
        '<p style="background:url(https://example.org)">a</p>',
    ],
)
@pytest.mark.parametrize("kind", ["text_html", "text_markdown", "text_plain"])
def test_outputs_cannot_run_or_fetch_anything(kind, payload):
    outputs = _body(_output(**{kind: payload})).select_one(".output_wrapper")
    assert not outputs.select(
        "script, style, svg, iframe, img, [onclick], [onerror], [onload], [href^=javascript], [href^=data]"
    )
    assert not outputs.select("[style*=url]")


def test_clean_keeps_tables_colours_and_embedded_pictures():
    kept = html.clean(
        '<style>p{}</style><table class="dataframe">'
        '<tr><td style="color: red" colspan="2">1 &lt; 2</td></tr>'
        f'</table><img src="data:image/png;base64,{PIXEL}"><a href="x.csv">x</a>'
    )
    soup = BeautifulSoup(kept, "html.parser")
    assert soup.td.get_text() == "1 < 2" and "color: red" in soup.td["style"] and soup.td["colspan"] == "2"
    assert soup.img["alt"] == html.NO_ALT and soup.a["href"] == "x.csv" and "p{}" not in soup.get_text()


def test_streams_are_joined_and_paths_and_long_texts_shortened():
    streams = [
        new_output("stream", name="stderr", text=f"{part}\n")
        for part in (f"{ROOT}/paperlib/tree.py", "second")
    ]
    body = _body(
        new_code_cell("x", outputs=[*streams, new_output("stream", name="stdout", text="y" * 30_000)])
    )
    assert [block.get_text() for block in body.select(".output_stderr")] == [
        "\n./paperlib/tree.py\nsecond\n\n"
    ]
    assert "… 10000 more characters" in body.select_one(".output_stdout").get_text()


def test_traceback_of_a_failed_cell_names_no_private_folder():
    error = new_output(
        "error", ename="ValueError", evalue="no", traceback=[f"File {ROOT}/paperlib/x.py", "ValueError: no"]
    )
    text = _body(new_code_cell("x", outputs=[error])).select_one(".output_error").get_text()
    assert str(ROOT) not in text and "./paperlib/x.py" in text and "ValueError: no" in text


def test_links_follow_pages_and_project_files(tmp_path):
    cell = new_markdown_cell(
        "[a](02_ablation.ipynb#Target) [b](09_gone.ipynb) [c](../pyproject.toml) [d](#Here)"
    )
    body = _body(
        cell, links={"02_ablation": "x/02_ablation.html"}, target=ROOT / "outputs/laptop/notebooks/a.html"
    )
    addresses = [link["href"] for link in body.select("p a")]
    assert addresses == ["x/02_ablation.html#Target", "../../../pyproject.toml", "#Here"]
    assert "b" in body.p.get_text()


def test_show_displays_once_with_alt_text(monkeypatch):
    shown = []
    monkeypatch.setattr(display, "display", lambda data, **options: shown.append((data, options)))
    figure, ax = display.plt.subplots()
    ax.plot([1, 2])
    display.show(figure, 'A "line" & more')
    ((data, options),) = shown
    assert (
        data["image/png"].startswith(b"\x89PNG")
        and options["metadata"]["image/png"]["alt"] == data["text/plain"]
    )
    assert figure.number not in display.plt.get_fignums()
    picture = {"image/png": base64.b64encode(data["image/png"]).decode(), "text/plain": data["text/plain"]}
    cell = new_code_cell(
        "x", outputs=[new_output("display_data", data=picture, metadata=options["metadata"])]
    )
    assert _body(cell).img["alt"] == 'A "line" & more'


def test_picture_without_alt_text_gets_the_cells_or_a_general_one():
    described, plain = _output(image_png=PIXEL), _output(image_png=PIXEL)
    described.metadata["alt"] = "from the cell"
    assert [image["alt"] for image in _body(described, plain).select("img")] == ["from the cell", html.NO_ALT]


def test_page_stays_small_by_moving_pictures_out(tmp_path):
    big = base64.b64encode(np.random.default_rng(0).bytes(2_000_000)).decode()
    _save(_notebook(*[_output(image_png=big) for _ in range(3)]), tmp_path / "a.ipynb")
    page = html.write_page(html.Page(tmp_path / "a.ipynb", tmp_path / "a.html", "A"))
    assert page.stat().st_size < html.MAX_PAGE_BYTES
    moved = [
        image["src"]
        for image in BeautifulSoup(page.read_text(), "html.parser").select("img")
        if "data:" not in image["src"]
    ]
    assert moved == ["a-image-1.png", "a-image-2.png"]
    assert (tmp_path / "a-image-1.png").read_bytes() == base64.b64decode(big)


def test_unreadable_notebook_is_one_clear_line(tmp_path):
    (tmp_path / "a.ipynb").write_text("not json")
    with pytest.raises(UserError, match="not a readable notebook"):
        html.read_notebook(tmp_path / "a.ipynb")
    with pytest.raises(UserError, match="cannot read the notebook"):
        html.read_notebook(tmp_path / "b.ipynb")


@pytest.mark.parametrize(
    ("size", "words"), [(12, "12 bytes"), (1500, "1.5 kB"), (91_000_000, "91.0 MB"), (2e9, "2.0 GB")]
)
def test_file_size(size, words):
    assert pages.parts.file_size(size) == words


# In a browser, where one is installed; with axe-core where that is, too: `npm install axe-core` anywhere above, or globally

LOOKS = [(400, False), (1280, True)]  # a width and a theme: either width and either theme with every rule
OPEN = "document.querySelectorAll('details').forEach(fold => fold.open = true); document.getElementById('hide-code')?.click()"
AXE_RUN = """
axe.run(document, {resultTypes: ["violations"]}).then(
  found => found.violations.map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 120)).join(" | ")))
"""


def axe_source():
    """Return axe-core's source, or None where npm does not know it."""
    places = [parent / "node_modules" for parent in (ROOT, *ROOT.parents)]
    if npm := shutil.which("npm"):
        places.append(Path(subprocess.run([npm, "root", "-g"], capture_output=True, text=True).stdout.strip()))
    found = [place / "axe-core" / "axe.min.js" for place in places if (place / "axe-core" / "axe.min.js").is_file()]
    return found[0].read_text() if found else None


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
needs_axe = pytest.mark.skipif(not (CHROMIUM and axe_source()), reason="needs a Chromium and axe-core")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """One browser for all pages."""
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def violations(browser, page):
    """Return what axe-core finds on a page, every fold open and the code shown, by width and theme."""
    browser.open(page.as_uri())
    browser.value(f"{axe_source()}; {OPEN}; 0")
    found = {}
    for width, dark in LOOKS:
        browser.look(width, dark)
        found[width, dark] = browser.value(AXE_RUN)
    return found


@needs_axe
def test_axe_would_find_pale_text_in_the_theme_in_which_it_is_pale(chromium, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<html lang=en><title>t</title><style>@media (prefers-color-scheme: dark) { p { color: #eee } }</style>"
                    "<body><main><h1>t</h1><p>pale</p></main></body></html>")  # fmt: skip
    assert {look: said != [] for look, said in violations(chromium, page).items()} == {(400, False): False, (1280, True): True}


def pages_of(study):
    """Return the report and every notebook's page."""
    pages = [study / "index.html", *sorted(study.rglob("notebooks/*.html"))]
    assert len(pages) == 11
    return pages


@needs_axe
def test_axe_finds_nothing_on_the_pages_of_a_study(chromium, reproduced):
    """WCAG and best practice, on the report and on every notebook's page."""
    found = {page.stem: violations(chromium, page) for page in pages_of(reproduced[0])}
    assert {name: said for name, said in found.items() if any(said.values())} == {}


@needs_chromium
def test_no_page_is_wider_than_the_screen(chromium, reproduced):
    """Tables, figures and long equations scroll by themselves; code wraps."""
    too_wide = {}
    for page in pages_of(reproduced[0]):
        chromium.open(page.as_uri())
        for width in (400, 1280):
            chromium.look(width)
            if (wide := chromium.value(f"{OPEN}; document.documentElement.scrollWidth")) > width:
                too_wide[page.stem, width] = wide
    assert too_wide == {}


@pytest.mark.parametrize("runs, said", [
    ([("imdb", 0)], "imdb, one seed"), ([("imdb", 0), ("imdb", 1)], "imdb, two seeds"),
    ([("imdb", 0), ("yelp", 0)], "two datasets, one seed"), ([("imdb", 0), ("yelp", 0), ("yelp", 3)], "two datasets, one or two seeds each"),
    ([(name, seed) for name in ("imdb", "yelp") for seed in (0, 1)], "two datasets, two seeds each"),
])
def test_the_first_screen_counts_the_seeds_of_every_dataset(runs, said):
    assert front._title(pd.DataFrame(index=pd.MultiIndex.from_tuples(runs, names=["dataset", "seed"]))) == said
