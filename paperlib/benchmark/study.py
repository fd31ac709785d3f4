"""Work out the whole study of one dataset both ways, from the costs of the unit and the walks to be made."""

from collections import defaultdict

from paperlib import strategies
from paperlib.benchmark import stored, unit, walks
from paperlib.benchmark.plain_study import FAMILIES
from paperlib.benchmark.session import Costs, Session
from paperlib.benchmark.subject import Subject
from paperlib.benchmark.table import Row, row
from paperlib.names import SIGNALS
from paperlib.nodes.node import Removed
from paperlib.params import DATASETS, Params

CHOICE_FROM = 2  # layers: with fewer left there is nothing to choose
LABEL_INFORMATION = "task_relevance"
FAMILY_OF = {signal: unit.FAMILY_NAMES[family] for family, signals in FAMILIES.items() for signal in signals}
LEFT_OUT = "extrapolated from the unit's times; distillation, drawing and starting up left out on both sides"


def rows(session: Session) -> list[Row]:
    """Return the study's rows; raises KeyError when unit and growth have not been timed."""
    subject, costs = session.subject, session.costs
    paths, basis = walks.of(subject)
    trainer = "together" if costs.has("together", "fine-tune") else "ours"
    ours, plain = our_seconds(subject, costs, paths, trainer), plain_seconds(subject, costs, paths)
    counts = {"ours": [walks.distinct(list(paths.values()))], "plain": [walks.unshared(list(paths.values()))]}
    listed = [
        row("study", "fine-tunes", basis, **counts, unit="", basis="counted"),
        _extrapolated("fine-tuning and evaluating", ours["train"], plain["train"]),
        *_in_bf16_too(costs, ours["train"], plain["train"]),
        _extrapolated("measuring", ours["measure"], plain["measure"]),
        _extrapolated("the whole study of one dataset", ours["total"], plain["total"], LEFT_OUT),
        _extrapolated("the same, the plain version's mutual information with the label free of charge",
                      ours["total"], plain["total"] - plain[LABEL_INFORMATION]),
    ]  # fmt: skip
    if trainer == "together":
        alone = our_seconds(subject, costs, paths, "ours")["total"]
        listed.append(_extrapolated("the same, ours one model after another", alone, plain["total"]))
    if not subject.shapes and (run := stored.run_of(subject.params)):
        listed.append(_as_it_ran(run.seconds, plain["total"]))
    return [*listed, _grid(ours["total"], plain["total"])]


def our_seconds(
    subject: Subject, costs: Costs, paths: dict[str, Removed], trainer: str = "ours"
) -> dict[str, float]:
    """Add up our study: every node once, measured for whichever walks look at it, as many at a time as there are cores.

    `trainer` says whose fine-tunes are counted: ours (one by one) or together (the models of a level at once).
    """
    wanted: dict[Removed, set[str]] = {}
    for name, path in paths.items():
        for node in walks.nodes(path):
            parts = strategies.needs(name, subject.params, ended=not _chooses(node, path, subject.layers))
            wanted[node] = wanted.get(node, set()) | parts
    train = measure = 0.0
    for node, parts in wanted.items():
        left = walks.left(node, subject.layers)
        tuned = (
            costs.of(trainer, "fine-tune", left) if trainer == "together" else _ours(costs, "fine-tune", left)
        )
        train += tuned + _ours(costs, "evaluate", left)
        measure += sum(times * _ours(costs, what, left) for what, times in _activities(parts, subject.params))
    return {"train": train, "measure": measure, "total": train + measure}


def plain_seconds(subject: Subject, costs: Costs, paths: dict[str, Removed]) -> dict[str, float]:
    """Add up the plain study: every walk trains its own nodes and measures what its own strategy needs."""
    parts: dict[str, float] = defaultdict(float)
    train = costs.of("plain", "fine-tune", subject.layers) + costs.of("plain", "evaluate", subject.layers)
    for name, path in paths.items():
        for node in walks.nodes(path):
            left = walks.left(node, subject.layers)
            if node:
                train += costs.of("plain", "fine-tune", left) + costs.of("plain", "evaluate", left)
            for what, times in plain_needs(name, subject.params, not _chooses(node, path, subject.layers)):
                parts[what] += times * costs.of("plain", what, left)
    measure = sum(parts.values())
    return {
        "train": train,
        "measure": measure,
        "total": train + measure,
        LABEL_INFORMATION: parts[LABEL_INFORMATION],
    }


def plain_needs(name: str, params: Params, ended: bool = False) -> list[tuple[str, float]]:
    """List what a plain version runs for a strategy at one model, and how often: of the signals only its own family."""
    needs = strategies.needs(name, params, ended)
    families = [FAMILY_OF[name]] if name in SIGNALS else list(unit.FAMILY_NAMES.values())
    others = _activities(needs - {"signals"}, params)
    return [*((family, 1.0) for family in families if "signals" in needs), *others]


def _activities(parts: set[str], params: Params) -> list[tuple[str, float]]:
    """Return the activities that give these measurements, each with its cost in terms of the one that was timed.

    Evaluation was timed on the test subset, ablation too.
    """
    share = params.validation_size / params.test_size
    known = {
        "signals": ("signals", 1.0),
        "validation_correct": ("evaluate", share),
        "ablation_test": ("ablate", 1.0),
        "ablation_validation": ("ablate", share),
    }
    return [known[part] for part in sorted(parts)]


def _ours(costs: Costs, what: str, left: int) -> float:
    """Return the seconds of one of our activities when every core is busy with one."""
    alone = costs.of("ours", what, left)
    if not costs.has("full", what):
        return alone
    ((layers, full),) = costs.known["full", what].items()
    return alone * full / costs.of("ours", what, layers)


def _chooses(node: Removed, path: Removed, layers: int) -> bool:
    """Say whether a walk chooses its next layer at this node."""
    return len(node) < len(path) and walks.left(node, layers) >= CHOICE_FROM


def _in_bf16_too(costs: Costs, ours: float, plain: float) -> list[Row]:
    """Say what is left of the ratio when the plain version computes in bf16 as well, where that was timed."""
    if not costs.has("plain bf16", "fine-tune"):
        return []
    ((fp32,), (bf16,)) = (costs.known[f"plain {kind}", "fine-tune"].values() for kind in ("fp32", "bf16"))
    return [
        _extrapolated("fine-tuning and evaluating, the plain version in bf16 too", ours, plain * bf16 / fp32)
    ]


def _extrapolated(what: str, ours: float, plain: float, note: str = "") -> Row:
    return row("study", what, "", ours=[ours], plain=[plain], basis="extrapolated", note=note)


def _as_it_ran(wall: float, plain: float) -> Row:
    note = "ours: wall time of the finished study, notebooks, distillation and drawing included; plain: extrapolated"
    return row(
        "study",
        "the whole study of one dataset, as it ran",
        ours=[wall],
        plain=[plain],
        basis="stored",
        note=note,
    )


def _grid(ours: float, plain: float) -> Row:
    hours = {name: [len(DATASETS) * seconds / 3600] for name, seconds in (("ours", ours), ("plain", plain))}
    what, note = f"{len(DATASETS)} datasets like this one", "as many as the paper has, one seed"
    return row("study", what, **hours, unit="h", basis="extrapolated", note=note)
