"""Measure the memory that one unit takes both ways, and state the disk that a study takes."""

import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from paperlib.benchmark import plain_study, stored, unit
from paperlib.benchmark.session import Job, Session
from paperlib.benchmark.subject import Subject
from paperlib.benchmark.table import Row, row
from paperlib.common import hardware
from paperlib.model import encoder
from paperlib.nodes.node import size_gb
from paperlib.params import Params

CHILD_SECONDS = 40  # to start, load and run one short unit: for the bar


def jobs(session: Session) -> list[Job]:
    """List what there is to measure."""
    return [Job("memory of a unit", 2 * CHILD_SECONDS, lambda passed: _peaks(session.subject)),
            Job("disk of a study", 0.0, lambda passed: _disk(session.subject))]  # fmt: skip


def peak_gb(params_json: str, shapes: str, who: str) -> tuple[float, float]:
    """Run a short unit; return this process's largest memory in GB (1e9 bytes), and the GPU's (0 without one)."""
    subject = Subject(Params.model_validate_json(params_json), shapes)
    short = Subject(subject.short, shapes)
    act, model_of = (unit.act, short.ours) if who == "ours" else (unit.act_plainly, short.plain)
    torch.set_num_threads(1 if who == "ours" else unit.PLAIN_THREADS)
    for what in unit.ACTIVITIES:
        if (who, what) == ("plain", "signals"):
            _most_signals(short)
        else:
            act(short, what, model_of(short.layers))
    on_gpu = torch.cuda.max_memory_allocated() / 1e9 if short.device.type == "cuda" else 0.0
    return _own_peak_gb(), on_gpu


def _most_signals(subject: Subject) -> None:
    """Run the plain version's signals, but for the mutual information: it takes minutes and next to no memory."""
    model = subject.plain(subject.layers)
    for family in plain_study.FAMILIES:
        if family is not plain_study.task_relevance:
            family(model, subject.signal_examples, subject.params)


def _peaks(subject: Subject) -> list[Row]:
    """Measure each way in a process of its own."""
    found = {who: _in_a_child(subject, who) for who in ("ours", "plain")}
    note = "largest resident memory of a process that loads, fine-tunes, evaluates, measures and ablates"
    main, gpu = ({who: [values[i]] for who, values in found.items()} for i in (0, 1))
    listed = [row("memory", "memory of one process", **main, unit="GB", note=note)]
    if any(gpu["ours"]):
        listed.append(
            row("memory", "memory of the GPU, as allocated", **gpu, unit="GB", note="one model at a time")
        )
    return listed


def _in_a_child(subject: Subject, who: str) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_gb, subject.params.model_dump_json(), subject.shapes, who).result()


def _own_peak_gb() -> float:
    """Return this process's own peak: Linux's getrusage counts what its parent held when it was started."""
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    return int(found.group(1)) * 1024 / 1e9 if found else hardware.peak_memory_gb()


def _disk(subject: Subject) -> list[Row]:
    params, weights = subject.params, size_gb(encoder.count_parameters(subject.cut))
    saved = size_gb(sum(tensor.numel() for tensor in subject.cut.state_dict().values()))
    listed = [
        row("disk", "weights of one node", ours=[saved], plain=[weights], unit="GB", basis="counted",
            note="ours saves the rows of the embedding table in use"),
        row("disk", "weights kept at most", ours=[params.cache_gb], unit="GB", basis="bounded",
            note="cache_gb; beyond it the deepest are deleted, and rebuilt if wanted; gone when the study is finished"),
    ]  # fmt: skip
    if not subject.shapes and (run := stored.run_of(params)):
        listed += [
            row("memory", "largest process of the finished study", ours=[run.peak_memory_gb], unit="GB", basis="stored"),
            row("disk", "outputs of the finished study", ours=[stored.size_gb(params.unit_dir)], unit="GB", basis="measured",
                note=f"of it the student, a model for later use: {stored.size_gb(params.unit_dir / 'student'):.3g} GB"),
        ]  # fmt: skip
    return listed
