"""Time variants of one computation side by side: taken in turn, each run by each, so that a busy moment meets all."""

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from tqdm import tqdm

Prepare = Callable[[], Callable[[], Any]]  # makes ready what is not timed, and returns what is


@dataclass(frozen=True)
class Timed:
    """The seconds of every repeat by variant, and what each variant returned last."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    def median(self, variant: str) -> float:
        """Return the median seconds of a variant."""
        return statistics.median(self.seconds[variant])


class Bar:
    """One bar for the whole benchmark, in seconds as estimated beforehand; plain lines where there is no terminal."""

    def __init__(self, estimate: float):
        shown, layout = sys.stderr.isatty(), "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
        # smoothing=0: the time left goes by the average so far, as single steps differ a lot
        self.bar = tqdm(total=estimate, bar_format=layout, smoothing=0, disable=not shown)
        self.lines = not shown

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self.bar.close()

    def show(self, what: str) -> None:
        """Say what is being timed."""
        self.bar.set_description_str(what)
        if self.lines:
            print(f"{time.strftime('%H:%M:%S')}  bench: {what}", flush=True)

    def advance(self, seconds: float) -> None:
        """Move on by what this step was estimated to take."""
        self.bar.update(min(seconds, max(0.0, self.bar.total - self.bar.n)))


def side_by_side(
    variants: dict[str, Prepare],
    repeats: int,
    device: torch.device,
    passed: Callable[[float], None] = lambda share: None,
) -> Timed:
    """Time every variant `repeats` times, in turn, the order reversed at every other repeat.

    `passed` is called after each run with its share of them all.
    """
    timed = Timed({name: [] for name in variants})
    for repeat in range(repeats):
        order = list(variants) if repeat % 2 == 0 else list(reversed(variants))
        for name in order:
            seconds, timed.results[name] = stopwatch(variants[name](), device)
            timed.seconds[name].append(seconds)
            passed(1 / (repeats * len(variants)))
    return timed


def stopwatch(run: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return the seconds that `run` takes, the device's unfinished work included, and its result."""
    _wait(device)
    started = time.perf_counter()
    result = run()
    _wait(device)
    return time.perf_counter() - started, result


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Let PyTorch use `n` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on(n: int, run: Callable[[], Any]) -> Callable[[], Any]:
    """Return `run` on `n` threads."""

    def limited():
        with threads(n):
            return run()

    return limited


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
