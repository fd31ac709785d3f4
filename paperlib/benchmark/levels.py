"""Time the models of one level of the tree trained as one batch of models, where a study trains them so: on a GPU."""

from collections.abc import Callable

import torch

from paperlib.benchmark import growth, walks
from paperlib.benchmark.session import Job, Session
from paperlib.benchmark.table import Row, count, row
from paperlib.benchmark.timing import side_by_side
from paperlib.common.errors import UserError
from paperlib.data import subsets
from paperlib.model import memory, together
from paperlib.nodes.node import seed_of
from paperlib.params import Params

WHAT = "fine-tune of a model, the models of a level together"
RECORDED = f"{WHAT}, steps recorded as a CUDA graph"


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
        for recorded in _choices(subject.params):
            title = f"levels: {count(left, 'layer')}{', recorded' * recorded}"
            listed.append(Job(title, estimate, _timed(session, left, wanted, recorded)))
    return listed


def level(
    session: Session, left: int, models: int, passed: Callable[[float], None], recorded: bool = False
) -> Row:
    """Time so many models with `left` layers trained together; where memory does not take them, half of them."""
    from paperlib.model.batched_training import fine_tune_together  # only where it is used

    subject, params = session.subject, session.subject.short.replace(cuda_graphs=recorded)
    what = RECORDED if recorded else WHAT
    train = subsets.subset(subject.dataset.train, params.train_size)
    seeds = [seed_of(params.seed, params.dataset, (number,)) for number in range(models)]

    def prepare():
        untrained = [subject.ours(left) for _ in seeds]
        return lambda: fine_tune_together(untrained, train, params, seeds)

    try:
        timed = side_by_side({"together": prepare}, session.repeats, subject.device, passed)
    except torch.OutOfMemoryError:
        if models == 1:
            return Row(
                "hardware", what, f"{left} layers", basis="skipped", note="too little memory for one model"
            )
        torch.cuda.empty_cache()
        return level(session, left, -(-models // 2), passed, recorded)
    except UserError as error:
        if not recorded:
            raise
        return Row("hardware", what, f"{left} layers", basis="skipped", note=str(error))
    seconds = [each / models for each in timed.seconds["together"]]
    setting = f"{count(models, 'model')} of {count(left, 'layer')}, {params.train_size} examples, {count(params.epochs, 'epoch')}"
    made = row("hardware", what, setting, ours=seconds, note=_gain(session, left))
    if recorded == subject.params.cuda_graphs:  # the study's own way
        _note_cost(session, left, made.ours)
    return made


def _choices(params: Params) -> list[bool]:
    """Say with which settings of `cuda_graphs` to time: both on a GPU."""
    on_gpu = together.is_recorded(params.model_copy(update={"cuda_graphs": True}))
    return [False, True] if on_gpu else [False]


def _timed(
    session: Session, left: int, wanted: int, recorded: bool
) -> Callable[[Callable[[float], None]], list[Row]]:
    def run(passed: Callable[[float], None]) -> list[Row]:
        subject = session.subject
        params = subject.params.replace(cuda_graphs=recorded)
        most = memory.models_at_a_time(subject.cut, left, params, memory.free_bytes(subject.device))
        groups = together.split(list(range(wanted)), most)  # as the study does
        return [level(session, left, len(groups[0]), passed, recorded)]

    return run


def _gain(session: Session, left: int) -> str:
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
