"""Run a small study, as `make reproduce` would, on a disk that is too small, then larger, until it is large enough.

Run by test_full_disk.py in a mount namespace of its own: `python full_disk.py FOLDER SIZE...`; FOLDER is a file system in
memory. Prints, as JSON, what each attempt ended with and what it left, and the last one's table.
"""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from paperlib import __main__ as command_line
from paperlib.driver import run, unit
from paperlib.evidence import units

WALKS = ("Weight-Norm", "Gradient-Fisher")
CELLS = (
    "profile = ''\ndataset = ''\nseed = 0\nsettings = ''",
    "from paperlib import params\nfrom paperlib.common.files import atomic_write_text\n"
    "from paperlib.evidence import tables\nfrom paperlib.tree import Study\n"
    "study = Study(params.load(profile, dataset, seed, settings))",
    f"steps = tables.steps(study, {list(WALKS)})",
    "atomic_write_text(study.params.unit_dir / 'steps.csv', steps.to_csv(index=False))",
    "print(steps.to_string() * 40)",  # so that the notebook itself needs room, too
)


def main(folder: Path, sizes: list[str]) -> None:
    """Attempt the study on each size of the disk in turn."""
    shorten_the_study(folder.parent)
    attempts = []
    for size in sizes:
        subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)
        print(f"== {size}", file=sys.stderr, flush=True)
        places = [f"output_dir={folder}/out", f"cache_dir={folder}/cache", "precision=fp32", "device=cpu", "workers=1"]
        status = command_line.main(["reproduce", "--profile", "smoke", "--set", *places])
        records = sorted(path.stem for path in folder.rglob("nodes/*.json") if path.name != "study.json")
        strays = [path.name for path in folder.rglob("*") if "partial" in path.name]
        attempts.append({"status": status, "records": records, "strays": strays})
    table = next(folder.rglob("steps.csv"), None)
    print("\n" + json.dumps({"attempts": attempts, "steps": table and table.read_text()}))


def shorten_the_study(folder: Path) -> None:
    """Let the driver run one notebook, which walks two strategies."""
    cells = [new_code_cell(code) for code in CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    (folder / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), folder / "notebooks" / "03_strategies.ipynb")
    units.NOTEBOOKS = folder / "notebooks"
    units.UNIT_NOTEBOOKS = {"03_strategies": (("steps",), 100)}
    run._show_results = lambda *arguments, **named: []
    unit.AHEAD = run.IMPORTS = ""  # of all that a whole study needs


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
