"""`make bench`: time the study beside a plain version of it on this machine, and write one table with the ratios."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from paperlib.benchmark import growth, hardware, levels, memory, start, study, subject, subsets, table, unit
from paperlib.benchmark.bars import draw
from paperlib.benchmark.session import Job, Session
from paperlib.benchmark.subject import Subject
from paperlib.benchmark.table import Row
from paperlib.benchmark.timing import Bar
from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_text
from paperlib.common.messages import shown, unit_name
from paperlib.evidence import provenance
from paperlib.figures.drawing import save
from paperlib.params import Params

PARTS: dict[str, Callable[[Session, str], list[Job]]] = {
    "unit": lambda session, settings: unit.jobs(session),
    "growth": lambda session, settings: growth.jobs(session),
    "hardware": lambda session, settings: [*hardware.jobs(session), *levels.jobs(session)],
    "study": lambda session, settings: [Job("the whole study", 0.0, lambda passed: study.rows(session))],
    "subsets": lambda session, settings: subsets.jobs(session),
    "memory": lambda session, settings: memory.jobs(session),
    "start": lambda session, settings: start.jobs(session, settings),
}
TITLES = {
    "unit": "The unit of the study",
    "results": "Are the results the same?",
    "study": "The whole study of one dataset",
    "growth": "How the cost grows",
    "start": "What a person waits for",
    "subsets": "All subsets of layers",
    "hardware": "What the machine offers",
    "memory": "Memory",
    "disk": "Disk",
}
INTRODUCTION = """\
Two ways to do the same study on one machine, taken in turn: *ours*, and a *plain* version as most people would write it
(`paperlib/benchmark/plain_study.py`: Hugging Face's Trainer, a pass for each family of signals, one ablation at a time, nothing shared).
Medians of the repeats, with the least and the greatest value. *plain / ours* above 1: ours is the faster, or the smaller, so many times."""

BUSY = "**The machine was not idle when this began: a load of {load:.1f} on {cores} cores. Times and ratios are not to be trusted.**"


def main(
    params: Params, settings: str, repeats: int, shapes: str = "", parts: list[str] | None = None
) -> int:
    """Run the parts of the benchmark, print the table and write it; return the exit status 0.

    Raises UserError when the words are wrong, or the data, model or device are not to be had.
    """
    _check(repeats, shapes, parts)
    started, load = time.time(), os.getloadavg()[0]
    session = Session(Subject(params, shapes), repeats)
    print(f"bench: {unit_name(params.dataset, params.seed)}, {session.subject.name}; loading", flush=True)
    session.warm_up()
    rows = _run(session, settings, parts or list(PARTS))
    folder = params.profile_dir / (f"bench-{shapes}" if shapes else "bench")
    record = provenance.collect(
        params, wall_seconds=round(time.time() - started, 1), shapes=shapes, repeats=repeats, load_before=load
    )
    write(folder, table.frame(rows), params, record, session.subject.name)
    print(f"bench: {shown(folder / 'bench.md')}")
    return 0


def write(folder: Path, frame: pd.DataFrame, params: Params, record: dict, model: str) -> None:
    """Write bench.csv, bench.md, the figure and the provenance of a benchmark."""
    atomic_write_text(folder / "bench.csv", table.to_csv(frame))
    atomic_write_text(folder / "bench.md", page(frame, params, record, model))
    provenance.write(folder / "provenance.json", record)
    if frame["ratio"].notna().any():
        figure, text = draw(frame)
        save(figure, folder, "bench", text, provenance.banner(params), provenance.stamp(params))


def page(frame: pd.DataFrame, params: Params, record: dict, model: str) -> str:
    """Return the benchmark as a Markdown page: what was compared, the tables, and where the numbers are from."""
    source = "made up" if record["shapes"] else unit_name(params.dataset, params.seed)
    sizes = f"{params.train_size} training, {params.validation_size} validation and {params.test_size} test examples"
    steps = f"{table.count(params.epochs, 'epoch')} a round, batches of {params.batch_size}"
    about = f"Model: {model}. Data: {source}, {sizes} of {params.max_tokens} tokens; {steps}."
    lines = [f"- {name}: {model if name == 'Model' else value}" for name, value in provenance.summary(record)]
    opening = ["# Benchmark", *_warnings(params, record), INTRODUCTION, about]
    return "\n\n".join([*opening, table.to_markdown(frame, TITLES), "## Provenance", "\n".join(lines)]) + "\n"


def _warnings(params: Params, record: dict) -> list[str]:
    banner, load, cores = provenance.banner(params), record["load_before"], record["cores"]
    busy = BUSY.format(load=load, cores=cores) if load > cores / 2 else ""
    return [text for text in (banner and f"**{banner}**", busy) if text]


def _run(session: Session, settings: str, parts: list[str]) -> list[Row]:
    jobs = [job for name, listed in PARTS.items() if name in parts for job in listed(session, settings)]
    with Bar(sum(job.estimate for job in jobs)) as bar:
        return [row for job in jobs for row in _run_one(job, bar)]


def _run_one(job: Job, bar: Bar) -> list[Row]:
    reported = []

    def passed(share: float) -> None:
        reported.append(share)
        bar.advance(share * job.estimate)

    bar.show(job.title)
    rows = job.run(passed)
    bar.advance((1 - sum(reported)) * job.estimate)
    return rows


def _check(repeats: int, shapes: str, parts: list[str] | None) -> None:
    subject.check(shapes)
    if repeats < 1:
        raise UserError(f"command line: repeats must be at least 1, not {repeats}")
    unknown = [name for name in parts or [] if name not in PARTS]
    if unknown:
        raise UserError(f"command line: unknown part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    if parts and "study" in parts and not {"unit", "growth"} <= set(parts):
        raise UserError(
            "command line: the part study needs unit and growth, from whose times it is worked out"
        )
