"""One progress bar for a whole study, fed by what the kernels write; plain lines where there is no terminal."""

import sys
import threading
import time

from tqdm import tqdm

from paperlib.common.messages import unit_name
from paperlib.evidence import units
from paperlib.nodes import progress
from paperlib.params import Params

POLL_SECONDS = 1.0


class StudyBar:
    """One bar for all units, in per cent of a unit; between notebooks it follows what the study reports."""

    def __init__(self, waiting: list[Params]):
        layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
        self.bar = tqdm(total=100 * len(waiting), bar_format=layout, disable=not sys.stderr.isatty() or not waiting)
        self.base, self.params, self.share, self.stop = 0.0, None, 0, threading.Event()
        self.lines = not sys.stderr.isatty()
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
        self.params, self.share = params, units.UNIT_NOTEBOOKS[name][1]
        self.bar.set_description_str(f"{unit_name(params.dataset, params.seed)}: {name}")
        if self.lines:
            print(f"{time.strftime('%H:%M:%S')}  {unit_name(params.dataset, params.seed)}: {name}", flush=True)

    def passed(self, name: str) -> None:
        """Move to the end of a notebook's share."""
        self.base += self.share
        self._move(0.0)

    def _follow(self) -> None:
        while not self.stop.wait(POLL_SECONDS):
            said = progress.read(self.params) if self.params else None
            self._move(said["made"] / said["total"] if said and said.get("total") else 0.0)

    def _move(self, part: float) -> None:
        position = self.base + min(part, 1.0) * self.share * (part > 0)
        self.bar.update(max(0.0, position - self.bar.n))
