"""Security: nothing foreign is run, text from data is shown and never obeyed, and nothing is written elsewhere."""

import ast
import contextlib
import io
import json
import pickle
import re
from xml.etree import ElementTree

import nbformat
import pandas as pd
import pytest
import transformers
from bad_inputs import encoder as save_encoder
from bs4 import BeautifulSoup
from conftest import files_under, smoke_params
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output

from paperlib import distillation
from paperlib.common import escape
from paperlib.common.errors import UserError, words_of
from paperlib.common.places import ROOT
from paperlib.data import sources
from paperlib.evidence import claims, provenance, table1
from paperlib.figures import drawing
from paperlib.model import encoder
from paperlib.params import load
from paperlib.report import html, markdown, pages

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": '<img src=x onerror="alert(1)">',
    "input": r"\input{secret.tex}",
    "command": r"\immediate\write18{id}",
    "row": r"a & b \\ \hline",
    "pipe": "a | b | c",
    "braces": "{{ 7 * 7 }} {% raw %}",
    "mathematics": r"$\frac{1}{0}$ $$x$$",
    "backticks": "`code` ```block```",
    "comment": "--><script>alert(1)</script><!--",
    "section": "]]></title><script>alert(1)</script>",
    "entity": "&lt;b&gt; &amp; &#60;script&#62;",
    "link": "[x](javascript:alert(1)) ![y](https://example.org/z.png)",
    "lines": "first\n\n# second\r\n| third |",
    "quotes": "\"double\" 'single'",
    "percent": "100 % #1 ~ ^ _x_ *y*",
}  # fmt: skip
every_text = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
CODE = sorted([*(ROOT / "paperlib").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")])


def syntax(path):
    if path.suffix == ".py":
        return ast.parse(path.read_text(encoding="utf-8"))
    cells = nbformat.read(path, as_version=4).cells
    return ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))


