"""Render Markdown without a network: equations as MathML, links to notebooks as links to their pages."""

import os
from collections.abc import Mapping
from pathlib import Path

import latex2mathml.converter
from markupsafe import escape
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from paperlib.common.places import ROOT

NOTEBOOKS = ROOT / "notebooks"  # links in a notebook start from here


def render(
    source: str, links: Mapping[str, str] | None = None, target: Path | None = None, raw_html: bool = True
) -> str:
    """Render Markdown and its equations; HTML inside is kept, or escaped when it may come from data."""
    renderer = MathRenderer(links or {}, target, escape=not raw_html, allow_harmful_protocols=False)
    return MarkdownWithMath(renderer=renderer).render(source)


def mathml(latex: str, display: bool = False) -> str:
    """Convert an equation from LaTeX to MathML; one that cannot be converted is shown as its source."""
    try:
        known = latex.strip().replace(r"\|", "‖").replace(r"\operatorname*", r"\operatorname")  # else misread
        return latex2mathml.converter.convert(known, display="block" if display else "inline")
    except Exception:  # the converter raises a dozen unrelated kinds; the source is still readable
        return f'<code class="tex">{escape(latex)}</code>'


class MathRenderer(IPythonRenderer):
    """Render Markdown with equations as MathML and links between notebooks as links between their pages."""

    def __init__(self, links: Mapping[str, str], target: Path | None, **options):
        super().__init__(anchor_link_text="#", **options)
        self.links, self.target = links, target

    def block_math(self, body: str) -> str:
        return mathml(body, display=True)

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def latex_environment(self, name: str, body: str) -> str:
        name = (
            name.rstrip("*") + "*" if name.startswith(("align", "equation", "gather")) else name
        )  # unnumbered
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        name, mark, anchor = url.partition("#")
        if not name.endswith(".ipynb"):
            return super().link(text, self._moved(url), title)
        address = self.links.get(Path(name).stem)  # none: that notebook was not run, so has no page
        return super().link(text, address + mark + anchor, title) if address else text

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return super().image(text, self._moved(url), title)

    def _moved(self, url: str) -> str:
        """Point from the page to a file of the project that the notebook's source names."""
        named = NOTEBOOKS / url.partition("#")[0]
        if self.target is None or ":" in url or url.startswith("#") or not named.exists():
            return url
        return Path(os.path.relpath(named, self.target.parent)).as_posix()
