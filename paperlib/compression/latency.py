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
from paperlib.model import memory

BATCHES = (1, 32)
BUDGET_SECONDS = 15.0  # for one batch size and number of threads: as many rounds as it takes
FEWEST, MOST = 3, 200  # rounds, one call of every form; a round before them warms up
LOADED = 2  # memory of a form in sizes of its file, while it is loaded: once as it is read, once as it is laid out


def settings() -> list[tuple[int, int]]:
    """Return the (batch, threads) that are timed: one thread, and all cores where there are several."""
    return [(batch, threads) for threads in sorted({1, hardware.cores()}) for batch in BATCHES]


def columns(batch: int, threads: int) -> list[str]:
    """Name the columns of a setting: the median and the 95th percentile in milliseconds."""
    return [f"batch{batch}_threads{threads}_{p}_ms" for p in ("p50", "p95")]


def groups(forms: list[Form]) -> list[list[Form]]:
    """Split forms, in their order, into groups that the free memory holds; one group where it holds all."""
    memory.give_back()
    room, found, taken = 1000 * hardware.free_memory_gb(), [[]], 0.0
    for form in forms:
        if found[-1] and taken + LOADED * form.megabytes > room:
            found, taken = [*found, []], 0.0
        found[-1].append(form)
        taken += LOADED * form.megabytes
    return found


def measure(parts: list[list[Form]], rows_of: Callable[[Path], Rows], which: list[tuple[int, int]] | None = None) -> pd.DataFrame:
    """Return milliseconds for a batch of texts of full length, a row for each form: columns as `columns` names them.

    The forms of a part, as `groups` makes them, take turns. `rows_of` numbers the texts as the tokeniser in a form's
    folder does.
    """
    which, before = which or settings(), torch.get_num_threads()
    tables = []
    try:
        for forms in parts:
            by_threads = [_timed(forms, rows_of, threads, which) for threads in sorted({threads for _, threads in which})]
            tables.append(pd.concat(by_threads, axis=1))
    finally:
        torch.set_num_threads(before)
    return pd.concat(tables, ignore_index=True)


def planned_seconds(parts: list[list[Form]], rows_of: Callable[[Path], Rows]) -> float:
    """Return how long `measure` will take in all settings at most, as one call of each form on one thread tells."""
    return sum(_planned(forms, rows_of) for forms in parts)


def _timed(forms: list[Form], rows_of: Callable[[Path], Rows], threads: int, which: list[tuple[int, int]]) -> pd.DataFrame:
    """Time these forms with so many threads; they are in memory until it returns, and no longer."""
    torch.set_num_threads(threads)
    runners, table = [form.runner(threads) for form in forms], {}
    for batch in [batch for batch, n in which if n == threads]:
        seconds = _interleaved(runners, _batches(forms, rows_of, batch))
        for name, percentile in zip(columns(batch, threads), (50, 95)):
            table[name] = 1000 * np.percentile(seconds, percentile, axis=0)
    return pd.DataFrame(table)


def _planned(forms: list[Form], rows_of: Callable[[Path], Rows]) -> float:
    runners = [form.runner() for form in forms]
    rounds = {batch: sum(map(_seconds, runners, _batches(forms, rows_of, batch))) for batch in BATCHES}
    return sum(max((FEWEST + 1) * rounds[batch], min(MOST * rounds[batch], BUDGET_SECONDS)) for batch, _ in settings())


def _batches(forms: list[Form], rows_of: Callable[[Path], Rows], size: int) -> list[Rows]:
    """Return a batch for each form; texts are repeated where there are too few."""
    return [{name: np.resize(values, (size, values.shape[1])) for name, values in rows_of(form.folder).items()} for form in forms]


def _interleaved(runners: list[Callable], rows: list[Rows]) -> np.ndarray:
    """Return seconds (rounds, runners)."""
    rounds, started = [], time.perf_counter()
    while len(rounds) <= FEWEST or (len(rounds) <= MOST and time.perf_counter() - started < BUDGET_SECONDS):
        rounds.append(list(map(_seconds, runners, rows)))
    return np.array(rounds[1:])


def _seconds(run: Callable, rows: Rows) -> float:
    begun = time.perf_counter()
    run(rows)
    return time.perf_counter() - begun
