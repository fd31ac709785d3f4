"""Open the notebooks in JupyterLab, as copies that may be changed: `make lab`."""

import json
import os
import sys
from pathlib import Path

from paperlib.common import escape
from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_bytes, atomic_write_json, sha256_file
from paperlib.common.messages import shown
from paperlib.common.places import ROOT, settle_tools
from paperlib.evidence.units import NOTEBOOKS
from paperlib.params import LAB, load

COPIED = ".copied.json"  # for each copy, the SHA-256 of the notebook it is of
# JupyterLab asks a newcomer to subscribe to news, and looks for them on the network.
QUIET = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


def main(arguments: list[str]) -> None:
    """Copy the notebooks, then start JupyterLab at the project's folder, on this computer only."""
    params = load()
    folder = ROOT / params.output_dir / LAB
    for line in copy_notebooks(NOTEBOOKS, folder):
        print(line)
    settle_tools(params.cache_path)
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(
        filter(None, [str(quiet(params.cache_path / "jupyter")), os.environ.get("JUPYTER_CONFIG_PATH")])
    )
    from jupyterlab.labapp import main as start  # takes a second

    start([*options(folder), *arguments])


def options(folder: Path) -> list[str]:
    """Return JupyterLab's options: the project's folder, so that params/ is in reach, or that of copies elsewhere; they open at once."""
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # containers: Jupyter would refuse
    root = ROOT if folder.is_relative_to(ROOT) else folder
    where = folder.relative_to(root).as_posix()
    return ["--ip=127.0.0.1", f"--ServerApp.root_dir={root}", f"--LabApp.default_url=/lab/tree/{where}", *as_root]


def quiet(folder: Path) -> Path:
    """Write a configuration folder that turns JupyterLab's news off; return it."""
    atomic_write_json(folder / "labconfig" / "page_config.json", QUIET)
    return folder


def copy_notebooks(source: Path, folder: Path) -> list[str]:
    """Bring the copies up to date; keep those that were worked on, and return a line on each that is of an older notebook.

    The notebooks themselves stay as they are: a change in them would make finished results stale.
    """
    said, known = [], _read(folder / COPIED)
    for notebook in sorted(source.glob("*.ipynb")):
        copy, digest, of = folder / notebook.name, sha256_file(notebook), known.get(notebook.name)
        if not copy.exists() or sha256_file(copy) == of:
            atomic_write_bytes(copy, notebook.read_bytes())
            known[notebook.name] = digest
        elif of != digest:
            said.append(f"{shown(copy)}: yours, of an older notebook; rename or remove it to get the present one")
    atomic_write_json(folder / COPIED, known)
    return said


def _read(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(f"paperlib: {escape.one_line(error)}", file=sys.stderr)
        sys.exit(2)
