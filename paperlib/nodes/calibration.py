"""Time a few training steps of a study's models here, before any of them is trained: what a plan and a price rest on."""

import contextlib
import math
import time
from collections.abc import Callable

import torch

from paperlib.common.errors import UserError
from paperlib.model import batched_training, encoder, step_graph, together, training
from paperlib.nodes import compute
from paperlib.nodes.progress import PASSES_OF_TRAINING
from paperlib.params import Params

CALIBRATION_STEPS = 3
LONG = 5.0  # seconds of a step beside which the first one's preparations do not count: bf16 without units for it, say
RECORDED_STEPS = 4 * step_graph.WARM_UP  # most of them replayed
FORWARD_SHARE = 1 / PASSES_OF_TRAINING  # of a training step


def calibrate(params: Params, total: int, models: int = 1) -> Callable[[int], float]:
    """Time a few steps with all layers and with none; return the seconds of a model's step by the layers left.

    As many models are trained as one batch as is said, or as memory takes.
    """
    bench = compute.bench_of(params)
    many = RECORDED_STEPS if together.is_recorded(params) else CALIBRATION_STEPS
    few = params.replace(train_size=many * params.batch_size, epochs=1, signal_size=2)

    def train(left: int, steps: int) -> float:
        texts = {name: tensor[: steps * few.batch_size] for name, tensor in bench.dataset.train.items()}
        steps = math.ceil(len(texts["labels"]) / few.batch_size)  # fewer where there are not as many texts
        untrained = [encoder.remove_layers(bench.pretrained, list(range(left, total))) for _ in range(models)]
        started = time.perf_counter()
        if together.is_on(params):
            batched_training.fine_tune_together(untrained, texts, few, list(range(models)))
        else:
            training.fine_tune(untrained[0], texts, few, seed=0)
        return (time.perf_counter() - started) / models / steps

    def timed(left: int) -> float:
        first = train(left, many if together.is_on(params) else 1)  # warms up
        return first if first > LONG else train(left, many)

    seconds = {}
    with contextlib.suppress(torch.OutOfMemoryError):  # fewer are tried below: in a handler the error would hold the models that did not fit
        seconds = {left: timed(left) for left in (total, 0)}
    if not seconds:
        if models == 1:
            raise UserError("the GPU has too little memory for one model: lower batch_size")
        torch.cuda.empty_cache()
        return calibrate(params, total, models // 2)
    per_layer = (seconds[total] - seconds[0]) / total
    return lambda left: seconds[0] + per_layer * left
