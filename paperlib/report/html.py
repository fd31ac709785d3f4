"""Turn executed notebooks into pages that open without a network: one script of our own, clean outputs, alt texts."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import bleach
import nbformat
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, Preprocessor
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_bytes, atomic_write_text
from paperlib.evidence.provenance import scrub
from paperlib.report import markdown, tidy

TEMPLATES = Path(__file__).parent / "templates"
MAX_PAGE_BYTES = 5_000_000
IMAGE_BUDGET = 3_500_000  # characters of embedded images in a page; later ones become files beside it
MAX_OUTPUT_TEXT = 20_000  # characters of one output; the notebook itself keeps the rest
CODE_STYLES = ("xcode", "github-dark")  # of pygments, for light and for dark screens
NO_ALT = "Figure of this notebook; the text around it describes it."

SHOWN_TYPES = [
    "text/html",
    "text/markdown",
    "image/png",
    "image/jpeg",
    "text/plain",
]  # best first, others dropped
SAFE_TAGS = frozenset(
    "a b blockquote br caption code col colgroup dd details div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 "
    "hr i img li mark ol p pre s small span strong sub summary sup table tbody td tfoot th thead tr u "
    "ul".split()
)
SAFE_ATTRIBUTES = frozenset(
    "align alt class colspan height id lang open rowspan scope style title width".split()
)
SAFE_STYLES = CSSSanitizer(
    allowed_css_properties=["background-color", "color", "font-weight", "font-style", "text-align", "width"]
)
SAFE_LINK = re.compile(r"(?:https?://|mailto:|#|[\w./-]+(?:[?#]|$))")
SAFE_IMAGE = re.compile(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/=\s]+$")


@dataclass(frozen=True)
class Page:
    """A page to write: the executed notebook, its HTML, its title, and where links and buttons lead."""

    notebook: Path
    target: Path
    title: str
    context: str = ""  # what was run, shown above the title
    index: str = "index.html"
    previous: tuple[str, str] | None = None  # address and title
    following: tuple[str, str] | None = None
    links: Mapping[str, str] = field(default_factory=dict)  # notebook's name -> address of its page


@cache
def templates() -> Environment:
    """Return the project's Jinja templates: everything is escaped, and a missing name is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_page(page: Page, banner: str = "") -> Path:
    """Convert an executed notebook into one HTML file. Raises UserError when the notebook cannot be read."""
    notebook = read_notebook(page.notebook)
    body, sections = notebook_body(notebook, page.links, page.target)
    html = (
        templates()
        .get_template("notebook.html.j2")
        .render(
            page=page, banner=banner, sections=sections, body=Markup(body), highlight=Markup(_code_colours()), **_script()
        )
    )
    return atomic_write_text(page.target, html)


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook. Raises UserError when it is missing or damaged."""
    try:
        return nbformat.read(path, as_version=4)
    except OSError as error:
        raise UserError(f"cannot read the notebook {path}: {error.strerror}") from error
    except Exception as error:  # nbformat raises several kinds, all of them "this is no notebook"
        raise UserError(f"{path} is not a readable notebook; run it again") from error


def notebook_title(notebook: NotebookNode, default: str) -> str:
    """Return the first heading of a notebook, without markup."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^#\s+(.+)$", cell.source, re.MULTILINE)):
            return re.sub(r"[`*_]|\$", "", found.group(1)).strip()
    return default


