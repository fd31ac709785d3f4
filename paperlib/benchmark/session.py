"""What the parts of the benchmark share: the subject, how often to repeat, and the costs found so far."""

import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from paperlib.benchmark.subject import Subject

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
