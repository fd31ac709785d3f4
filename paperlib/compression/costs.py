"""Say how long training takes before it starts, as a few steps tell that are tried and not kept."""

import math

from paperlib.data.orders import passes
from paperlib.model import encoder
from paperlib.model.memory import WEIGHT_BYTES
from paperlib.nodes import compute
from paperlib.nodes.calibration import FORWARD_SHARE, calibrate
from paperlib.params import Params

FORMS = 2.25  # of a saved model: its weights as torch, as ONNX, and as ONNX in 8 bits
DELIVERED = 1 + 2 * FORMS  # the student, as it is distilled, and with its vocabulary cut


class Costs:
    """What fine-tunes and measurements of a study's models cost here."""

    def __init__(self, params: Params):
        self.params, self.layers = params, compute.bench_of(params).layers
        self.step = calibrate(params, self.layers)  # seconds of one, by the layers left

    def fine_tunes(self, left: list[int]) -> float:
        """Return the seconds that it takes to fine-tune models with so many layers left."""
        steps = self.params.epochs * math.ceil(self.params.train_size / self.params.batch_size)
        return steps * sum(map(self.step, left))

    def disk(self, depths: int) -> float:
        """Return the bytes that saved models take at most: the original, with its trace, the best that lost up to so many layers, what is delivered."""
        model = compute.bench_of(self.params).pretrained
        whole = WEIGHT_BYTES * encoder.count_parameters(model)
        layer = WEIGHT_BYTES * sum(parameter.numel() for parameter in encoder.layers(model).parameters()) / self.layers
        return (1 + DELIVERED) * whole + FORMS * sum(whole - lost * layer for lost in range(depths + 1))

    def subsets(self) -> float:
        """Return the seconds that it takes to measure all sets of layers of the original on validation."""
        layer = (self.step(self.layers) - self.step(0)) / self.layers
        return FORWARD_SHARE * layer * passes(self.layers) * self.params.validation_size / self.params.batch_size


def about(seconds: float) -> str:
    """Say how much time it is."""
    return f"about {max(seconds, 1):.0f} s of one core"
