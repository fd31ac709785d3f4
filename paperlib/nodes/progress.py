"""Show how far a study is and how long it still takes; for the driver, in a file that it reads."""

import json
import os
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

from paperlib.common.files import atomic_write_json
from paperlib.data.orders import passes
from paperlib.nodes.node import Node
from paperlib.params import Params

HEADLESS = "PAPERLIB_HEADLESS"  # set by the driver, which draws the one bar itself
FILE = "progress.json"
PASSES_OF_TRAINING = 3  # of an example through a layer: the backward pass costs twice the forward pass


def cost(layers: int) -> float:
    """Return the relative cost of a fine-tune: one per layer, and a little for the rest."""
    return layers + 0.3


def cost_of_sets(layers: int, examples: int, params: Params) -> float:
    """Return at most the relative cost of measuring all sets of so many layers."""
    return passes(layers) * examples / (PASSES_OF_TRAINING * params.epochs * params.train_size)


class Progress:
    """Counts fine-tunes, weighted by their layers, and what costs as much; what is still expected shrinks when walks meet.

    `what` says what is computed.
    `watch` is called with each computed node.
    """

    def __init__(self, params: Params, what: str, watch: Callable[[Node], None] | None = None):
        self.watch = watch
        self.path = params.unit_dir / FILE
        hidden = bool(os.environ.get(HEADLESS)) or not (sys.stderr.isatty() or "ipykernel" in sys.modules)
        self.bar = tqdm(total=None, unit=" layers", disable=hidden, desc=f"{params.dataset}: {what}", leave=False)
        self.made, self.nodes, self.started = 0.0, 0, time.time()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception) -> None:
        self.bar.close()
        self.path.unlink(missing_ok=True)

    def done(self, node: Node) -> None:
        """Count one computed node."""
        self.nodes += 1
        self.did(cost(len(node.remaining)))
        if self.watch is not None:
            self.watch(node)

    def did(self, cost: float) -> None:
        """Count work on a node that is not done."""
        self.made += cost
        self.bar.update(round(self.made) - self.bar.n)
        self._write()

    def expect(self, layers: list[int], more: float = 0.0) -> None:
        """State the layers of the models still to come, at most, and the cost of what is done beside them."""
        self.bar.total = round(self.made + sum(map(cost, layers)) + more)
        self.bar.refresh()
        self._write()

    def _write(self) -> None:
        total = self.bar.total
        atomic_write_json(self.path, {"made": self.made, "total": total, "nodes": self.nodes, "started": self.started})


def read(params: Params) -> dict | None:
    """Return what the study in progress last wrote, None when none is."""
    try:
        return json.loads((params.unit_dir / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
