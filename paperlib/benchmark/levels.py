"""Time the models of one level of the tree trained as one batch of models, where a study trains them so: on a GPU."""

import torch

from paperlib.benchmark import study, unit
from paperlib.benchmark.session import Session, cost, side_by_side
from paperlib.benchmark.table import Row, row, skipped
from paperlib.common.errors import UserError, words_of
from paperlib.common.messages import count
from paperlib.model import memory, together
from paperlib.nodes.node import seed_of

WHAT = "fine-tune of a model, the models of a level together"
RECORDED = f"{WHAT}, steps recorded as a CUDA graph"
ONE_BY_ONE = "on a processor models are trained side by side, one per core, unless `together` says otherwise"


def rows(session: Session) -> list[Row]:
    """Time batches of models at a few depths, as many as a level of the study has and memory takes, split as there.

    Where steps can be recorded as a CUDA graph, on a GPU, both ways.
    """
    subject = session.subject
    if not together.is_on(subject.params):
        return [skipped("levels", WHAT, "", ONE_BY_ONE)]
    recordable = together.is_recorded(subject.params.model_copy(update={"cuda_graphs": True}))
    nodes = {node for path in study.walks(subject)[0].values() for node in study.nodes(path) if None not in node}
    listed = []
    for left in sorted({subject.layers, *unit.points(subject.layers - 1, 0)}):
        wanted = [node for node in nodes if study.layers_left(node, subject.layers) == left]
        if not wanted:  # no walk goes as far
            continue
        for recorded in [False, True] if recordable else [False]:
            params = subject.params.replace(cuda_graphs=recorded)
            most = memory.models_at_a_time(subject.cut, left, params, memory.free_bytes(subject.device))
            listed.append(level(session, left, len(together.split(wanted, most)[0]), recorded))
    return listed


def level(session: Session, left: int, models: int, recorded: bool = False) -> Row:
    """Time so many models with `left` layers trained together; a row that says why, where that fails."""
    from paperlib.model.batched_training import fine_tune_together  # only where it is used

    subject, costs = session.subject, session.costs
    params, what = subject.params.replace(cuda_graphs=recorded), RECORDED if recorded else WHAT
    setting = f"{count(models, 'model')} of {count(left, 'layer')}"
    session.say(f"levels: {setting}{', recorded' * recorded}")
    seeds = [seed_of(params.seed, params.dataset, (number,)) for number in range(models)]

    def prepare():
        untrained = [subject.ours(left) for _ in seeds]
        return lambda: fine_tune_together(untrained, subject.dataset.train, params, seeds)

    try:
        seconds, _ = side_by_side({"together": prepare}, session.repeats, subject.device)
    except (torch.OutOfMemoryError, UserError) as error:  # the estimate was wrong, or a step cannot be recorded
        return skipped("levels", what, setting, words_of(error))
    known = ("ours", "fine-tune") in costs
    note = f"{cost(costs, 'ours', 'fine-tune', left):.3g} s when trained one after another" if known else ""
    made = row("levels", what, setting, [each / models for each in seconds["together"]], note=note)
    if recorded == subject.params.cuda_graphs:  # the study's own way
        costs["together", "fine-tune"][left] = made["ours"]
    return made
