"""What a person is told: names of units and files, numbers with their units, and faults."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from paperlib.common.places import ROOT


@dataclass(frozen=True)
class Fault:
    """What went wrong in a notebook, in one line, and whether the user can put it right."""

    line: str
    of_user: bool = False


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def unit_name(dataset: str, seed: int) -> str:
    """Name a unit as messages do."""
    return f"{dataset} seed {seed}"


def count(n: int, unit: str = "dataset") -> str:
    """Return a number with its unit, in the plural where it needs one."""
    return f"{n} {unit}{'' if n == 1 else 's'}"


def span(counts: Collection[int], unit: str = "", say: Callable[[int], str] = str) -> str:
    """Say how many there are, here fewer and there more: "2", "2 or 3", "1 to 3"; of none "0". With their unit, if there is one."""
    fewest, most = min(counts, default=0), max(counts, default=0)
    numbers = say(most) if fewest == most else f"{say(fewest)} {'or' if most == fewest + 1 else 'to'} {say(most)}"
    return f"{numbers} {unit}{'' if most == 1 else 's'}" if unit else numbers
