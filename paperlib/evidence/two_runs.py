"""Compare two runs of the same datasets and seeds under different settings: tables in, small tables out."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file
from paperlib.common.hardware import UNKNOWN
from paperlib.common.messages import unit_name
from paperlib.evidence import statistics, tables, units
from paperlib.names import WALKS
from paperlib.params import RUN_ONLY

Unit = tuple[str, int]  # dataset and seed

NO_MATTER = RUN_ONLY - {"data_dir"}  # where and how fast a run computed; its data may come from data_dir
COMPUTER = "computer"  # which trained the models
PACKAGES = ("torch", "transformers", "scikit-learn", "numpy")
ABSENT = "not recorded"


@dataclass(frozen=True)
class Run:
    """A profile's folder of finished units: the provenance of each, and all steps of all walks (`steps.csv`)."""

    folder: Path
    records: dict[Unit, dict]
    steps: pd.DataFrame

    def of(self, shared: list[Unit]) -> "Run":
        """Keep these units."""
        index = pd.MultiIndex.from_frame(self.steps[["dataset", "seed"]])
        return Run(self.folder, {unit: self.records[unit] for unit in shared}, self.steps[index.isin(shared)])


def read(folder: Path) -> Run:
    """Read the finished units of a profile's folder; raises UserError when there is none, or a table was changed."""
    found = units.finished(folder)
    if not found:
        raise UserError(f"{folder.name}: no finished unit to compare: run make reproduce first")
    for unit, record in found.items():
        path = unit / "steps.csv"
        if not path.exists() or sha256_file(path) != record["tables"]["steps"]:
            raise UserError(f"{'/'.join(path.parts[-4:])}: is not what the run wrote")
    records = {(record["parameters"]["dataset"], record["parameters"]["seed"]): record for record in found.values()}
    return Run(folder, records, tables.collect(folder, "steps", list(records)))


def matched(one: Run, other: Run) -> tuple[Run, Run]:
    """Keep the units that both have; raises UserError when there is none."""
    shared = [unit for unit in one.records if unit in other.records]
    if not shared:
        raise UserError(f"no dataset and seed is in both runs; the other has {', '.join((unit_name(*unit) for unit in other.records))}")
    return one.of(shared), other.of(shared)


def differences(one: Run, other: Run) -> pd.DataFrame:
    """Return what the records of the same units do not agree on: index = its name, columns one and other (text)."""
    told = all("computed" in record for run in (one, other) for record in run.records.values())  # older runs say `auto`
    mine, theirs = (_recorded(run, told) for run in (one, other))
    known = list(dict.fromkeys([*mine, *theirs]))  # an older run lacks what was recorded since
    mine, theirs = (table.reindex(columns=known, fill_value=ABSENT) for table in (mine, theirs))
    names = [name for name in known if not mine[name].equals(theirs[name])]
    texts = {name: [", ".join(table[name].drop_duplicates()) for table in (mine, theirs)] for name in names}
    return pd.DataFrame.from_dict(texts, orient="index", columns=["one", "other"])


def models(one: Run, other: Run) -> pd.Series:
    """Compare the models that both runs trained, those with the same layers removed in the same order.

    Counts one, other, both; same (share of both with equal accuracy); mean and most (absolute difference in points of
    accuracy); error (points: the standard error of one accuracy on its test examples, mean over models).
    """
    mine, theirs = _accuracies(one), _accuracies(other)
    both = mine.join(theirs["accuracy"].rename("theirs"), how="inner")
    gap = 100 * (both["accuracy"] - both["theirs"]).abs().round(statistics.DECIMALS)
    error = 100 * (both["accuracy"] * (1 - both["accuracy"]) / both["test_size"]) ** 0.5
    return pd.Series({
        "one": len(mine), "other": len(theirs), "both": len(both), "same": (gap == 0).mean(),
        "mean": gap.mean(), "most": gap.max(), "error": error.mean(),
    })  # fmt: skip


def walks(one: Run, other: Run) -> pd.DataFrame:
    """Compare the walks of each strategy, mean over the units; index = strategy.

    Columns: one and other (maximum accuracy over 1..L removed layers), difference (other - one, points) and sem (over
    units), together (steps from the start up to which both removed the same) of steps.
    """
    both = _walks(one).add_suffix("_one").join(_walks(other).add_suffix("_other"), how="inner")
    gap = 100 * (both["best_other"] - both["best_one"])
    together = [_common(*pair) for pair in zip(both["path_one"], both["path_other"])]
    table = pd.DataFrame({
        "one": both["best_one"], "other": both["best_other"], "difference": gap, "together": together,
        "steps": both["path_one"].map(len),
    }).groupby("strategy").mean()  # fmt: skip
    table.insert(3, "sem", gap.groupby("strategy").sem())
    return table.loc[[name for name in WALKS if name in table.index]]


def _recorded(run: Run, told: bool) -> pd.DataFrame:
    """Return what may change a number, as text: index = units, columns = parameters, libraries, machine, commit."""
    computers = tables.trained_on(run.steps).groupby([run.steps["dataset"], run.steps["seed"]]).unique()
    rows = [_values(record, told) | {COMPUTER: _computer(computers[unit], record)} for unit, record in run.records.items()]
    return pd.DataFrame(rows, index=list(run.records)).fillna(ABSENT).astype(str)


def _computer(found: Collection[str], record: Mapping[str, Any]) -> str:
    """Return what trained a unit's models; of tables that do not tell, the computer on which the unit was finished."""
    on_card = record.get("computed", {}).get("device") == "cuda"
    return ", ".join(sorted(set(found) - {UNKNOWN})) or record.get("gpu" if on_card else "cpu", ABSENT)


def _values(record: Mapping[str, Any], told: bool) -> dict[str, str]:
    asked = record["parameters"] | (record["computed"] if told else {})  # what `auto` came to
    parameters = {name: str(value) for name, value in asked.items() if name not in NO_MATTER}
    packages = {name: record.get("packages", {}).get(name, ABSENT) for name in PACKAGES}
    return {**parameters, **packages, "commit": record.get("commit", ABSENT)}


def _accuracies(run: Run) -> pd.DataFrame:
    """Return accuracy and test_size of each model, index = dataset, seed, removed."""
    model = ["dataset", "seed", "removed"]
    return run.steps.drop_duplicates(model).set_index(model)[["accuracy", "test_size"]]


def _walks(run: Run) -> pd.DataFrame:
    """Return, for each walk, best (its maximum accuracy) and path (what was removed by each step, in order)."""
    pruned = run.steps[run.steps["step"] > 0].sort_values("step", kind="stable")
    return pruned.groupby(statistics.WALK).agg(best=("accuracy", "max"), path=("removed", list))


def _common(one: list[str], other: list[str]) -> int:
    """Count the equal items at the beginning of two lists."""
    return next((place for place, pair in enumerate(zip(one, other)) if pair[0] != pair[1]), min(len(one), len(other)))
