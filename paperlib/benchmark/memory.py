"""Measure the memory that one unit takes both ways."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch

from paperlib.benchmark import plain_study, unit
from paperlib.benchmark.session import Session
from paperlib.benchmark.subject import PLAIN_THREADS, SHORT_BATCHES, Subject
from paperlib.benchmark.table import Row, row
from paperlib.common import hardware
from paperlib.model import memory
from paperlib.params import Params

NOTE = "largest resident memory of a process that loads, fine-tunes, evaluates, measures and ablates"


def rows(session: Session) -> list[Row]:
    """Measure each way in a process of its own."""
    session.say("memory of a unit")
    found = {who: _in_a_child(session.subject, who) for who in ("ours", "plain")}
    main, gpu = ({who: [values[i]] for who, values in found.items()} for i in (0, 1))
    of_gpu = [row("memory", "memory of the GPU, as allocated", **gpu, unit="GB", note="one model at a time")]
    return [row("memory", "memory of one process", **main, unit="GB", note=NOTE), *of_gpu * any(gpu["ours"])]


def peak_gb(params_json: str, shapes: str, who: str) -> tuple[float, float]:
    """Run a short unit; return this process's largest memory in GB (1e9 bytes), and the GPU's (0 without one)."""
    subject = Subject(Params.model_validate_json(params_json), shapes)
    act, model_of = (unit.act, subject.ours) if who == "ours" else (unit.act_plainly, subject.plain)
    torch.set_num_threads(1 if who == "ours" else PLAIN_THREADS)
    for what in unit.ACTIVITIES:
        if (who, what) != ("plain", "signals"):
            act(subject, what, model_of(subject.layers))
            continue
        for family in plain_study.FAMILIES.keys() - {plain_study.task_relevance}:  # minutes, and next to no memory
            family(model_of(subject.layers), subject.signal_batches["plain"], subject.params)
    return hardware.peak_memory_gb(), torch.cuda.max_memory_allocated() / 1e9 if subject.device.type == "cuda" else 0.0


def _in_a_child(subject: Subject, who: str) -> tuple[float, float]:
    """Measure in a fork of a small server: a process started by this one would begin with this one's peak."""
    short = subject.few(SHORT_BATCHES).model_dump_json()
    memory.give_back()  # what other parts have left, which the child needs
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as pool:
        return pool.submit(peak_gb, short, subject.shapes, who).result()
