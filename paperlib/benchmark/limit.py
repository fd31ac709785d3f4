"""Say how near a fine-tune comes to its matrix products, which no program can do without, and what it brings to keep freed memory."""

import math
import multiprocessing
import statistics
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from paperlib.benchmark import unit
from paperlib.benchmark.session import Session, side_by_side, stopwatch
from paperlib.benchmark.subject import Subject, subject_of
from paperlib.benchmark.table import Row, row
from paperlib.common.messages import count
from paperlib.data.subsets import Batch
from paperlib.model import memory, training
from paperlib.model.device import precision_of
from paperlib.model.families import first_token_only

Maps = Counter[tuple[int, int, int]]  # linear maps of a step, by rows, width of what goes in and of what comes out
TRIES, DISCARDED = 9, 2  # of a product, which takes milliseconds
AT_ONCE = 50  # products in a try on a GPU, where one takes less than to wait for it
PRODUCTS = 3  # of a linear map: forward, the gradient of what went in, and of the weights
KEPT, GIVEN_BACK = "fine-tune: ours keeps freed memory, plain gives it back", "fine-tune"


def rows(session: Session) -> list[Row]:
    """Time the fine-tune in processes of its own, one thread each, and its matrix products alone.

    On a processor also where freed memory goes back to the system, as it does of itself.
    """
    subject, on_gpu = session.subject, session.subject.device.type == "cuda"
    ways, given = {"ours": True} if on_gpu else {"ours": True, "plain": False}, (subject.params.model_dump_json(), subject.shapes)
    setting = f"{count(subject.layers, 'layer')}, {precision_of(subject.params)}, {'the GPU' if on_gpu else '1 thread'}"
    session.say("limit: a fine-tune and its matrix products")
    memory.give_back()  # what other parts have left, which the processes below need
    pools = {who: _process(kept) for who, kept in ways.items()}
    try:
        variants = {who: lambda pool=pool: pool.submit(_prepare, *given).result() or pool.submit(_train, *given).result for who, pool in pools.items()}
        side_by_side(variants, 1, subject.device)  # the first time is slow
        seconds, _ = side_by_side(variants, session.repeats, subject.device)
        products, operations = pools["ours"].submit(_products, *given).result()
    finally:
        for pool in pools.values():
            pool.shutdown()
    share = products / statistics.median(seconds["ours"])
    note = f"{share:.0%} of that time, at {operations / products / 1e12:.2g} TFLOP/s; attention's and other work is the rest"
    return [
        row("limit", GIVEN_BACK if on_gpu else KEPT, setting, **seconds),
        row("limit", "its linear maps' matrix products alone", setting, [products], note=note),
    ]


def maps_of(model: PreTrainedModel, batch: Batch) -> Maps:
    """Count the linear maps of a training step on these examples."""
    found = Maps()

    def see(module, args, output):
        found[args[0].shape[:-1].numel(), module.in_features, module.out_features] += 1

    hooks = [module.register_forward_hook(see) for module in model.modules() if isinstance(module, nn.Linear)]
    try:
        with torch.no_grad(), first_token_only(model):
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _process(kept: bool) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver"), initializer=_begin, initargs=(kept,))


def _begin(kept: bool) -> None:
    torch.set_num_threads(1)
    if kept:
        memory.keep_freed()


_untrained: list[PreTrainedModel] = []  # of the process that trains it


def _prepare(params_json: str, shapes: str) -> None:
    subject = subject_of(params_json, shapes)
    _untrained[:] = [subject.ours(subject.layers)]


def _train(params_json: str, shapes: str) -> None:
    unit.act(subject_of(params_json, shapes), "fine-tune", _untrained.pop())


def _products(params_json: str, shapes: str) -> tuple[float, float]:
    """Return the seconds of all products of a fine-tune, each kind timed alone, and how many operations they are."""
    subject = subject_of(params_json, shapes)
    train, model = subject.dataset.train, subject.ours(subject.layers)
    steps = Counter(len(examples) for examples in training.batches(len(train["labels"]), subject.params))
    times = Maps()
    for examples, many in steps.items():
        of_step = maps_of(model, {name: tensor[:examples] for name, tensor in train.items()})
        times.update({kind: many * number for kind, number in of_step.items()})
    seconds = sum(number * _seconds_of(kind, subject) for kind, number in times.items())
    return seconds, sum(number * PRODUCTS * 2 * math.prod(kind) for kind, number in times.items())


def _seconds_of(kind: tuple[int, int, int], subject: Subject) -> float:
    """Return the seconds of the three products of one linear map, the median of a few tries."""
    rows, width, out = kind
    precision = torch.bfloat16 if precision_of(subject.params) == "bf16" else torch.float32
    x, weight, gradient = (torch.randn(*shape, device=subject.device, dtype=precision) for shape in ((rows, width), (out, width), (rows, out)))
    bias = torch.zeros(out, device=subject.device, dtype=precision)

    def products():
        return F.linear(x, weight, bias), gradient @ weight, gradient.T @ x

    many = AT_ONCE if subject.device.type == "cuda" else 1

    def repeated():
        for _ in range(many):
            products()

    tries = [stopwatch(repeated, subject.device)[0] / many for _ in range(TRIES)]
    return statistics.median(tries[DISCARDED:])
