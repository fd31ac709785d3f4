"""What the parts of the benchmark share: a clock that times variants in turn, and the costs found so far."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from paperlib.benchmark.subject import Subject

Seconds = dict[str, list[float]]
Prepare = Callable[[], Callable[[], Any]]  # makes ready what is not timed, and returns what is
# The median seconds of each activity by who does it (ours, full, plain, together), and by the layers left.
Costs = dict[tuple[str, str], dict[int, float]]


def cost(costs: Costs, who: str, what: str, layers: int) -> float:
    """Return a cost, interpolated between the numbers of layers that were timed.

    Ablations are interpolated per layer removed, as their number grows with the layers too.
    """
    times = {left: max(1, left) if what == "ablate" else 1 for left in (*costs[who, what], layers)}
    known = {left: seconds / times[left] for left, seconds in sorted(costs[who, what].items())}
    return float(np.interp(layers, list(known), list(known.values())) * times[layers])


@dataclass
class Session:
    """A benchmark under way."""

    subject: Subject
    repeats: int
    costs: Costs = field(default_factory=lambda: defaultdict(dict))

    def say(self, what: str) -> None:
        """Tell a person what is being timed."""
        print(f"{time.strftime('%H:%M:%S')}  bench: {what}", flush=True)


def side_by_side(variants: dict[str, Prepare], repeats: int, device: torch.device) -> tuple[Seconds, dict[str, Any]]:
    """Time every variant `repeats` times, in turn, so that a busy moment meets all; every other repeat in reverse order.

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
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    result = run()
    wait()
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
