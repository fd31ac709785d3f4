"""Time what a person waits for: the first result, the whole, and a re-run that finds everything fresh."""

import subprocess
import sys
import tempfile

import torch

from paperlib import params
from paperlib.benchmark import stored
from paperlib.benchmark.session import Job, Session
from paperlib.benchmark.stored import Run
from paperlib.benchmark.table import Row, row
from paperlib.benchmark.timing import stopwatch
from paperlib.common.places import ROOT
from paperlib.evidence import provenance
from paperlib.nodes import parallel
from paperlib.params import Params

SMOKE_SECONDS, RERUN_SECONDS = 150, 5  # for the bar


def jobs(session: Session, settings: str) -> list[Job]:
    """List what there is to time: the finished study of these parameters, or a smoke study in a temporary folder."""
    own = session.subject.params
    if not session.subject.shapes and stored.run_of(own):
        seconds = RERUN_SECONDS * session.repeats
        return [
            Job(
                "start: fresh re-run",
                seconds,
                lambda passed: rows(own, settings, session.repeats, "finished study"),
            )
        ]
    return [Job("start: smoke study", SMOKE_SECONDS, lambda passed: _smoke(own, session.repeats))]


def rows(own: Params, settings: str, repeats: int, setting: str) -> list[Row]:
    """Return the rows of a study that is finished."""
    listed = [row("start", *about, setting, ours=[value], unit=unit, basis="stored", note=note)
              for *about, value, unit, note in _waits(stored.run_of(own), own)]  # fmt: skip
    if _paperlib("check", own, settings).returncode:
        return [
            *listed,
            Row("start", "fresh re-run", setting, basis="skipped", note="figures or report are not fresh"),
        ]
    return [*listed, row("start", "fresh re-run", setting, ours=_timed_reruns(own, settings, repeats))]


def _waits(run: Run, own: Params) -> list[tuple]:
    """Return (what, value, unit, note) of what a study's own records tell."""
    workers = parallel.workers_of(own)
    outside = 1 - run.training / (workers * run.seconds)
    return [
        ("time to first result", run.first_result, "s", "until the first notebook was executed and written"),
        ("the whole study", run.seconds, "s", "notebooks, drawing and distillation included; the report is not"),
        ("share of wall time outside training", outside, "",
         f"1 - seconds of all fine-tunes / ({workers} at a time x wall time): measuring, kernels, drawing, waiting"),
    ]  # fmt: skip


def _timed_reruns(own: Params, settings: str, repeats: int) -> list[float]:
    return [
        stopwatch(lambda: _paperlib("reproduce", own, settings), torch.device("cpu"))[0]
        for _ in range(repeats)
    ]


def _smoke(own: Params, repeats: int) -> list[Row]:
    """Run the smoke study where nobody else looks, and return its rows."""
    with tempfile.TemporaryDirectory() as folder:
        settings = f"output_dir={folder}/out cache_dir={folder}/cache device={own.device}"
        smoke = params.load("smoke", settings=settings)
        done = _paperlib("reproduce", smoke, settings)
        if done.returncode or not stored.run_of(smoke):
            said = provenance.scrub(" ".join((done.stderr or "it was not finished").split())[-160:])
            return [Row("start", "smoke study", basis="skipped", note=f"could not be run here: {said}")]
        return rows(smoke, settings, repeats, "smoke study, temporary folder")


def _paperlib(command: str, own: Params, settings: str) -> subprocess.CompletedProcess:
    words = ["--profile", own.profile, "--datasets", own.dataset, "--seeds", str(own.seed), "--set", settings]
    return subprocess.run(
        [sys.executable, "-m", "paperlib", command, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
