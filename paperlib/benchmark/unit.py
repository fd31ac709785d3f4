"""Time the unit both ways: fine-tune, evaluate, measure signals, ablate; one at a time, and the machine full."""

import os
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from paperlib import ablation, signals
from paperlib.benchmark import plain_study
from paperlib.benchmark.session import Prepare, Session, on, side_by_side, stopwatch
from paperlib.benchmark.subject import PLAIN_THREADS, Subject, subject_of
from paperlib.benchmark.table import Row, row
from paperlib.common.messages import count
from paperlib.data import subsets
from paperlib.model import training
from paperlib.model.device import forward_context
from paperlib.nodes import parallel

# Each with the least number of layers of a model at which a study does it: with one layer left there is no choice.
ACTIVITIES = {"fine-tune": 0, "evaluate": 0, "signals": 2, "ablate": 2}
FAMILY_NAMES = {family: family.__name__.replace("_", " ") for family in plain_study.FAMILIES}
ANOTHER_ESTIMATE = "Task-Relevance-MI"  # binned here, from nearest neighbours there
TRIES = 20  # until every worker has had a task


def rows(session: Session) -> list[Row]:
    """Time every activity with all layers, and with fewer, to know how its cost grows; then add up the whole unit."""
    listed = []
    for what, least in ACTIVITIES.items():
        for left in points(session.subject.layers, least):
            session.say(f"unit: {what}, {count(left, 'layer')}")
            listed += timed(session, what, left)
    return [*listed, *_whole(session)]


def warm_up(subject: Subject) -> None:
    """Run both ways once on very little, as the first use of a library is slow."""
    few = subject.few(1)
    train = subsets.subset(subject.dataset.train, few.train_size)
    on(1, lambda: training.fine_tune(subject.ours(subject.layers), train, few, seed=0))()
    examples = subject.examples["train"].select(range(few.train_size))
    plain_study.fine_tune(subject.plain(subject.layers), examples, few, seed=0)


