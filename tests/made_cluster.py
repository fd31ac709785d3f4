"""Preloaded by the workers of test_cluster.py: their units are made-up studies (made_study.py), all else is real.

A worker runs its units' notebooks itself, for want of a kernel. Every fine-tune leaves a line in the file that
PAPERLIB_TRAINED names when it begins, and one when it has ended.
"""

import contextlib
import os
import threading
import time

import made_study
import pytest

from paperlib.driver import execution, kernel
from paperlib.nodes import parallel

TRAINED, TAKES = "PAPERLIB_TRAINED", "PAPERLIB_TRAINING_TAKES"


class NoKernel:
    """Takes the place of a kernel."""

    def __init__(self, environment):
        os.environ.update(environment)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def send(self, code):
        """Hear nothing."""

    def kill(self):
        """Go on: a thread cannot be killed."""


class SlowBench(made_study.Bench):
    """Takes its time for every fine-tune, and writes down when one begins and ends."""

    def train(self, kept, removed):
        """Fine-tune as ever, but slowly."""
        name = f"{kept.weights.folder.name} {made_study.label(removed)}"
        note("begun", name)
        time.sleep(float(os.environ[TAKES]))
        super().train(kept, removed)
        note("ended", name)


def note(what, name):
    """Add a line to the file that all workers share."""
    with open(os.environ[TRAINED], "a") as file:
        file.write(f"{what} {name}\n")


def dask_setup(worker):
    """Let this process run made-up studies from now on, on the cluster that it belongs to."""
    patch = pytest.MonkeyPatch()
    patch.setattr(made_study, "Bench", SlowBench)
    made = made_study.set_up(patch)
    patch.setattr(kernel, "Kernel", NoKernel)
    patch.setattr(execution, "execute", lambda *arguments: in_a_thread(made.execute, *arguments))
    patch.setattr(parallel, "_keep_benches", lambda: None)


def in_a_thread(function, *arguments):
    """Run a function as a kernel would, where Dask does not take it for its own."""
    failed = []

    def run():
        try:
            function(*arguments)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    with contextlib.suppress(IndexError):
        raise failed[0]
