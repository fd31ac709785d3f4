"""Work out the whole study of one dataset both ways, from the costs of the unit and the walks to be made."""

from paperlib import strategies
from paperlib.benchmark import stored, unit, walks
from paperlib.benchmark.session import Costs, Session
from paperlib.benchmark.subject import Subject
from paperlib.benchmark.table import Row, row
from paperlib.names import FUSERS, SIGNALS
from paperlib.node import Removed
from paperlib.params import DATASETS, Params
from paperlib.plain_study import FAMILIES

MEASURED_FROM = 2  # layers: with fewer left there is nothing to choose
LABEL_INFORMATION = "task_relevance"
FAMILY_OF = {signal: unit.FAMILY_NAMES[family] for family, signals in FAMILIES.items() for signal in signals}
LEFT_OUT = "extrapolated from the unit's times; distillation, drawing and starting up left out on both sides"


def rows(session: Session) -> list[Row]:
    """Return the study's rows; raises KeyError when unit and growth have not been timed."""
    subject, costs = session.subject, session.costs
    paths, basis = walks.of(subject)
    ours, plain = our_seconds(subject, costs, paths), plain_seconds(subject, costs, paths)
    counts = [walks.distinct(list(paths.values()))], [walks.unshared(list(paths.values()))]
    listed = [
        row("study", "fine-tunes", basis, ours=counts[0], plain=counts[1], unit="", basis="counted"),
        _extrapolated("fine-tuning and evaluating", ours["train"], plain["train"]),
        *_in_bf16_too(costs, ours["train"], plain["train"]),
        _extrapolated("measuring", ours["measure"], plain["measure"]),
        _extrapolated("the whole study of one dataset", ours["total"], plain["total"], LEFT_OUT),
        _extrapolated("the same, the plain version's mutual information with the label free of charge",
                      ours["total"], plain["total"] - plain[LABEL_INFORMATION]),
    ]  # fmt: skip
    if not subject.shapes and (wall := stored.run_of(subject.params)):
        listed.append(_as_it_ran(wall.seconds, plain["total"]))
    alone = "one at a time" if subject.device.type == "cuda" else ""
    listed.append(_grid(alone, ours["total"], plain["total"]))
    if costs.has("together", "fine-tune"):
        batched = together_seconds(subject, costs, paths, ours)
        listed.append(_grid("children of a level together", batched, plain["total"]))
    return listed


def our_seconds(subject: Subject, costs: Costs, paths: dict[str, Removed]) -> dict[str, float]:
    """Add up our study: every node once, measured for whichever walks choose there, as many at a time as there are cores."""
    wanted: dict[Removed, set[str]] = {}
    for name, path in paths.items():
        for node in walks.nodes(path):
            parts = strategies.needs(name, subject.params) if _measured(node, path, subject.layers) else set()
            wanted[node] = wanted.get(node, set()) | parts
    train = measure = 0.0
    for node, parts in wanted.items():
        left = walks.left(node, subject.layers)
        train += _ours(costs, "fine-tune", left) + _ours(costs, "evaluate", left)
        measure += sum(_ours(costs, "signals" if part == "signals" else "ablate", left) for part in parts)
    return {"train": train, "measure": measure, "total": train + measure}


def plain_seconds(subject: Subject, costs: Costs, paths: dict[str, Removed]) -> dict[str, float]:
    """Add up the plain study: every walk trains its own nodes and measures what its own strategy needs."""
    train, parts = (
        costs.of("plain", "fine-tune", subject.layers) + costs.of("plain", "evaluate", subject.layers),
        {},
    )
    for name, path in paths.items():
        for node in walks.nodes(path):
            left = walks.left(node, subject.layers)
            if node:
                train += costs.of("plain", "fine-tune", left) + costs.of("plain", "evaluate", left)
            if _measured(node, path, subject.layers):
                for what in plain_needs(name, subject.params):
                    parts[what] = parts.get(what, 0.0) + costs.of("plain", what, left)
    measure = sum(parts.values())
    return {
        "train": train,
        "measure": measure,
        "total": train + measure,
        LABEL_INFORMATION: parts.get(LABEL_INFORMATION, 0.0),
    }


def plain_needs(name: str, params: Params) -> list[str]:
    """List what a plain version measures for a strategy: of the signals only the family it goes by."""
    if name in SIGNALS:
        return [FAMILY_OF[name]]
    needs = strategies.needs(name, params)
    families = list(unit.FAMILY_NAMES.values()) if name.startswith(FUSERS) else []
    return families + ["ablate"] * sum(part.startswith("ablation") for part in needs)


def together_seconds(
    subject: Subject, costs: Costs, paths: dict[str, Removed], ours: dict[str, float]
) -> float:
    """Return our study's seconds when the children of a level are trained as one batch of models."""
    nodes = {node for path in paths.values() for node in walks.nodes(path)}
    lefts = [walks.left(node, subject.layers) for node in nodes]
    single, batched = (
        sum(costs.of(who, "fine-tune", left) for left in lefts) for who in ("ours", "together")
    )
    return ours["total"] - single + batched


def _ours(costs: Costs, what: str, left: int) -> float:
    """Return the seconds of one of our activities when every core is busy with one."""
    alone = costs.of("ours", what, left)
    if not costs.has("full", what):
        return alone
    ((layers, full),) = costs.known["full", what].items()
    return alone * full / costs.of("ours", what, layers)


def _measured(node: Removed, path: Removed, layers: int) -> bool:
    return len(node) < len(path) and walks.left(node, layers) >= MEASURED_FROM


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


def _grid(setting: str, ours: float, plain: float) -> Row:
    hours = [len(DATASETS) * seconds / 3600 for seconds in (ours, plain)]
    note = "as many as the paper has, one seed"
    return row(
        "study",
        f"{len(DATASETS)} datasets like this one",
        setting,
        ours=hours[:1],
        plain=hours[1:],
        unit="h",
        basis="extrapolated",
        note=note,
    )