def points(layers: int, least: int) -> list[int]:
    """Return the numbers of layers to time: all, half, and the least; costs are nearly linear in between."""
    return sorted({min(least, layers), max(min(least, layers), layers // 2), layers}, reverse=True)


def timed(session: Session, what: str, left: int) -> list[Row]:
    """Time one activity all ways, keep the medians for the whole study, and return its rows."""
    subject, costs = session.subject, session.costs
    repeats = session.repeats if left == subject.layers else 1  # the others only say how the cost grows
    seconds, results = side_by_side(variants_of(subject, what, left), repeats, subject.device)
    families = results["plain"][1] if what == "signals" else {}
    if "full" in seconds:
        seconds["full"] = [took / parallel.workers_of(subject.params) for took in seconds["full"]]
    for who, values in seconds.items():
        costs[who, what][left] = statistics.median(values)
    for family, took in families.items():
        costs["plain", family][left] = took
    setting = f"{count(left, 'layer')}, {_settings(subject)['ours']}"
    if left < subject.layers:
        return [row("unit", what, setting, **seconds)]
    full = seconds.pop("full", None)
    difference, note = differences(what, results["ours"], results["plain"])
    listed = [row("unit", what, setting, **seconds, difference=difference, note=note)]
    if full:
        listed.append(row("unit", what, _settings(subject)["full"], full, seconds["plain"], note="seconds for each"))
    return [*listed, *(row("unit", f"signals: {name}", plain=[took]) for name, took in families.items())]


def differences(what: str, ours: Any, plain: Any) -> tuple[float | None, str]:
    """Return how far apart both results are at one fine-tuned model, as timed, and say of what."""
    if what == "evaluate":
        return float((ours != plain).sum()), "difference: test examples classified otherwise"
    if what == "ablate":
        return float((ours - plain).abs().max()), "difference: largest of all accuracy drops"
    if what == "signals":
        expected = pd.DataFrame(plain[0], index=ours.index)[ours.columns]
        apart = ((ours - expected).abs() / expected.abs().clip(lower=np.finfo(float).tiny)).max().drop(ANOTHER_ESTIMATE)
        return float(apart.max()), f"difference: largest relative one of {len(apart)} signals ({apart.idxmax()})"
    return None, ""  # other batches and dropout are drawn: fine-tuned models need not agree


def _whole(session: Session) -> list[Row]:
    """Add the activities up."""
    subject, costs = session.subject, session.costs
    seconds = {who: [sum(costs[who, what][subject.layers] for what in ACTIVITIES)]
               for who in ("ours", "full", "plain") if (who, "fine-tune") in costs}  # fmt: skip
    return [row("unit", "the whole unit", setting, seconds[who], seconds["plain"])
            for who, setting in _settings(subject).items() if who in seconds]  # fmt: skip


def _settings(subject: Subject) -> dict[str, str]:
    threads = count(PLAIN_THREADS, "thread")
    alone = "both on the GPU" if subject.device.type == "cuda" else f"ours 1 thread, plain {threads}"
    full = f"machine full: ours {parallel.workers_of(subject.params)} at a time, 1 thread each; plain 1, {threads}"
    return {"ours": f"one at a time: {alone}", "full": full}


def variants_of(subject: Subject, what: str, left: int) -> dict[str, Prepare]:
    """Return the ways to run an activity, on the fine-tuned original model or on one with its first `left` layers."""
    fitted = left == subject.layers and what != "fine-tune"

    def ours():
        model = subject.fitted if fitted else subject.ours(left)
        return on(1, lambda: act(subject, what, model))

    def plain():
        model = subject.fitted_whole if fitted else subject.plain(left)
        return on(PLAIN_THREADS, lambda: act_plainly(subject, what, model))

    full = left == subject.layers and parallel.workers_of(subject.params) > 1
    return {"ours": ours, **({"full": lambda: _on_every_core(subject, what)} if full else {}), "plain": plain}


def act(subject: Subject, what: str, model) -> Any:
    """Run one activity of ours; return what it finds."""
    params, dataset = subject.params, subject.dataset
    if what == "fine-tune":
        return training.fine_tune(model, dataset.train, params, subject.seed())
    if what == "evaluate":
        return training.predict(model, dataset.test, params).argmax(-1).cpu().numpy()
    if what == "signals":
        return signals.measure(model, subject.signal_batches["ours"], params)
    with forward_context(params):
        return ablation.single_removals(model, dataset.test)["drop"]


def act_plainly(subject: Subject, what: str, model) -> Any:
    """Run one activity of the plain version; return what it finds, of signals also the seconds of each family."""
    params, examples = subject.params, subject.examples
    if what == "fine-tune":
        return plain_study.fine_tune(model, examples["train"], params, subject.seed())
    if what == "evaluate":
        return plain_study.predict(model, examples["test"], params).argmax(-1)
    if what == "ablate":
        return plain_study.accuracy_drops(model, examples["test"], params)
    columns, seconds, given = {}, {}, (model, subject.signal_batches["plain"], params)
    for family, name in FAMILY_NAMES.items():
        seconds[name], found = stopwatch(partial(family, *given), subject.device)
        columns |= found
    return columns, seconds


def _on_every_core(subject: Subject, what: str) -> Callable[[], Any]:
    """Have every worker load what it needs, then return the activity run once by each at the same time."""
    given, workers = (subject.params.model_dump_json(), subject.shapes), parallel.workers_of(subject.params)

    def spread(function: Callable, *more: Any) -> list:
        return list(parallel.run(function, [(*given, *more)] * workers, subject.params))

    for _ in range(TRIES):  # a quick worker may do the task of a slow one
        if len(set(spread(_ready))) == workers:
            break
    return lambda: spread(_act_here, what)


def _ready(params_json: str, shapes: str) -> int:
    """Load the subject and train a little, as the first time is slow; return which process that was."""
    warm_up(subject_of(params_json, shapes))
    return os.getpid()


def _act_here(params_json: str, shapes: str, what: str) -> None:
    subject = subject_of(params_json, shapes)
    model = subject.ours(subject.layers) if what == "fine-tune" else subject.cut
    on(1, lambda: act(subject, what, model))()
