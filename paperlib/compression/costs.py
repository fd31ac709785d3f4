"""Say how long training takes before it starts, as a few steps tell that are tried and not kept."""

import math
import time

from paperlib.data.orders import passes
from paperlib.model import encoder, training
from paperlib.nodes import compute
from paperlib.nodes.progress import cost
from paperlib.params import Params

STEPS = 2  # that are timed, after as many that warm up
FORWARD = 1 / 3  # of a training step


class Costs:
    """What fine-tunes and measurements of a study's models cost here."""

    def __init__(self, params: Params):
        self.params, self.layers = params, len(encoder.layers(compute.bench_of(params).pretrained))
        batches = math.ceil(params.train_size / params.batch_size)
        self.fine_tune = [self._seconds_of_a_step() for _ in range(2)][1] * params.epochs * batches  # of the original

    def fine_tunes(self, left: list[int]) -> str:
        """Say how long it takes to fine-tune models with so many layers left."""
        return _about(self.fine_tune * sum(map(cost, left)) / cost(self.layers))

    def subsets(self) -> str:
        """Say how long it takes to measure all sets of layers of the original on validation."""
        texts = self.params.validation_size / (self.params.train_size * self.params.epochs)
        return _about(FORWARD * self.fine_tune * texts * passes(self.layers) / self.layers)

    def _seconds_of_a_step(self) -> float:
        bench = compute.bench_of(self.params)
        few = self.params.replace(train_size=max(2, STEPS * self.params.batch_size), signal_size=2, epochs=1)
        texts = {name: tensor[: few.train_size] for name, tensor in bench.dataset.train.items()}
        model, started = encoder.remove_layers(bench.pretrained, []), time.perf_counter()
        training.fine_tune(model, texts, few, self.params.seed)
        return (time.perf_counter() - started) / STEPS


def _about(seconds: float) -> str:
    return f"about {max(seconds, 1):.0f} s of one core"
