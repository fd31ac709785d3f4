"""Time what the machine offers: precision, threads, a compiled layer."""

import os
import shutil
import time
from collections.abc import Callable

import torch
from torch import nn

from paperlib.benchmark import growth
from paperlib.benchmark.session import Job, Session
from paperlib.benchmark.subject import PLAIN_THREADS, Subject
from paperlib.benchmark.table import Row, count, row
from paperlib.benchmark.timing import Prepare, on, side_by_side
from paperlib.data import subsets
from paperlib.model import encoder, training
from paperlib.model.device import forward_context, precision_of
from paperlib.params import Params

PASSES = 10  # of one layer, forward and backward
COMPILE_SECONDS = 60  # for the bar


def jobs(session: Session) -> list[Job]:
    """List what there is to time."""
    subject, short = session.subject, session.subject.short
    once = session.training_seconds(subject.layers, short.train_size * short.epochs) * session.repeats
    counts = sorted({1, 2, PLAIN_THREADS}) if subject.device.type == "cpu" and PLAIN_THREADS > 1 else []
    return [
        Job(
            "hardware: precision",
            4 * once * _computes_in_bf16(subject),
            lambda passed: _precision(session, passed),
        ),
        Job("hardware: threads", once * len(counts), lambda passed: _threads(session, counts, passed)),
        Job("hardware: compiled layer", COMPILE_SECONDS, lambda passed: compiled_layer(subject)),
    ]


def _precision(session: Session, passed: Callable[[float], None]) -> list[Row]:
    subject, rows = session.subject, []
    if not _computes_in_bf16(subject):
        return [
            Row(
                "hardware",
                "fine-tune in bf16",
                basis="skipped",
                note="this processor does not compute in bf16",
            )
        ]
    for precision in ("fp32", "bf16"):
        params = subject.short.replace(precision=precision)
        variants = growth.fine_tunes(subject, params, subject.layers)
        timed = side_by_side(variants, session.repeats, subject.device, lambda share: passed(share / 2))
        session.costs.note(f"plain {precision}", "fine-tune", subject.layers, timed.median("plain"))
        rows.append(row("hardware", f"fine-tune in {precision}", _size(params), **timed.seconds))
    return rows


def _threads(session: Session, counts: list[int], passed: Callable[[float], None]) -> list[Row]:
    """Time our short fine-tune on 1, 2 and all threads."""
    subject, params = session.subject, session.subject.short
    if not counts:
        return []
    train = subsets.subset(subject.dataset.train, params.train_size)

    def on_threads(n: int) -> Prepare:
        def prepare():
            model = subject.ours(subject.layers)
            return on(n, lambda: training.fine_tune(model, train, params, subject.seed()))

        return prepare

    timed = side_by_side({str(n): on_threads(n) for n in counts}, session.repeats, subject.device, passed)
    return [
        row("hardware", f"fine-tune on {count(n, 'thread')}", _size(params), ours=timed.seconds[str(n)])
        for n in counts
    ]


def compiled_layer(subject: Subject) -> list[Row]:
    """Time one layer, forward and backward on one batch, as it is and compiled, and the compiling itself."""
    what = "one layer, forward and backward"
    if subject.device.type == "cpu" and not (
        os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    ):
        return [Row("hardware", f"{what}, compiled", basis="skipped", note="no C++ compiler")]
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # or a second run would find the first one's code
    layer = encoder.layers(subject.ours(subject.layers))[0].train()
    shape = (subject.params.batch_size, subject.params.max_tokens, subject.whole.config.hidden_size)
    states = torch.randn(shape, device=subject.device)
    as_it_is, compiled = _passes(subject, layer, states), _passes(subject, torch.compile(layer), states)
    on(1, as_it_is)()
    started = time.perf_counter()
    try:
        on(1, compiled)()
    except (RuntimeError, OSError) as error:  # whatever the compiler or its headers lack
        said = " ".join(str(error).split())[:100]
        return [Row("hardware", f"{what}, compiled", basis="skipped", note=f"{type(error).__name__}: {said}")]
    first = time.perf_counter() - started
    timed = side_by_side(
        {"as is": lambda: on(1, as_it_is), "compiled": lambda: on(1, compiled)}, PASSES, subject.device
    )
    saved = timed.median("as is") - timed.median("compiled")
    paid = f"pays after {first / saved:.0f} passes of a layer" if saved > 0 else "never pays"
    setting = f"{shape[0]} x {shape[1]} tokens, {precision_of(subject.params)}" + ", 1 thread" * (
        subject.device.type == "cpu"
    )
    return [
        row("hardware", what, setting, ours=timed.seconds["as is"]),
        row("hardware", f"{what}, compiled", setting, ours=timed.seconds["compiled"], note=paid),
        row("hardware", "compiling it", setting, ours=[first]),
    ]


def _passes(subject: Subject, layer: nn.Module, states: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        with forward_context(subject.params):
            out = layer(states)
        (out[0] if isinstance(out, tuple) else out).float().square().mean().backward()
        layer.zero_grad()

    return run


def _computes_in_bf16(subject: Subject) -> bool:
    return precision_of(subject.params.replace(precision="auto")) == "bf16"


def _size(params: Params) -> str:
    return f"{params.train_size} examples, {count(params.epochs, 'epoch')}"
