"""Write the report of a profile: claims, runs, figures, Table 1, notebooks; it opens without a network."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_text
from paperlib.evidence import one_study, provenance
from paperlib.params import Params
from paperlib.report import front, parts
from paperlib.report.html import Page, notebook_title, read_notebook, templates, write_page

PAPER_MODEL = "bert-base-uncased"


def build(
    folder: Path | str,
    profile: str,
    params: Params | None = None,
    compared: Collection[tuple[str, int]] | None = None,
    left_out: Mapping[tuple[str, int], str] | None = None,
) -> Path:
    """Write `index.html` and a page per executed notebook under an output folder; return the index.

    Whatever is missing is named in the report. `params` adds the provenance of the report itself; `compared`
    lists the (dataset, seed) behind figures and claims, so that the report can name those that are not; `left_out` says
    why the finished ones of these are not.
    """
    folder = Path(folder)
    banner = provenance.SMOKE_BANNER if profile == "smoke" else ""
    units = parts.find_units(folder)
    written, problems = _write_pages(plan_pages(folder, units, profile), banner)
    problems += _failures(folder) + _remarks(units, compared, left_out or {})
    index = templates().get_template("index.html.j2")
    made = provenance.summary(provenance.collect(params)) if params else []
    html = index.render(
        **_contents(folder, units, written),
        front=front.view(folder, profile, compared),
        profile=profile,
        banner=banner,
        problems=problems,
        provenance=made,
    )
    return atomic_write_text(folder / "index.html", html)


def _contents(folder: Path, units: list[parts.Unit], pages: list[Page]) -> dict[str, Any]:
    """Gather claims, units, figures, Table 1 and links for the template."""
    tables = folder / "tables"
    shown = [
        parts.unit_view(unit, folder) | {"notebooks": _links(pages, unit.folder, folder)} for unit in units
    ]
    return {
        "look": parts.look,
        "claims": parts.claims(folder / "claims.csv"),
        "claim_files": parts.files(folder, [folder / "claims.csv", folder / "claims.md"]),
        "units": shown,
        "other_models": sorted({parts.studied(unit) for unit in units if unit.model not in (PAPER_MODEL, provenance.UNKNOWN)}),
        "figures": [parts.figure(folder, number) for number in parts.CAPTIONS],
        "table": parts.table(tables / "table1.csv"),
        "table_files": parts.files(folder, [tables / f"table1.{kind}" for kind in ("csv", "md", "tex")]),
        "notebooks": _links(pages, folder, folder),
    }


def plan_pages(folder: Path, units: list[parts.Unit], profile: str) -> list[Page]:
    """List a page per executed notebook, each linked to its neighbours in reading order.

    A unit's notebooks stand between those of the profile numbered 00 and those numbered above; the profile's
    own pages lead to the first unit.
    """
    common = _pages(folder, folder, f"profile {profile}")
    before = [page for page in common if page.notebook.stem < "01"]
    after = [page for page in common if page.notebook.stem >= "01"]
    own = [_pages(unit.folder, folder, f"profile {profile} · {unit.name}") for unit in units]
    whole = _chained(before, own[0] if own else [], after)
    pages = [page for page in whole if page.notebook.parent.parent == folder]
    for unit_pages in own:
        pages += _chained(before, unit_pages, after)[len(before) : len(before) + len(unit_pages)]
    return pages


def _pages(run: Path, folder: Path, context: str) -> list[Page]:
    """List the executed notebooks of a profile's or a unit's folder, not yet linked."""
    names = sorted(path.name for path in (run / "notebooks").glob("*.ipynb"))
    paths = [run / "notebooks" / name for name in names if not name.startswith(".")]  # hidden: still running
    index = parts.address(folder / "index.html", run / "notebooks")
    return [Page(path, path.with_suffix(".html"), _title(path), context, index) for path in paths]


def _title(path: Path) -> str:
    try:
        return notebook_title(read_notebook(path), path.stem)
    except UserError:  # reported when the page is written
        return path.stem


def _chained(*groups: list[Page]) -> list[Page]:
    """Join groups of pages into one sequence and give each page its neighbours and everyone's address."""
    chain = [page for group in groups for page in group]
    around = zip(chain, [None, *chain[:-1]], [*chain[1:], None])
    return [_linked(page, previous, following, chain) for page, previous, following in around]


def _linked(page: Page, previous: Page | None, following: Page | None, chain: list[Page]) -> Page:
    def link(other: Page | None) -> tuple[str, str] | None:
        return (parts.address(other.target, page.target.parent), other.title) if other else None

    links = {other.notebook.stem: link(other)[0] for other in chain}
    return replace(page, previous=link(previous), following=link(following), links=links)


def _write_pages(pages: list[Page], banner: str) -> tuple[list[Page], list[str]]:
    """Write the pages; return those written, and a sentence for each notebook that could not be read."""
    written, problems = [], []
    for page in pages:
        try:
            write_page(page, banner)
            written.append(page)
        except UserError:
            problems.append(
                f"{page.context}: the notebook {page.notebook.name} could not be read; run it again."
            )
    return written, problems


def _links(pages: list[Page], run: Path, folder: Path) -> list[dict[str, str]]:
    """List title and address of the pages made of the notebooks of one run."""
    return [
        {"title": page.title, "address": parts.address(page.target, folder), "number": page.notebook.name}
        for page in pages
        if page.notebook.parent == run / "notebooks"
    ]


def _failures(folder: Path) -> list[str]:
    names = sorted(path.relative_to(folder).as_posix() for path in (folder / "failed").rglob("*.ipynb"))
    return [
        f"A notebook failed and is kept as {name}; what it makes is missing or from an earlier run."
        for name in names
    ]


def _remarks(units: list[parts.Unit], compared: Collection[tuple[str, int]] | None, why: Mapping[tuple[str, int], str]) -> list[str]:
    """Name the units whose training diverged, and those that figures and claims leave out."""
    remarks = [remark for unit in units if (remark := parts.diverged(unit))]
    if compared is not None:
        left_out = {unit.name: why.get((unit.dataset, unit.seed), one_study.UNFINISHED) for unit in units if (unit.dataset, unit.seed) not in compared}
        remarks += [f"{name}: not in the figures and claims: {reason}." for name, reason in left_out.items()]
    return remarks
