"""Keep a finished run as the reference that the project shows: its small files and executed notebooks."""

import shutil
from pathlib import Path

from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_bytes, atomic_write_text, bring_back, in_one_piece
from paperlib.common.messages import count, unit_name
from paperlib.common.places import REFERENCE
from paperlib.evidence import one_study, units
from paperlib.params import Params
from paperlib.report import parts
from paperlib.report.reference import notebooks, pages

NUMBERS, NOTEBOOKS = "numbers", "notebooks"  # what `ONLY` may be
# No texts, no weights, no records of models: what can be read, compared and drawn again.
OF_PROFILE = ("claims.csv", "claims.md", units.PROVENANCE, "tables/*", "figures/*", "bench/bench.*", "compare/*")
OF_UNIT = (*parts.UNIT_FILES, "distillation.json")


def make(params: Params, only: str = "") -> str:
    """Keep the finished units of a profile with these settings, and this unit's executed notebooks; say what was done.

    `only`: "numbers" (with the notebooks about all units) or "notebooks" (of this unit, beside the numbers that are
    kept already). Raises UserError in the smoke profile, whose numbers are no results, when there are no such units,
    or when figures and claims are not of exactly these units.
    """
    found, folder = one_study.comparable(params), REFERENCE / params.profile
    if params.profile == "smoke" or not found:
        raise UserError(f"profile {params.profile}: no results to keep as the reference")
    name = unit_name(params.dataset, params.seed)
    if only != NUMBERS and units.stale(params):
        raise UserError(f"{name}: not fresh, so its notebooks are not kept: run make reproduce first")
    if only != NUMBERS and (params.dataset, params.seed) not in found:
        raise UserError(f"{name}: no part of the study that is kept: {one_study.left_out(params).get((params.dataset, params.seed), one_study.UNFINISHED)}")
    if only != NOTEBOOKS:
        drawn = units.provenance(params.profile_dir).get("results", {}).get("tables", {})
        if set(drawn) != {f"{dataset} {seed}" for dataset, seed in found} or units.harmed_results(params):
            raise UserError(f"profile {params.profile}: figures and claims are not of these units: run make figures first")
        keep(params.profile_dir, found, folder)
    if only != NUMBERS:
        keep_unit_notebooks(params, folder)
    pages.show()
    what = [count(len(found), "unit")] * (only != NOTEBOOKS) + [f"the notebooks of {name}"] * (only != NUMBERS)
    return f"kept {' and '.join(what)} in outputs/reference/{folder.name}"


def keep(source: Path, found: list[tuple[str, int]], target: Path) -> None:
    """Replace the numbers in `target` by the small files of a profile's folder and of these units in it, all or none.

    The executed notebooks about all units are kept with them; those of a unit that is there already stay, with the prose of
    their sources as it is now.
    """
    wanted = [path for pattern in OF_PROFILE for path in sorted(source.glob(pattern))]
    wanted += [source / dataset / f"seed-{seed}" / name for dataset, seed in found for name in OF_UNIT]
    wanted = [path for path in wanted if path.exists()]  # a run of before some table was thought of is kept, too
    executed = [path for name in units.OF_PROFILE if (path := source / NOTEBOOKS / f"{name}.ipynb").exists()]
    bring_back(target)
    with in_one_piece(target) as partial:
        if (target / NOTEBOOKS).exists():
            shutil.copytree(target / NOTEBOOKS, partial / NOTEBOOKS)
        for path in wanted:
            atomic_write_bytes(partial / path.relative_to(source), path.read_bytes())
        notebooks.keep(executed, partial / NOTEBOOKS, units.OF_PROFILE)
        for path, renewed in notebooks.beside_sources(partial / NOTEBOOKS, units.NOTEBOOKS).items():
            if renewed:
                atomic_write_text(path, notebooks.as_text(renewed))


def keep_unit_notebooks(params: Params, target: Path) -> None:
    """Keep the executed notebooks of this unit, with its provenance, in place of any other unit's.

    That about the paper's own numbers, which is the same whatever was run, comes with them.
    """
    names = (units.BEFORE, *units.of_unit())
    executed = [path for path in (units.executed(name, params) for name in names) if path.exists()]
    notebooks.keep(executed, target / NOTEBOOKS, names)
    atomic_write_bytes(target / NOTEBOOKS / units.PROVENANCE, (params.unit_dir / units.PROVENANCE).read_bytes())
