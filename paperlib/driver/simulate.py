"""Say on paper what more workers would bring: recorded seconds, scheduled greedily (`make plan WORKERS=64`)."""

import heapq
import statistics
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from paperlib.common.errors import UserError
from paperlib.common.messages import unit_name
from paperlib.common.places import REFERENCE, unit_folders
from paperlib.common.records import is_node, read_sealed
from paperlib.evidence.provenance import duration
from paperlib.nodes.node import Removed, layers_of, parse_label
from paperlib.params import Params

NOTEBOOK_SECONDS = 45  # starting kernels, drawing and the report, per unit

Spent = tuple[float, float, list[float]]  # on a model: seconds of its fine-tune, of measurements, of each share of what was shared out
Stages = list[list[float]]  # of a unit: seconds of tasks that need nothing of each other, stage after stage


@dataclass(frozen=True)
class Schedule:
    """What a number of workers would take: seconds, and the share of the workers' time in which they wait."""

    workers: int
    seconds: float
    waiting: float


def schedule(units: Sequence[Stages], workers: int) -> Schedule:
    """Schedule units as they come, one a worker at a time, and in each the longest tasks of a stage first.

    A stage begins when the one before has ended, as strategies choose the next level's models by what they see of this
    one. Tasks of all units share the workers, whichever is ready first.
    """
    waiting, ready, running = deque(units), deque(), []  # running: (end, number of the task, its unit)
    owned: list[deque[list[float]]] = []
    left: dict[int, int] = {}  # tasks of a unit's stage that have not ended
    now = busy = 0.0
    number = 0

    def enter(unit: int) -> None:
        stage = owned[unit].popleft()
        left[unit] = len(stage)
        ready.extend((seconds, unit) for seconds in sorted(stage, reverse=True))

    while waiting or running or ready:
        while waiting and len(left) < workers:
            owned.append(deque(stage for stage in waiting.popleft() if stage))
            enter(len(owned) - 1)
        while ready and len(running) < workers:
            seconds, unit = ready.popleft()
            busy, number = busy + seconds, number + 1
            heapq.heappush(running, (now + seconds, number, unit))
        now, _, unit = heapq.heappop(running)
        left[unit] -= 1
        if not left[unit]:
            del left[unit]
            if owned[unit]:
                enter(unit)
    return Schedule(workers, now, 1 - busy / (workers * now))


def stages_of(unit_dir: Path) -> Stages | None:
    """Read what a finished unit took: its notebooks and what was shared out, then the models of each level; None where nothing was recorded.

    Node records hold all seconds of a model, measurements too; where they were not kept, the table of steps holds those
    of its fine-tune. A fine-tune counts as the median of those with as many layers: a computer that slept, or was busy
    with something else, says nothing of another.
    """
    found = _of_records(unit_dir / "nodes") or _of_steps(unit_dir / "steps.csv")
    alike, levels, shared = defaultdict(list), defaultdict(list), []
    for removed, (fine_tune, *_) in found.items():
        alike[len(layers_of(removed))].append(fine_tune)
    for removed, (_, rest, shares) in found.items():
        levels[len(removed)].append(statistics.median(alike[len(layers_of(removed))]) + rest)
        shared += shares
    # What is shared out waits for the original, and level 1 for it: in its place, beside the notebooks, it takes as long.
    return [[float(NOTEBOOK_SECONDS), *shared], *(levels[depth] for depth in sorted(levels))] if found else None


def report(studies: Sequence[Params], most: int) -> str:
    """Return a table of what 1, 2, 4 workers and so on up to `most` would take for these units.

    A unit that was never run is taken to be as the first one of its profile that was. Raises UserError when there is none.
    """
    known = {unit_name(params.dataset, params.seed): _recorded(params) for params in studies}
    borrowed = next(filter(None, [*known.values(), *map(stages_of, unit_folders(REFERENCE / studies[0].profile))]), None)
    if borrowed is None:
        raise UserError(f"plan: no run of {studies[0].profile} has left seconds to reckon with: run one unit first")
    units = [stages or borrowed for stages in known.values()]
    done = [schedule(units, workers) for workers in _doubled(most)]
    total = sum(map(sum, sum(units, [])))
    lines = [f"{'workers':>7}  {'time':>12}  {'speed-up':>8}  {'waiting':>7}"]
    lines += [f"{row.workers:7}  {duration(row.seconds):>12}  {total / row.seconds:7.1f}x  {row.waiting:6.0%} " for row in done]
    return "\n".join([_heading(units, sum(map(bool, known.values()))), *(line.rstrip() for line in lines)])


def _heading(units: list[Stages], recorded: int) -> str:
    depth = max(map(len, units))
    wide = [max(len(unit[level]) for unit in units if level < len(unit)) for level in range(1, depth)]
    whence = f"seconds of {recorded} of them as recorded" if recorded else "seconds of a recorded one"
    return f"{len(units)} unit{'s' * (len(units) > 1)} ({whence}), models at most in each level: {', '.join(map(str, wide))}"


def _recorded(params: Params) -> Stages | None:
    """Return what this unit took here, or in the reference."""
    return stages_of(params.unit_dir) or stages_of(REFERENCE / params.profile / params.unit_dir.relative_to(params.profile_dir))


def _of_records(folder: Path) -> dict[Removed, Spent]:
    """Return the seconds of each model's fine-tune, of what was measured on it, and of the shares of what was shared out."""
    found = {}
    for record in filter(None, (read_sealed(path) for path in sorted(folder.glob("*.json")) if is_node(path.stem))):
        seconds, shares = record["seconds"], record.get("shares", {})
        rest = sum(spent for part, spent in seconds.items() if part != "fine_tune" and part not in shares)
        shared = [seconds[part] / number for part, number in shares.items() for _ in range(number)]
        found[parse_label(record["removed"])] = (seconds["fine_tune"], rest, shared)
    return found


def _of_steps(path: Path) -> dict[Removed, Spent]:
    try:
        steps = pd.read_csv(path, usecols=["removed", "seconds"], dtype={"removed": str}, keep_default_na=False)
    except (OSError, ValueError):  # none, or one that is no such table
        return {}
    return {parse_label(removed): (float(seconds), 0.0, []) for removed, seconds in steps.drop_duplicates("removed").itertuples(index=False)}


def _doubled(most: int) -> list[int]:
    """Return 1, 2, 4 and so on, and `most` itself as the last."""
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]
