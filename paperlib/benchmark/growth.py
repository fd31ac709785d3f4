"""Time how the cost grows: with the layers, with the training examples; and count how it grows with the strategies."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from paperlib.benchmark import plain_study, unit, walks
from paperlib.benchmark.session import Job, Session
from paperlib.benchmark.subject import PLAIN_THREADS, Subject
from paperlib.benchmark.table import Row, count, row
from paperlib.benchmark.timing import Prepare, on, side_by_side
from paperlib.data import subsets
from paperlib.model import training
from paperlib.params import Params

MOST_POINTS = 8  # numbers of layers at which a fine-tune is timed
SHUFFLES = 20  # of the strategies, when the first k of them are counted


def jobs(session: Session) -> list[Job]:
    """List what there is to time and count."""
    subject, listed = session.subject, []
    for left in points(subject.layers, MOST_POINTS, least=0):
        estimate = (
            2
            * session.repeats
            * session.training_seconds(left, subject.short.train_size * subject.short.epochs)
        )
        listed.append(Job(f"growth: {count(left, 'layer')}", estimate, partial(_layers, session, left)))
    for what, least in (
        ("evaluate", 0),
        ("signals", 2),
        ("ablate", 2),
    ):  # they are measured while two layers are left
        for left in points(subject.layers, 3, least)[:-1]:  # the last is the unit's own
            estimate = 2 * _repeats(session, what) * unit.estimated(session, what, left)
            listed.append(
                Job(
                    f"growth: {what}, {count(left, 'layer')}",
                    estimate,
                    partial(_activity, session, what, left),
                )
            )
    for size in sizes(subject.params):
        estimate = (
            2 * session.repeats * session.training_seconds(subject.layers, size * subject.params.epochs)
        )
        listed.append(Job(f"growth: {size} examples", estimate, partial(_size, session, size)))
    return [*listed, Job("growth: strategies", 0.0, lambda passed: _strategies(subject))]


def points(layers: int, most: int, least: int) -> list[int]:
    """Return at most about `most` numbers of layers, evenly spread from `least` to all of them."""
    wanted = min(most, layers - least + 1)
    return sorted(
        {round(value) for value in np.linspace(min(least, layers), layers, max(wanted, 1))} | {layers}
    )


def sizes(params: Params) -> list[int]:
    """Return the smaller training sizes to try: a quarter and a half."""
    return sorted({params.train_size // part for part in (4, 2)} - {0, 1})


def _layers(session: Session, left: int, passed: Callable[[float], None]) -> list[Row]:
    subject, params = session.subject, session.subject.short
    timed = side_by_side(fine_tunes(subject, params, left), session.repeats, subject.device, passed)
    steps = params.epochs * math.ceil(params.train_size / params.batch_size)
    for who in timed.seconds:
        session.costs.note(who, "short fine-tune", left, timed.median(who))
    seconds = {who: [each / steps for each in values] for who, values in timed.seconds.items()}
    setting = f"{count(left, 'layer')}, {params.train_size} examples"
    return [
        row(
            "growth",
            "one step of a fine-tune",
            setting,
            **seconds,
            note="a fine-tune's time divided by its steps",
        )
    ]


def _activity(session: Session, what: str, left: int, passed: Callable[[float], None]) -> list[Row]:
    variants = unit.variants_of(session.subject, what, left)
    timed = side_by_side(variants, _repeats(session, what), session.subject.device, passed)
    unit.note_costs(session.costs, what, left, timed)
    return [row("growth", what, count(left, "layer"), **timed.seconds)]


def _repeats(session: Session, what: str) -> int:
    """Return how often to time an activity: the plain version's signals take minutes, and vary little."""
    return 1 if what == "signals" else session.repeats


def _size(session: Session, size: int, passed: Callable[[float], None]) -> list[Row]:
    subject = session.subject
    variants = fine_tunes(subject, subject.resized(size), subject.layers)
    timed = side_by_side(variants, session.repeats, subject.device, passed)
    return [row("growth", "fine-tune", f"{count(subject.layers, 'layer')}, {size} examples", **timed.seconds)]


def fine_tunes(subject: Subject, params: Params, left: int) -> dict[str, Prepare]:
    """Return a fine-tune of a model with `left` layers both ways, one at a time, on the first training examples."""
    train = subsets.subset(subject.dataset.train, params.train_size)
    examples = subject.examples["train"].select(range(params.train_size))

    def ours():
        model = subject.ours(left)
        return on(1, lambda: training.fine_tune(model, train, params, subject.seed()))

    def plain():
        model = subject.plain(left)
        return on(PLAIN_THREADS, lambda: plain_study.fine_tune(model, examples, params, subject.seed()))

    return {"ours": ours, "plain": plain}


def _strategies(subject: Subject) -> list[Row]:
    """Count the fine-tunes of k strategies with and without shared nodes, k of them drawn at random."""
    paths, basis = walks.of(subject)
    every, rng, rows = list(paths), np.random.default_rng(subject.params.seed), []
    for k in sorted({1, 2, 5, 10, 20, 30, len(every)}):
        drawn = [[paths[every[i]] for i in rng.permutation(len(every))[:k]] for _ in range(SHUFFLES)]
        rows.append(
            row("growth", f"fine-tunes of {count(k, 'walk')}", basis, ours=[walks.distinct(some) for some in drawn],
                plain=[walks.unshared(some) for some in drawn], unit="", basis="counted", repeats=SHUFFLES,
                note=f"{SHUFFLES} draws of {k} among {len(every)} walks" if k < len(every) else "all walks")
        )  # fmt: skip
    return rows