def calls(path):
    """Yield (name as written, keywords) of every call in a module or notebook."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {keyword.arg: keyword.value for keyword in node.keywords}


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_no_code_reads_a_pickle_or_runs_what_it_reads(path):
    forbidden = re.compile(r"(^|\.)(eval|exec|system|popen|read_pickle|unpickle|unsafe_load|full_load)$|"
                           r"^(torch|joblib|pickle|dill|shelve|marshal|np|numpy)\.loads?$|^torch\.hub\.")  # fmt: skip
    for name, keywords in calls(path):
        assert not forbidden.search(name) or name == "model.eval" or name.endswith((").eval", "model.eval")), name
        told = {key: ast.unparse(value) for key, value in keywords.items() if key}
        assert told.get("trust_remote_code", "False") == "False" and told.get("shell", "False") == "False", name
        assert "allow_pickle" not in told and told.get("weights_only", "True") == "True", name
    imported = [alias.name for node in ast.walk(syntax(path)) if isinstance(node, ast.Import) for alias in node.names]
    assert not {"pickle", "dill", "shelve", "marshal"} & set(imported)


@pytest.mark.parametrize("load_one", [
    lambda folder: encoder.load_model(smoke_params(folder, model=str(folder / "model")), list("abcd")),
    lambda folder: encoder.load_tokenizer(smoke_params(folder, model=str(folder / "model"))),
    lambda folder: distillation.load_student(folder / "model"),
])  # fmt: skip
def test_models_are_loaded_from_safetensors_without_code_of_theirs(load_one, tmp_path, monkeypatch):
    save_encoder(tmp_path)
    asked = []
    for kind in (transformers.AutoModelForSequenceClassification, transformers.AutoTokenizer):
        original = kind.from_pretrained
        noting = lambda *a, original=original, **k: asked.append((original, k)) or original(*a, **k)  # noqa: E731
        monkeypatch.setattr(kind, "from_pretrained", noting)
    load_one(tmp_path)
    ((original, told),) = asked
    assert told["trust_remote_code"] is False
    assert told.get("use_safetensors") is True or original.__self__ is transformers.AutoTokenizer


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickled_model_is_refused_unread(tmp_path):
    folder = save_encoder(tmp_path)
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.bin", "adapter_model.bin", "tokenizer.pkl"):
        (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(UserError, match="could not be loaded"):
        encoder.load_model(smoke_params(tmp_path, model=str(folder)), list("abcd"))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("loader", [encoder.load_tokenizer, lambda params: encoder.load_model(params, list("abcd"))])
def test_code_beside_a_model_is_not_run(loader, tmp_path):
    folder = save_encoder(tmp_path)
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'exploded')!r}, 'w')\nclass Mine: pass\n")
    for name, classes in (("config.json", {"AutoConfig": "mine.Mine", "AutoModelForSequenceClassification": "mine.Mine"}),
                          ("tokenizer_config.json", {"AutoTokenizer": ["mine.Mine", "mine.Mine"]})):  # fmt: skip
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**settings, "model_type": "mine", "auto_map": classes}))
    with contextlib.suppress(UserError):  # the tokeniser can do without
        loader(smoke_params(tmp_path, model=str(folder)))
    assert not (tmp_path / "exploded").exists()


def test_data_that_are_a_pickle_are_refused_unread(tmp_path):
    folder = tmp_path / "data" / "newsgroup"
    folder.mkdir(parents=True)
    for name in ("train.csv", "test.csv"):
        (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(UserError, match="^newsgroup"):
        sources.read(smoke_params(tmp_path, data_source="data_dir", data_dir=str(tmp_path / "data")))
    assert not (tmp_path / "exploded").exists()


def shown_as_text(page, text):
    """Check that HTML holds a text as text, and nothing that runs, loads or is drawn because of it."""
    soup = BeautifulSoup(page, "html.parser")
    assert not soup.select("script, iframe, object, img, math, [onerror], [href^=javascript]"), page
    assert "".join(text.split()) in "".join(soup.get_text().split()), page


def test_class_names_in_a_notebooks_outputs():
    """Tables, printed lines and representations: all that a notebook shows of labels and texts."""
    texts = list(HOSTILE.values())
    frame = pd.DataFrame({"T = 1": 0.5, "text": texts}, index=texts).rename_axis(columns=f"labelled {texts[0]}").assign(**{texts[0]: 1})
    with pd.option_context("display.max_colwidth", None, "display.max_rows", None):
        table = new_output("display_data", data={"text/html": frame._repr_html_(), "text/plain": repr(frame)})
    plain = new_output("display_data", data={"text/plain": repr(texts)})
    printed = new_output("stream", text="\n".join(texts))
    page, _ = html.notebook_body(new_notebook(cells=[new_code_cell("x", outputs=[table, plain, printed])]))
    cells = [cell.get_text() for cell in BeautifulSoup(page, "html.parser").select("td, th")]
    for text in texts:
        shown_as_text(page, text)
        assert text.replace("\r", "\\r").replace("\n", "\\n") in cells, "as pandas shows the end of a line"


@every_text
def test_names_in_markdown_tables(text):
    """Table 1, the claims and the footer, rendered as our pages and as GitHub do."""
    table = table1.frame(pd.DataFrame([[0.5, 0.25]], index=[text], columns=["imdb", text]), pd.Series({"imdb": 0.1, text: 0.2}))
    row = dict.fromkeys(claims.COLUMNS, text)
    footer = provenance.footer(load(), command=text).data
    for source in (table1.to_markdown(table, text), claims.markdown(pd.DataFrame([row])), footer):
        page = markdown.render(source, raw_html=False)
        shown_as_text(page, text)
        widths = {len(line.select("td, th")) for line in BeautifulSoup(page, "html.parser").select("tr")}
        assert len(widths) == 1, "no text may end its cell or its row"
        assert not re.search(r"<(em|strong|code|h\d)\b[^>]*>[^<]*(alert|second|block|code|x|y)", page)


@every_text
def test_names_in_latex(text):
    """Every mark is either escaped or one of LaTeX's harmless characters: no command but our own is left."""
    line = escape.latex(text)
    assert "\n" not in line
    ours = r"\\(?:[&%$#_{}]|text(?:backslash|asciitilde|asciicircum|less|greater|bar)\{\})"
    assert not re.search(r"[\\{}$&#^_%~]", re.sub(ours, "", line))
    table = table1.frame(pd.DataFrame([[0.5]], index=[text], columns=[text]), pd.Series({text: 0.1}))
    printed = table1.to_latex(table, note=text)
    assert printed.count(r"\\") == 3 and printed.count(" & ") == 3  # heading, baseline, one strategy
    assert r"\input" not in printed and r"\write" not in printed


def test_names_in_a_figure(tmp_path):
    figure = Figure(figsize=(6, 6))
    ax, everything = figure.subplots(), "\n".join(HOSTILE.values())
    for place, text in enumerate(HOSTILE.values()):
        ax.plot([0, place], label=drawing.label(text))
    ax.set_xticks(range(len(HOSTILE)), [drawing.label(text) for text in HOSTILE.values()], rotation=90)
    ax.legend()
    drawing.save(figure, tmp_path, "figure1", everything, banner=HOSTILE["script"], stamp=HOSTILE["comment"])
    root = ElementTree.parse(tmp_path / "figure1.svg").getroot()
    allowed = {"svg", "g", "defs", "path", "use", "style", "clipPath", "rect", "metadata", "title", "RDF", "Work", "type", "format"}
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= allowed
    assert not [key for element in root.iter() for key in element.attrib if key.lower().startswith("on")]
    assert not re.search("<script|<img", (tmp_path / "figure1.svg").read_text()), "not in a comment either"
    assert "".join(root.find("{*}title").text.split()) == "".join(everything.split())


