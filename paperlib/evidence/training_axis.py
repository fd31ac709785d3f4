"""Is it under-training? Gather runs that differ in epochs and learning rate alone, and what pruning gains in each."""

from pathlib import Path

import pandas as pd

from paperlib.evidence import tables, units
from paperlib.names import FUSERS
from paperlib.params import EXPERIMENTS, RUN_ONLY, Params

AXES = ("epochs", "learning_rate")
COLUMNS = ["dataset", "seed", *AXES, "baseline", "pruned", "equal", "gain_once", "gain_equal"]
FREE = RUN_ONLY - {"profile"} | {"dataset", "seed", "data_source", *AXES} | units.DATASET_FIELDS


def collect(params: Params, folders: list[Path] | None = None) -> pd.DataFrame:
    """Return one row per finished unit of any of these folders that was run as `params` says, but for `AXES`.

    `folders` are folders of runs; without any, the profile's own study and all experiments with it.
    baseline, pruned and equal are accuracies (%): the original trained once, the forest's best pruned model, and the
    original trained as many rounds as that one; gain_once and gain_equal the pruned model's gain over either, points.
    """
    rows = []
    for folder in folders or _runs(params):
        for unit, record in units.finished(folder).items():
            known = record.get("parameters", {})
            if _comparable(known, params):
                gained = gain(tables.read(unit, "steps"))
                rows.append({"dataset": known["dataset"], "seed": known["seed"]} | {name: known[name] for name in AXES} | gained)
    found = pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(["dataset", "seed", *AXES])
    return found.sort_values(["dataset", "seed", *AXES], kind="stable").reset_index(drop=True)


def gain(steps: pd.DataFrame) -> dict[str, float]:
    """Return what the forest's best pruned model gains, from the rows of steps.csv of one unit."""
    forest = steps[(steps["strategy"] == FUSERS[1]) & (steps["step"] >= 1)]
    best = forest.sort_values(["accuracy", "step"], kind="stable").iloc[-1]
    control = steps[steps["strategy"] == "Equal-Training"].set_index("step")["accuracy"]
    baseline, equal = 100 * control[0], 100 * control[best["step"]]
    pruned = 100 * best["accuracy"]
    return {
        "baseline": baseline, "pruned": pruned, "equal": equal, "gain_once": pruned - baseline, "gain_equal": pruned - equal,
    }  # fmt: skip


def _runs(params: Params) -> list[Path]:
    experiments = params.default_dir.parent / EXPERIMENTS / params.profile
    return list(dict.fromkeys([params.profile_dir, params.default_dir, *sorted(experiments.glob("*"))]))


def _comparable(known: dict, params: Params) -> bool:
    ours = params.model_dump(exclude=FREE)
    return all(known.get(name) == value for name, value in ours.items())
