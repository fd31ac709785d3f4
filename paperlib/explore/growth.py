"""Grow walks in the background, tell of each model as it is done, and stop when asked: what is finished is kept."""

import contextlib
import threading
from collections.abc import Callable, Sequence

from paperlib.common.errors import UserError
from paperlib.common.lock import lock
from paperlib.explore.cost import preview
from paperlib.nodes.node import Node
from paperlib.params import Params
from paperlib.tree import Study


class Stopped(Exception):
    """The person at the keyboard has seen enough."""


class Growth(threading.Thread):
    """Walks the strategies `names`; calls `told` with each finished node, and with None at the end.

    `fault` then says in one line what went wrong, "" where nothing did; `stopped` whether it was stopped before its end.
    """

    def __init__(self, params: Params, names: Sequence[str], told: Callable[[Node | None], None]):
        super().__init__(daemon=True)
        self.params, self.names, self.told = params, list(names), told
        self.asked, self.stopped, self.fault = threading.Event(), False, ""

    def run(self) -> None:
        """Grow the tree, where nobody else trains there; a fault is kept for whoever looks, since nobody waits here."""
        try:
            trains = preview(self.params, self.names).fine_tunes != 0
            with lock(self.params.profile_dir) if trains else contextlib.nullcontext():
                Study(self.params).grow(self.names, watch=self._watch)
        except Stopped:
            self.stopped = True
        except UserError as error:
            self.fault = str(error)
        except Exception as error:  # shown in the panel: a thread's traceback would be lost in a log
            self.fault = f"{type(error).__name__}: {error}"
        self.told(None)

    def stop(self) -> None:
        """Let the models in hand be the last."""
        self.asked.set()

    def _watch(self, node: Node) -> None:
        self.told(node)
        if self.asked.is_set():
            raise Stopped
