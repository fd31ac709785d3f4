"""One progress bar for a whole study, fed by what the kernels write; plain lines where there is no terminal."""

import sys
import threading
import time

from tqdm import tqdm

from paperlib.common.messages import unit_name
from paperlib.evidence import training_axis, units
from paperlib.nodes import progress
from paperlib.params import Params

POLL_SECONDS = 1.0


class StudyBar:
    """One bar for all units, in per cent of a unit without what is run on request; between notebooks it follows what the studies that run report."""

    def __init__(self, waiting: list[Params]):
        layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
        whole = sum(_share(name) for params in waiting for name in units.notebooks_of(params))
        self.bar = tqdm(total=whole, bar_format=layout, disable=not sys.stderr.isatty() or not waiting)
        self.running: dict[str, tuple[Params, str]] = {}  # by the unit's name
        self.ended: set[tuple[str, str]] = set()  # a unit that begins again passes what it has once more
        self.lines, self.stop = not sys.stderr.isatty(), threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "StudyBar":
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.stop.set()
        self.thread.join()
        self.bar.close()

    def show(self, params: Params, name: str) -> None:
        """Say which notebook is running."""
        unit = unit_name(params.dataset, params.seed)
        self.running[unit] = (params, name)
        self.bar.set_description_str(f"{unit}: {name}")
        if self.lines:
            print(f"{time.strftime('%H:%M:%S')}  {unit}: {name}", flush=True)

    def passed(self, params: Params, name: str) -> None:
        """Move to the end of a notebook's share."""
        unit = unit_name(params.dataset, params.seed)
        self.running.pop(unit, None)
        self.ended.add((unit, name))
        self._move()

    def _follow(self) -> None:
        while not self.stop.wait(POLL_SECONDS):
            self._move()

    def _move(self) -> None:
        position = float(sum(_share(name) for _, name in list(self.ended)))
        for params, name in list(self.running.values()):
            position += _done(params, name) * _share(name)
        self.bar.update(max(0.0, position - self.bar.n))


def _share(name: str) -> int:
    return units.of_unit()[name][1]


def _done(params: Params, name: str) -> float:
    """Return the share of a running notebook that is done: what its study says, or the one of its studies that runs now."""
    studies = training_axis.studies(params) if name == units.EPOCHS else [params]
    costs = [study.epochs for study in studies]
    for place, study in enumerate(studies):
        if (said := progress.read(study)) and said.get("total"):
            return (sum(costs[:place]) + costs[place] * min(said["made"] / said["total"], 1.0)) / sum(costs)
    return 0.0
