"""`make bench`: time the study beside a plain version of it on this machine, and write one table with the ratios."""

import os
import time
from collections.abc import Callable

import pandas as pd

from paperlib.benchmark import levels, limit, memory, study, subsets, table, unit
from paperlib.benchmark.session import Session
from paperlib.benchmark.subject import SHAPES, Subject
from paperlib.benchmark.table import Row
from paperlib.common.errors import UserError
from paperlib.common.files import atomic_write_text
from paperlib.common.messages import shown, unit_name
from paperlib.evidence import provenance
from paperlib.nodes.fingerprint import resolved
from paperlib.params import Params

PARTS: dict[str, tuple[str, Callable[[Session], list[Row]]]] = {  # in this order: the study needs the times before it
    "unit": ("The unit of the study", unit.rows),
    "limit": ("The fine-tune and its matrix products", limit.rows),
    "levels": ("The models of a level together", levels.rows),
    "study": ("The whole study of one dataset", study.rows),
    "subsets": ("All subsets of layers", subsets.rows),
    "memory": ("Memory", memory.rows),
}
INTRODUCTION = """\
Two ways to do the same study on one machine, taken in turn: *ours*, and a *plain* version as most people would write it
(`paperlib/benchmark/plain_study.py`: Hugging Face's Trainer, a pass for each family of signals, one ablation at a time,
nothing shared).
Medians of the repeats, with the least and the greatest value. *plain / ours* above 1: ours is so many times as fast, or
as small. The plain version computes in float32 unless `precision=bf16` is set; then both compute in bf16."""

BUSY = "**The machine was not idle when this began: a load of {:.1f} on {} cores. Do not trust times and ratios.**"


def main(params: Params, repeats: int, shapes: str = "", parts: list[str] | None = None) -> int:
    """Time these parts, all by default, and write the table; return the exit status 0.

    Raises UserError when the words are wrong, or the data, model or device are not to be had.
    """
    _check(repeats, shapes, parts)
    started, load = time.time(), os.getloadavg()[0]
    session = Session(Subject(params, shapes), repeats)
    session.say(f"{unit_name(params.dataset, params.seed)}, {session.subject.name}; loading")
    unit.warm_up(session.subject)
    rows = [row for part, (_, timed) in PARTS.items() if part in (parts or PARTS) for row in timed(session)]
    folder = params.profile_dir / (f"bench-{shapes}" if shapes else "bench")
    seconds = round(time.time() - started, 1)
    record = provenance.collect(params, wall_seconds=seconds, shapes=shapes, repeats=repeats, load_before=load, computed=resolved(params))
    frame = pd.DataFrame(rows, columns=table.COLUMNS)
    atomic_write_text(folder / "bench.csv", frame.to_csv(index=False, lineterminator="\n"))
    atomic_write_text(folder / "bench.md", page(frame, params, record, session.subject.name))
    provenance.write(folder / "provenance.json", record)
    print(f"bench: {shown(folder / 'bench.md')}")
    return 0


def page(frame: pd.DataFrame, params: Params, record: dict, model: str) -> str:
    """Return the benchmark as a Markdown page: what was compared, the tables, and where the numbers are from."""
    banner, load, cores = provenance.banner(params), record["load_before"], record["cores"]
    warnings = [f"**{banner}**"] * bool(banner) + [BUSY.format(load, cores)] * (load > cores / 2)
    about = f"Examples: {params.train_size} training, {params.validation_size} validation, {params.test_size} test."
    tables = table.to_markdown(frame, {part: title for part, (title, _) in PARTS.items()})
    lines = [f"- {name}: {model if name == 'Model' else value}" for name, value in provenance.summary(record)]
    parts = ["# Benchmark", *warnings, INTRODUCTION, about, tables, "## Provenance", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _check(repeats: int, shapes: str, parts: list[str] | None) -> None:
    if shapes and shapes not in SHAPES:
        raise UserError(f"command line: unknown shapes {shapes!r}; there are: {', '.join(SHAPES)}")
    if repeats < 1:
        raise UserError(f"command line: repeats must be at least 1, not {repeats}")
    unknown = [name for name in parts or [] if name not in PARTS]
    if unknown:
        raise UserError(f"command line: unknown part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    if parts and "study" in parts and "unit" not in parts:
        raise UserError("command line: the part study needs unit, from whose times it is worked out")
