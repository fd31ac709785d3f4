"""Time variants of one computation side by side: taken in turn, each run by each, so that a busy moment meets all."""

import time
from collections.abc import Callable
from typing import Any

import torch

Seconds = dict[str, list[float]]
Prepare = Callable[[], Callable[[], Any]]  # makes ready what is not timed, and returns what is


def side_by_side(variants: dict[str, Prepare], repeats: int, device: torch.device) -> tuple[Seconds, dict[str, Any]]:
    """Time every variant `repeats` times, in turn, the order reversed at every other repeat.

    Return the seconds of every repeat by variant, and what each variant returned last.
    """
    seconds, results = {name: [] for name in variants}, {}
    for repeat in range(repeats):
        for name in list(variants) if repeat % 2 == 0 else list(reversed(variants)):
            took, results[name] = stopwatch(variants[name](), device)
            seconds[name].append(took)
    return seconds, results


def stopwatch(run: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return the seconds that `run` takes, the device's unfinished work included, and its result."""
    _wait(device)
    started = time.perf_counter()
    result = run()
    _wait(device)
    return time.perf_counter() - started, result


def on(threads: int, run: Callable[[], Any]) -> Callable[[], Any]:
    """Return `run` with so many of PyTorch's threads, given back when it ends."""

    def limited():
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return run()
        finally:
            torch.set_num_threads(before)

    return limited


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
