"""The command line of the project with the three notebooks that train: `python few_notebooks.py reproduce ...`."""

import sys

from paperlib import __main__ as command_line
from paperlib.driver import run
from paperlib.evidence import units

TRAINING = ("01_signals", "03_strategies", "05_distillation")


def main(words: list[str]) -> int:
    """Run a command without what only draws and tells: the other notebooks, figures and pages."""
    units.UNIT_NOTEBOOKS = {name: units.UNIT_NOTEBOOKS[name] for name in TRAINING}
    run._show_results = lambda *arguments, **named: []
    return command_line.main(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
