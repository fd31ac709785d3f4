"""What the parts of the benchmark share: the subject, how often to repeat, and the costs found so far."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from paperlib.benchmark import plain_study
from paperlib.benchmark.subject import Subject
from paperlib.benchmark.table import Row
from paperlib.benchmark.timing import on, stopwatch
from paperlib.data import subsets
from paperlib.model import training

EXTRA = 0.3  # what a pass costs beside its layers, in layers
FORWARD = 1 / 3  # of a training step


class Job(NamedTuple):
    """One step of the benchmark: its title, the seconds it may take, and what does it and reports shares of 1."""

    title: str
    estimate: float
    run: Callable[[Callable[[float], None]], list[Row]]


class Costs:
    """The median seconds of each activity by who does it (ours, full, plain, together) and by the layers left."""

    def __init__(self):
        self.known: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)

    def note(self, who: str, what: str, layers: int, seconds: float) -> None:
        """Keep one cost."""
        self.known[who, what][layers] = seconds

    def has(self, who: str, what: str) -> bool:
        """Say whether any such cost is known."""
        return (who, what) in self.known

    def of(self, who: str, what: str, layers: int) -> float:
        """Return a cost, interpolated between the numbers of layers that were timed.

        A fine-tune is known at full length for some numbers of layers only: the shortened ones say how it grows.
        Ablations are interpolated per layer removed, as their number grows with the layers too.
        """
        if what == "fine-tune" and self.has(who, "short fine-tune"):
            (longest, whole), *_ = sorted(self.known[who, what].items(), reverse=True)
            return whole * self.of(who, "short fine-tune", layers) / self.of(who, "short fine-tune", longest)
        points = sorted(self.known[who, what].items())
        per = [max(1, left) if what == "ablate" else 1 for left, _ in points]
        value = np.interp(
            layers, [left for left, _ in points], [seconds / n for (_, seconds), n in zip(points, per)]
        )
        return float(value * (max(1, layers) if what == "ablate" else 1))


@dataclass
class Session:
    """A benchmark under way."""

    subject: Subject
    repeats: int
    pace: float = 0.0  # seconds to train on one example, per layer, on one thread
    costs: Costs = field(default_factory=Costs)

    def training_seconds(self, layers: int, examples: int) -> float:
        """Estimate the seconds to train on so many examples; a third of it to classify them."""
        return self.pace * (layers + EXTRA) * examples

    def warm_up(self) -> None:
        """Run both ways once on very little, as the first use of a library is slow, and find the pace."""
        subject = self.subject
        few = subject.resized(2 * subject.params.batch_size, epochs=1)
        model, batch = subject.ours(subject.layers), subsets.subset(subject.dataset.train, few.train_size)
        once = on(1, lambda: training.fine_tune(model, batch, few, seed=0))
        once()
        self.pace = stopwatch(once, subject.device)[0] / few.train_size / (subject.layers + EXTRA)
        examples = subject.examples["train"].select(range(few.train_size))
        plain_study.fine_tune(subject.plain(subject.layers), examples, few, seed=0)