def notebook_body(
    notebook: NotebookNode, links: Mapping[str, str] | None = None, target: Path | None = None
) -> tuple[str, list[tuple[str, str]]]:
    """Return the cells as HTML, and the (anchor, title) of their sections.

    Images beyond IMAGE_BUDGET are written beside `target`, if one is given.
    """
    body, _ = _exporter().from_notebook_node(notebook, {"links": links or {}, "target": target})
    body = _move_images(body, target) if target else body
    soup = BeautifulSoup(body, "html.parser")
    sections = [
        (heading.get("id"), heading.find(string=True).strip())
        for heading in soup("h2", id=True)
        if heading.find(string=True)
    ]
    for table in soup("table"):
        tidy.table(table)
        table.wrap(soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0"}))  # scrolls by itself, not with the page
    for wide in soup.select(".output_png, .output_jpeg, math[display=block]"):
        wide["tabindex"] = "0"  # on a narrow screen it scrolls, too
    return str(soup), sections


def clean(html: str) -> str:
    """Keep tables, text and embedded pictures of an output; drop scripts, styles and foreign addresses."""
    soup = BeautifulSoup(html, "html.parser")
    for element in soup(["script", "style", "iframe", "object", "template", "noscript", "svg", "math"]):
        element.decompose()
    for image in soup("img"):
        if SAFE_IMAGE.match(image.get("src", "")):
            image["alt"] = image.get("alt") or NO_ALT
        else:
            image.decompose()
    return bleach.clean(
        str(soup),
        tags=SAFE_TAGS,
        attributes=_is_safe,
        css_sanitizer=SAFE_STYLES,
        protocols={"http", "https", "mailto", "data"},
        strip=True,
    )


def _is_safe(tag: str, name: str, value: str) -> bool:
    if (tag, name) == ("a", "href"):
        return bool(SAFE_LINK.match(value))
    if (tag, name) == ("img", "src"):
        return bool(SAFE_IMAGE.match(value))
    return name in SAFE_ATTRIBUTES


class CleanOutputs(Preprocessor):
    """Make outputs safe and short: paths shortened, HTML cleaned, Markdown rendered, alt texts given."""

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "code":
            cell.source = scrub(cell.source)
            cell.outputs = [self._clean_output(output, cell) for output in cell.outputs]
        return cell, resources

    def _clean_output(self, output, cell):
        if output.output_type == "stream":
            output.text = _shorten(scrub(output.text))
        elif output.output_type == "error":
            output.traceback = [scrub(line) for line in output.traceback]
        else:
            output.data = {
                kind: _clean_data(kind, value) for kind, value in output.data.items() if kind in SHOWN_TYPES
            }
            if "text/markdown" in output.data:
                output.data["text/html"] = output.data.pop("text/markdown")
            _describe_images(output, cell)
        return output


class PageExporter(HTMLExporter):
    """Export the cells only, in the classic markup, without the page around them, scripts or styles.

    `links` and `target` of its resources are those of `markdown.render`.
    """

    def __init__(self):
        config = Config()
        config.NbConvertBase.display_data_priority = SHOWN_TYPES
        # no address of a script may remain, whatever a template does with it
        config.HTMLExporter.update(dict.fromkeys(("require_js_url", "mathjax_url", "jquery_url"), ""))
        super().__init__(
            config=config, template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True
        )
        for step in (CoalesceStreamsPreprocessor(), CleanOutputs()):
            self.register_preprocessor(step, enabled=True)

    @pass_context
    def markdown2html(self, context, source):
        return markdown.render(source, context["resources"]["links"], context["resources"]["target"])


@cache
def _exporter() -> PageExporter:
    """Return the exporter of all pages: its templates take a second to compile."""
    return PageExporter()


def _clean_data(kind: str, value: str) -> str:
    if kind == "text/html":
        return clean(scrub(value))
    if kind == "text/markdown":
        return markdown.render(scrub(value), raw_html=False)
    return value.strip() if kind.startswith("image/") else _shorten(scrub(value))


def _describe_images(output: NotebookNode, cell: NotebookNode) -> None:
    for kind in ("image/png", "image/jpeg"):
        if kind in output.data:
            known = output.metadata.get(kind, {})
            alt = known.get("alt") or output.metadata.get("alt") or cell.metadata.get("alt") or NO_ALT
            output.metadata[kind] = {**known, "alt": alt}


def _shorten(text: str) -> str:
    if len(text) <= MAX_OUTPUT_TEXT:
        return text
    return (
        text[:MAX_OUTPUT_TEXT] + f"\n… {len(text) - MAX_OUTPUT_TEXT} more characters in the notebook itself"
    )


def _move_images(html: str, target: Path) -> str:
    """Write the images beyond the budget as files named after the page, and point to them."""
    spent, moved = 0, 0

    def place(found: re.Match) -> str:
        nonlocal spent, moved
        spent += len(found.group(2))
        if spent <= IMAGE_BUDGET:
            return found.group(0)
        moved += 1
        name = f"{target.stem}-image-{moved}.{found.group(1)}"
        atomic_write_bytes(target.with_name(name), base64.b64decode(found.group(2)))
        return f'src="{name}"'

    return re.sub(r'src="data:image/(png|jpeg);base64,([^"]+)"', place, html)


@cache
def _script() -> dict[str, str]:
    """Return the one script of a page, and its hash: the page's policy lets a browser run no other."""
    source = (TEMPLATES / "remember.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return {"script": Markup(source), "script_hash": f"sha256-{digest}"}


@cache
def _code_colours() -> str:
    """Return the colours of code as CSS, for light and for dark screens: 4.5 times the contrast of the background at least."""
    light, dark = (HtmlFormatter(style=name).get_style_defs(".highlight") for name in CODE_STYLES)
    bright, dim = "@media (prefers-color-scheme: light), print", "@media screen and (prefers-color-scheme: dark)"
    return f"{bright} {{\n{light}\n}}\n{dim} {{\n{dark}\n}}"
