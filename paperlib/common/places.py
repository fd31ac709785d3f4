"""Keep what a study reads and writes where it belongs, and the tools beneath it too."""

import os
import re
from pathlib import Path

from paperlib.common.errors import UserError

ROOT = Path(__file__).resolve().parents[2]  # of the project
REFERENCE = ROOT / "outputs" / "reference"  # runs that are kept, a folder each profile
# Folders of the project itself: outputs among them would be lost in it, or overwrite it.
OWN = (".ci", ".git", ".venv", "notebooks", "outputs/reference", "paperlib", "params", "tests")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
LONGEST, LONGEST_PART = 1000, 255  # bytes that common file systems take
PARTS = ("", "figures", "tables", "notebooks", "failed", "epochs")  # folders in a profile's
UNIT_PARTS = ("", "nodes", "notebooks", "student")  # folders in a unit's
TOOLS = {"IPYTHONDIR": "ipython", "MPLCONFIGDIR": "matplotlib", "TORCHINDUCTOR_CACHE_DIR": "torch"}


def unit_folders(folder: Path) -> list[Path]:
    """List the folders of units in a profile's; one such as seed-0-backup is no unit's."""
    return sorted(path for path in folder.glob("*/seed-*") if path.is_dir() and path.name.removeprefix("seed-").isdecimal())


def path_text(text: str) -> str:
    """Return the text of a path with "~" resolved; raises ValueError when no file could have it."""
    if CONTROL.search(text):
        raise ValueError("must not hold control characters")
    if len(text.encode()) > LONGEST or any(len(part.encode()) > LONGEST_PART for part in text.split("/")):
        raise ValueError("is too long for a path")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise ValueError(f"there is no home folder {text.split('/')[0]}")
    return expanded


def check_own_folder(text: str, root: Path) -> None:
    """Raise ValueError when a folder to write to leaves the project unasked, or is part of the project itself."""
    if ".." in Path(text).parts:
        raise ValueError(f"must not hold '..', as {text} does: give the absolute path of a folder outside the project")
    folder = (root / text).resolve()
    inside = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ""
    if inside == "." or any(f"{inside}/".startswith(f"{own}/") for own in OWN):
        raise ValueError(f"{text} is part of the project itself: name a folder of its own")


def check_links(output: Path, profile: Path, unit: Path) -> None:
    """Raise UserError when a symbolic link leads from within the output folder to a place outside of it."""
    for path in [*(profile / name for name in PARTS), unit.parent, *(unit / name for name in UNIT_PARTS)]:
        if not path.resolve().is_relative_to(output.resolve()):
            named = path.relative_to(output.parent)
            raise UserError(f"{named} is a link that leaves the folder {output.name}: remove it, or set output_dir")


def settle_tools(cache: Path) -> None:
    """Let Jupyter, matplotlib and torch keep their own files in our cache, not in the home folder, unless told where.

    They read this when they are imported; "~" is a folder of that name to them.
    """
    for variable, name in TOOLS.items():
        told = os.path.expanduser(os.environ.get(variable, ""))
        os.environ[variable] = told if told and not told.startswith("~") else str(cache / name)


def make_tool_folders(cache: Path) -> list[Path]:
    """Make those folders: IPython would rather warn and use another, or fail at length where the disk is full.

    Return those that were not there. Raises UserError when they cannot be made.
    """
    from IPython.core.profiledir import ProfileDir  # seldom needed

    settle_tools(cache)
    missing = [folder for variable in TOOLS if not (folder := Path(os.environ[variable])).exists()]
    try:
        for folder in missing:
            folder.mkdir(parents=True, exist_ok=True)
        ProfileDir.create_profile_dir_by_name(os.environ["IPYTHONDIR"], "default")
    except OSError as error:
        raise UserError(f"{cache.name}: the cache folder cannot be written ({error.strerror})") from None
    return missing
