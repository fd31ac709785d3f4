"""Time the study's unit both ways: fine-tune, evaluate, measure signals, ablate; one at a time, and the machine full."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from paperlib import ablation, signals
from paperlib.benchmark import differences, plain_study
from paperlib.benchmark.session import FORWARD, Job, Session
from paperlib.benchmark.subject import PLAIN_THREADS, Subject, subject_of
from paperlib.benchmark.table import Row, count, row
from paperlib.benchmark.timing import Prepare, Timed, on, side_by_side, stopwatch
from paperlib.data import subsets
from paperlib.model import training
from paperlib.model.device import forward_context
from paperlib.nodes import parallel
from paperlib.params import Params

ACTIVITIES = ("fine-tune", "evaluate", "signals", "ablate")
FAMILY_NAMES = {family: family.__name__ for family in plain_study.FAMILIES}
NEIGHBOURS_SECONDS = 0.03  # of the plain version's mutual information, a feature: for the bar
START_SECONDS = 120  # to wait for the other workers to start


def jobs(session: Session) -> list[Job]:
    """List what there is to time."""
    subject, times = session.subject, Times(session)
    whole = session.training_seconds(subject.layers, subject.params.train_size * subject.params.epochs)
    listed = [Job("one fine-tune, to be measured", whole, lambda passed: _fit(subject))]
    variants = len(who_runs(subject))
    for what in ACTIVITIES:
        estimate = estimated(session, what, subject.layers) * session.repeats * variants
        listed.append(Job(f"unit: {what}", estimate, partial(times.time, what)))
    return [*listed, Job("unit: the whole", 0.0, lambda passed: times.whole())]


def _fit(subject: Subject) -> list[Row]:
    """Have the model fine-tuned that is then measured both ways."""
    assert subject.fitted_whole is not None  # loads it, and `fitted`, of which it is made
    return []


class Times:
    """Times the activities at the original model, one by one, and keeps what they found and how long they took."""

    def __init__(self, session: Session):
        self.session, self.timed = session, {}

    def time(self, what: str, passed: Callable[[float], None]) -> list[Row]:
        """Time one activity all ways."""
        subject, costs = self.session.subject, self.session.costs
        timed = side_by_side(variants_of(subject, what), self.session.repeats, subject.device, passed)
        if "full" in timed.seconds:
            timed.seconds["full"] = [seconds / workers_of(subject) for seconds in timed.seconds["full"]]
        self.timed[what] = timed
        note_costs(costs, what, subject.layers, timed)
        rows = self._rows(what, timed.seconds)
        return [*rows, *_families(timed)] if what == "signals" else rows

    def whole(self) -> list[Row]:
        """Add the activities up, repeat by repeat."""
        seconds = {
            who: [sum(parts) for parts in zip(*(timed.seconds[who] for timed in self.timed.values()))]
            for who in who_runs(self.session.subject)
        }
        found = {what: timed.results for what, timed in self.timed.items()}
        return [*self._rows("the whole unit", seconds), *differences.rows(self.session.subject, found)]

    def _rows(self, what: str, seconds: dict[str, list[float]]) -> list[Row]:
        subject = self.session.subject
        rows = [row("unit", what, alone(subject), ours=seconds["ours"], plain=seconds["plain"])]
        if "full" in seconds:
            setting = f"machine full: ours {workers_of(subject)} at a time, 1 thread each; plain 1 at a time, {plain_threads()}"
            rows.append(
                row(
                    "unit",
                    what,
                    setting,
                    ours=seconds["full"],
                    plain=seconds["plain"],
                    note="seconds for each",
                )
            )
        return rows


def _families(timed: Timed) -> list[Row]:
    """Show what each family of signals costs the plain version, at the last repeat; ours measures them together."""
    seconds = timed.results["plain"][1]
    return [row("unit", f"signals: {name.replace('_', ' ')}", plain=[each]) for name, each in seconds.items()]


def who_runs(subject: Subject) -> list[str]:
    """List the ways to run an activity: ours alone, ours on every core at once, plain."""
    return ["ours", "full", "plain"] if workers_of(subject) > 1 else ["ours", "plain"]


def workers_of(subject: Subject) -> int:
    """Return how many fine-tunes the study runs at a time."""
    return parallel.workers_of(subject.params)


def alone(subject: Subject) -> str:
    """Say where both ways run when each has the machine to itself."""
    where = "both on the GPU" if subject.device.type == "cuda" else f"ours 1 thread, plain {plain_threads()}"
    return f"one at a time: {where}"


def plain_threads() -> str:
    """Say how many threads the plain version has."""
    return count(PLAIN_THREADS, "thread")


def estimated(session: Session, what: str, layers: int) -> float:
    """Guess the seconds of an activity, for the bar."""
    p = session.subject.params
    examples = {
        "fine-tune": p.train_size * p.epochs,
        "evaluate": FORWARD * p.test_size,
        "signals": 5 * p.signal_size,
        "ablate": FORWARD * layers * p.test_size,
    }
    seconds = session.training_seconds(layers, examples[what])
    features = layers * session.subject.whole.config.hidden_size if what == "signals" else 0
    return seconds + features * NEIGHBOURS_SECONDS / 2  # half of the variants are the plain version


def note_costs(costs, what: str, layers: int, timed: Timed) -> None:
    """Keep the medians for the whole study; of the plain version's signals each family's own."""
    for who in timed.seconds:
        costs.note(who, what, layers, timed.median(who))
    if what == "signals":
        for family, seconds in timed.results["plain"][1].items():
            costs.note("plain", family, layers, seconds)


def variants_of(subject: Subject, what: str, left: int | None = None) -> dict[str, Prepare]:
    """Return the ways to run an activity, on the fine-tuned original model or on one with its first `left` layers."""
    left = subject.layers if left is None else left
    original = left == subject.layers

    def ours():
        model = subject.fitted if original and what != "fine-tune" else subject.ours(left)
        return on(1, lambda: act(subject, what, model))

    def plain():
        model = subject.fitted_whole if original and what != "fine-tune" else subject.plain(left)
        return on(PLAIN_THREADS, lambda: act_plainly(subject, what, model))

    variants: dict[str, Prepare] = {"ours": ours, "plain": plain}
    if original and workers_of(subject) > 1:
        variants = {"ours": ours, "full": lambda: _on_every_core(subject, what), "plain": plain}
    return variants


def act(subject: Subject, what: str, model) -> Any:
    """Run one activity of ours; return what it finds."""
    params, dataset = subject.params, subject.dataset
    if what == "fine-tune":
        training.fine_tune(model, dataset.train, params, subject.seed())
        return model
    if what == "evaluate":
        return training.predict(model, dataset.test, params).argmax(-1).cpu().numpy()
    if what == "signals":
        return signals.measure(model, subject.signal_batch, params)
    with forward_context(params):
        return ablation.single_removals(model, dataset.test)["drop"]


def act_plainly(subject: Subject, what: str, model) -> Any:
    """Run one activity of the plain version; return what it finds, of signals also the seconds of each family."""
    params, examples = subject.params, subject.examples
    if what == "fine-tune":
        return plain_study.fine_tune(model, examples["train"], params, subject.seed())
    if what == "evaluate":
        return plain_study.predict(model, examples["test"], params).argmax(-1)
    if what == "signals":
        return _plain_signals(subject, model)
    return plain_study.accuracy_drops(model, examples["test"], params)


def _plain_signals(subject: Subject, model) -> tuple[dict[str, list[float]], dict[str, float]]:
    given, columns, seconds = (model, subject.signal_examples, subject.params), {}, {}
    for family, name in FAMILY_NAMES.items():
        seconds[name], found = stopwatch(partial(family, *given), subject.device)
        columns |= found
    return columns, seconds


def _on_every_core(subject: Subject, what: str) -> Callable[[], None]:
    """Make sure that every worker has loaded what it needs, and return the activity run once by each at the same time."""
    given = (subject.params.model_dump_json(), subject.shapes)
    with tempfile.TemporaryDirectory() as folder:
        _spread(
            _ready,
            [(*given, folder, i, workers_of(subject)) for i in range(workers_of(subject))],
            subject.params,
        )
    return lambda: _spread(_act_here, [(*given, what)] * workers_of(subject), subject.params)


def _spread(function: Callable, arguments: list[tuple], params: Params) -> None:
    list(parallel.run(function, arguments, params))


def _ready(params_json: str, shapes: str, folder: str, number: int, workers: int) -> None:
    """Load the subject, then wait for the others: otherwise a quick worker would do the task of a slow one."""
    subject = subject_of(params_json, shapes)
    few = subject.resized(subject.params.batch_size, epochs=1)
    train = subsets.subset(subject.dataset.train, few.train_size)
    on(
        1, lambda: training.fine_tune(subject.ours(subject.layers), train, few, seed=0)
    )()  # the first one is slow
    Path(folder, str(number)).touch()
    until = time.monotonic() + START_SECONDS
    while len(list(Path(folder).iterdir())) < workers and time.monotonic() < until:
        time.sleep(0.01)


def _act_here(params_json: str, shapes: str, what: str) -> None:
    subject = subject_of(params_json, shapes)
    model = subject.ours(subject.layers) if what == "fine-tune" else subject.cut
    on(1, lambda: act(subject, what, model))()
