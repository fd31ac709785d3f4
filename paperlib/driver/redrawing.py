"""Draw the kept reference again by this code, from its tables: what a changed drawing, rule or sentence says of the same numbers."""

import shutil
from pathlib import Path

from paperlib import params as parameters
from paperlib.common.errors import UserError
from paperlib.common.lock import lock
from paperlib.common.places import REFERENCE
from paperlib.driver import run
from paperlib.evidence import units
from paperlib.params import RUN_ONLY, Params
from paperlib.report.reference import keeping

PLACE = "outputs/redrawn"  # where the kept tables are laid out meanwhile


def redraw(params: Params, settings: str) -> str:
    """Lay out the kept units of a profile, draw figures, claims and notebooks of them anew, and keep those; train nothing.

    Raises UserError when nothing is kept of the profile, when it was kept with other parameters, or when something cannot
    be drawn: what was kept then stays.
    """
    kept = REFERENCE / params.profile
    if differing := _differing(kept, params):
        raise UserError(f"outputs/reference/{kept.name}: its units were run with another {differing[0]}: give it with SET")
    settings = " ".join(filter(None, [settings, f"output_dir={PLACE}"]))
    there = parameters.load(params.profile, params.dataset, params.seed, settings)
    with lock(there.profile_dir):
        try:
            lay_out(kept, there.profile_dir)
            if run.draw([there], settings):
                raise UserError(f"outputs/reference/{kept.name} was not drawn again")
            return keeping.make(there, keeping.NUMBERS)
        finally:
            shutil.rmtree(there.profile_dir, ignore_errors=True)


def lay_out(kept: Path, place: Path) -> None:
    """Copy what is kept of a profile, but for executed notebooks, and mark the copy as that; nothing else is then there."""
    for left in [path for path in place.glob("*") if path.is_dir()]:  # of a drawing that was killed
        shutil.rmtree(left)
    shutil.copytree(kept, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(keeping.NOTEBOOKS))
    (place / units.LAID_OUT).touch()


def _differing(kept: Path, params: Params) -> list[str]:
    """Name the parameters of a study that are not those of the kept units; raises UserError when none are kept."""
    found = units.finished(kept).values()
    if not found:
        raise UserError(f"outputs/reference/{kept.name}: nothing is kept of this profile")
    own = params.model_dump(exclude=RUN_ONLY | units.UNIT_FIELDS)
    return sorted({name for record in found for name, value in own.items() if record["parameters"].get(name, value) != value})
