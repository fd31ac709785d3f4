"""Train the control that loses no layer on an idle core, while the first notebooks of a study look at one model.

It waits for no measurement: each of its models needs the one before and nothing else (`strategies.next_layer` chooses no layer).
"""

import contextlib
import threading

from paperlib import strategies
from paperlib.model import together
from paperlib.nodes import parallel
from paperlib.nodes.node import Removed
from paperlib.nodes.store import Store, store_of
from paperlib.params import Params

CONTROL = "Equal-Training"
POLL_SECONDS = 0.5


class Ahead(threading.Thread):
    """Has another process train the control's models, one after another, until the study itself goes on with them."""

    def __init__(self, params: Params):
        super().__init__(daemon=True)
        self.params, self.ended = params, threading.Event()

    def run(self) -> None:
        """Train; what goes wrong here goes wrong again, and is reported, when the study wants the model."""
        with contextlib.suppress(Exception):
            parallel.elsewhere(_prepare, (self.params,), self.params)
            store = store_of(self.params)
            if not self._original_came(store):
                return
            for removed in _missing(store, self.params):
                if self.ended.is_set() or not _is_ready(store, removed[:-1]):
                    return
                parallel.elsewhere(_train, (self.params, removed), self.params)
                store.weights.evict(keep={(), removed})

    def _original_came(self, store: Store) -> bool:
        """Wait for the original model; return False when the study goes on before it is trained."""
        while not _is_ready(store, ()):
            if self.ended.wait(POLL_SECONDS):
                return False
        return True

    def finish(self) -> None:
        """Wait for the model in hand, and let it be the last."""
        self.ended.set()
        self.join()


_running: list[Ahead] = []  # one at most


def begin(params: Params) -> None:
    """Load data and model into this process, and start where a core would be idle and the control is not yet trained."""
    from paperlib.nodes import compute  # takes seconds to import, so only where something is computed

    finish()
    store = store_of(params)
    if together.is_on(params) or (store.read(()) and not _missing(store, params)):
        return
    compute.bench_of(params)  # first: how many processes its memory allows is not known of a model that is not there
    if parallel.workers_of(params) < 2:
        return
    _running.append(Ahead(params))
    _running[0].start()


def finish() -> None:
    """End what was begun in this process, so that others can use the store and the processes."""
    while _running:
        _running.pop().finish()


def _missing(store: Store, params: Params) -> list[Removed]:
    """List the control's models that are not in the store; the original model must be."""
    depth = strategies.depth(CONTROL, store.read(()).original_layers, params)
    models = [(None,) * step for step in range(1, depth + 1)]
    return [removed for removed in models if store.read(removed) is None]


def _is_ready(store: Store, removed: Removed) -> bool:
    return store.read(removed) is not None and store.weights.has(removed)


def _prepare(params: Params) -> None:
    from paperlib.nodes import compute

    compute.bench_of(params)


def _train(params: Params, removed: Removed) -> None:
    from paperlib.nodes import compute

    compute.compute_node(params, removed, frozenset(strategies.needs(CONTROL, params)))
