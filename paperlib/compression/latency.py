"""Time forms of a model, one call of each in turn, so that what else the machine does meets all of them alike."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from paperlib.common import hardware
from paperlib.compression.export import Rows
from paperlib.compression.forms import Form

BATCHES = (1, 32)
BUDGET_SECONDS = 15.0  # for one batch size and number of threads: as many rounds as it takes
FEWEST, MOST = 3, 200  # rounds, one call of every form; a round before them warms up


def settings() -> list[tuple[int, int]]:
    """Return the (batch, threads) that are timed: one thread, and all cores where there are several."""
    return [(batch, threads) for threads in sorted({1, hardware.cores()}) for batch in BATCHES]


def columns(batch: int, threads: int) -> list[str]:
    """Name the columns of a setting: the median and the 95th percentile in milliseconds."""
    return [f"batch{batch}_threads{threads}_{p}_ms" for p in ("p50", "p95")]


def measure(forms: list[Form], rows_of: Callable[[Path], Rows], which: list[tuple[int, int]] | None = None) -> pd.DataFrame:
    """Return milliseconds for a batch of texts of full length: index as `forms`, columns as `columns` names them.

    `rows_of` numbers the texts as the tokeniser in a form's folder does.
    """
    table, before = {}, torch.get_num_threads()
    try:
        for threads in sorted({threads for _, threads in which or settings()}):
            torch.set_num_threads(threads)
            runners = [form.runner(threads) for form in forms]
            for batch in [batch for batch, n in which or settings() if n == threads]:
                rows = [{name: np.resize(values, (batch, values.shape[1])) for name, values in rows_of(form.folder).items()} for form in forms]
                seconds = _interleaved(runners, rows)
                for name, percentile in zip(columns(batch, threads), (50, 95)):
                    table[name] = 1000 * np.percentile(seconds, percentile, axis=0)
    finally:
        torch.set_num_threads(before)
    return pd.DataFrame(table)


def _interleaved(runners: list[Callable], rows: list[Rows]) -> np.ndarray:
    """Return seconds (rounds, runners)."""
    rounds, started = [], time.perf_counter()
    while len(rounds) <= FEWEST or (len(rounds) <= MOST and time.perf_counter() - started < BUDGET_SECONDS):
        rounds.append([_seconds(run, own) for run, own in zip(runners, rows)])
    return np.array(rounds[1:])


def _seconds(run: Callable, rows: Rows) -> float:
    begun = time.perf_counter()
    run(rows)
    return time.perf_counter() - begun
