"""Time the models of one level of the tree trained as one batch of models, where a study trains them so: on a GPU."""

from collections.abc import Callable

import torch

from paperlib import data, memory, together
from paperlib.benchmark import growth, walks
from paperlib.benchmark.session import Job, Session
from paperlib.benchmark.table import Row, count, row
from paperlib.benchmark.timing import side_by_side
from paperlib.node import seed_of

WHAT = "fine-tune of a model, the models of a level together"


def jobs(session: Session) -> list[Job]:
    """List what there is to time: at a few depths, as many models as a level of the study has and memory takes."""
    subject, short = session.subject, session.subject.short
    if not together.is_on(subject.params):
        return [Job("levels", 0.0, lambda passed: [_one_by_one()])]
    paths, listed = walks.of(subject)[0].values(), []
    nodes = {node for path in paths for node in walks.nodes(path) if None not in node}
    for left in sorted({*growth.points(subject.layers - 1, 3, least=0), subject.layers}):
        wanted = sum(walks.left(node, subject.layers) == left for node in nodes)
        estimate = (
            session.training_seconds(left, short.train_size * short.epochs) * wanted * session.repeats / 2
        )
        listed.append(Job(f"levels: {count(left, 'layer')}", estimate, _timed(session, left, wanted)))
    return listed


def level(session: Session, left: int, models: int, passed: Callable[[float], None]) -> Row:
    """Time so many models with `left` layers trained together; where memory does not take them, half of them."""
    from paperlib.batched_training import fine_tune_together  # only where it is used

    subject, params = session.subject, session.subject.short
    train = data.subset(subject.dataset.train, params.train_size)
    seeds = [seed_of(params.seed, params.dataset, (number,)) for number in range(models)]

    def prepare():
        untrained = [subject.ours(left) for _ in seeds]
        return lambda: fine_tune_together(untrained, train, params, seeds)

    try:
        timed = side_by_side({"together": prepare}, session.repeats, subject.device, passed)
    except torch.OutOfMemoryError:
        if models == 1:
            return Row(
                "hardware", WHAT, f"{left} layers", basis="skipped", note="too little memory for one model"
            )
        torch.cuda.empty_cache()
        return level(session, left, -(-models // 2), passed)
    seconds = [each / models for each in timed.seconds["together"]]
    setting = f"{count(models, 'model')} of {count(left, 'layer')}, {params.train_size} examples, {count(params.epochs, 'epoch')}"
    made = row("hardware", WHAT, setting, ours=seconds, note=_gain(session, left, seconds))
    _note_cost(session, left, made.ours)
    return made


def _timed(session: Session, left: int, wanted: int) -> Callable[[Callable[[float], None]], list[Row]]:
    def run(passed: Callable[[float], None]) -> list[Row]:
        subject = session.subject
        most = memory.models_at_a_time(subject.cut, left, subject.params, memory.free_bytes(subject.device))
        groups = together.split(list(range(wanted)), most)  # as the study does
        return [level(session, left, len(groups[0]), passed)]

    return run


def _gain(session: Session, left: int, seconds: list[float]) -> str:
    if not session.costs.has("ours", "short fine-tune"):
        return ""
    alone = session.costs.of("ours", "short fine-tune", left)
    return f"{alone:.3g} s when trained one after another"


def _note_cost(session: Session, left: int, seconds: float) -> None:
    """Keep the cost of a whole fine-tune, if this was a shortened one."""
    costs, factor = session.costs, 1.0
    if session.subject.short != session.subject.params and costs.has("ours", "fine-tune"):
        factor = costs.of("ours", "fine-tune", left) / costs.of("ours", "short fine-tune", left)
    costs.note("together", "fine-tune", left, seconds * factor)


def _one_by_one() -> Row:
    note = "on a processor models are trained side by side, one per core, unless `together` says otherwise"
    return Row("hardware", WHAT, basis="skipped", note=note)