@pytest.mark.parametrize("text", [HOSTILE[name] for name in ("script", "braces", "section", "entity", "link")])
def test_names_in_the_report(text, tmp_path):
    """Everything in a profile's folder that might hold a text of someone else's, at once."""
    unit = tmp_path / "imdb" / "seed-0"
    record = provenance.collect(load(dataset="imdb"), command=text, cpu=text, gpu=text)
    record["parameters"]["model"] = text
    provenance.write(unit / "provenance.json", record)
    claims.write(pd.DataFrame([dict.fromkeys(claims.COLUMNS, text)]), tmp_path)
    maxima = pd.DataFrame([[0.5]], index=["Random"], columns=[text])
    table1.write(tmp_path / "tables", maxima, pd.Series({text: 0.1}), text)
    drawing.save(Figure(figsize=(2, 2)), tmp_path / "figures", "figure1", text)
    cell = new_code_cell("x", outputs=[new_output("stream", text=text)])
    (unit / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=[cell], metadata={"title": text}), unit / "notebooks" / "01_signals.ipynb")
    soup = BeautifulSoup(pages.build(tmp_path, "laptop").read_text(), "html.parser")
    assert not soup.select("script, iframe, object, [onerror], [href^=javascript], img:not([src^='figures/'])")
    squeezed = "".join(text.split())
    for part in ("#claims", "#runs", "#table1", "#provenance"):
        assert squeezed in "".join(soup.select_one(part).get_text().split()), part
    assert "".join(soup.select_one("#figure1 img")["alt"].split()) == squeezed


def test_names_in_a_saved_model(tmp_path):
    """They are labels of the configuration, which is JSON: they come back as they were."""
    names = list(HOSTILE.values())
    encoder.load_model(smoke_params(tmp_path), names).save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert [config["id2label"][str(i)] for i in range(len(names))] == names


@every_text
def test_texts_are_read_as_they_are(text, tmp_path):
    folder = tmp_path / "data" / "newsgroup"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"text": [f"{text} {i}" for i in range(8)], "label": [text, "other"] * 4})
    for split in ("train", "test"):
        frame.to_csv(folder / f"{split}.csv", index=False)
    params = smoke_params(tmp_path, data_source="data_dir", data_dir=str(tmp_path / "data"), class_names=["other", text])
    frames, names = sources.read(params)
    kept = pd.read_csv(io.StringIO(frame.to_csv(index=False)))["text"].tolist()
    assert frames["train"]["text"].tolist() == kept and names == ["other", text]
    assert frames["train"]["label"].tolist() == [1, 0] * 4


def test_a_study_writes_into_its_outputs_and_its_cache_only(reproduced):
    """Not into the project, the home folder or the temporary folder: Jupyter, matplotlib and torch would, untold."""
    folder = reproduced[0].parent.parent
    assert (folder / "touched.txt").read_text() == ""
    assert [str(path.relative_to(folder)) for part in ("home", "tmp") for path in (folder / part).rglob("*")] == []
    assert {path.name for path in folder.iterdir()} == {"home", "tmp", "out", "cache", "touched.txt"}
    assert {name.split("/")[0] for name in files_under(folder / "out")} == {"smoke"}


@pytest.mark.parametrize("text, line", [
    ("a\x1b[31mred\x07 \x9bwindow", "a [31mred window"), ("\u202egnp.exe\u2066", "gnp.exe"), ("می\u200cخواهم 👩\u200d🔬 c\u0301", "می\u200cخواهم 👩\u200d🔬 c\u0301"),
    ("two\r\nlines\tand\x00 a\x85third", "two lines and a third"),
], ids=["a terminal", "the other way round", "letters that join", "lines"])  # fmt: skip
def test_a_line_steers_nothing_that_shows_it(text, line):
    assert escape.one_line(text) == line


@pytest.mark.parametrize("said, words", [
    ("", "ValueError"), ("short", "short"), ("word " * 40, " ".join(["word"] * 31) + " …"), ("of " + "x" * 300, None),
], ids=["nothing", "little", "much", "one long word"])  # fmt: skip
def test_a_librarys_words_are_not_told_at_length(said, words):
    told = words_of(ValueError(said))
    assert words is None or told == words
    assert len(told) <= 160 and (words or ("x" * 100 in told and told.endswith("…")))
