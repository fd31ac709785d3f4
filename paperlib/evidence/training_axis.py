"""Is it under-training? The same study under other epochs and learning rates, and what pruning gains in each.

Of each only the two walks are grown that the question needs: the forest's, and the original trained as many rounds.
"""

import pandas as pd

from paperlib.names import FUSERS
from paperlib.params import EPOCHS, Params

EPOCHS_TRIED, RATES_TRIED = (1, 3, 10), (2.0e-5, 1.0e-4)
WALKS = FOREST, CONTROL = FUSERS[1], "Equal-Training"
SETTING = ["dataset", "seed", "epochs", "learning_rate"]  # columns that tell one row from another


def studies(params: Params) -> list[Params]:
    """Return the study itself, then those that train otherwise: each of `EPOCHS_TRIED` at its rate, each of the rates at its epochs.

    Those have a folder each within the study's own, so that who holds its lock may write there, and nobody takes two walks
    for a whole study.
    """
    changes = [{"epochs": epochs} for epochs in EPOCHS_TRIED] + [{"learning_rate": rate} for rate in RATES_TRIED]
    others = [params.replace(**change) for change in changes if any(getattr(params, name) != value for name, value in change.items())]
    folder = params.profile_dir / EPOCHS
    places = [str(folder / f"epochs={other.epochs},learning_rate={other.learning_rate}") for other in others]
    return [params, *(other.replace(output_dir=place) for other, place in zip(others, places))]


def setting(params: Params) -> str:
    """Name what is varied of a study: "3 epochs, rate 5e-05"."""
    return f"{params.epochs} epoch{'s' * (params.epochs > 1)}, rate {params.learning_rate:g}"


def of_units(steps: pd.DataFrame, written: pd.DataFrame | None, params: Params) -> pd.DataFrame:
    """Return epochs.csv of some units, and of all others what their own `steps` say: of the one setting that they were run with.

    `usual_rate` says which rows have the study's own learning rate.
    """
    own = [
        {"dataset": dataset, "seed": seed, "epochs": params.epochs, "learning_rate": params.learning_rate, **gain(rows)}
        for (dataset, seed), rows in steps.groupby(["dataset", "seed"], sort=False) if set(WALKS) <= set(rows["strategy"])
    ]  # fmt: skip
    rows = pd.concat([written, pd.DataFrame(own or None, columns=None if own else SETTING)], ignore_index=True).drop_duplicates(SETTING)
    return rows.assign(usual_rate=rows["learning_rate"] == params.learning_rate)


def varied(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep of `of_units` the datasets and seeds that were run under several settings: means of the settings are then of the same units."""
    return rows[rows.groupby(["dataset", "seed"])["epochs"].transform("size") > 1]


def gain(steps: pd.DataFrame) -> dict[str, float]:
    """Return what the forest's best pruned model gains, from the rows of `WALKS` in steps.csv.

    baseline, pruned and equal are accuracies (%): the original trained once, the forest's best pruned model, and the
    original trained as many rounds as that one, which lacks so many layers (step); gain_once and gain_equal are the pruned
    model's gain over either, in points.
    """
    forest = steps[(steps["strategy"] == FOREST) & (steps["step"] >= 1)]
    best = forest.sort_values(["accuracy", "step"], kind="stable").iloc[-1]
    control = steps[steps["strategy"] == CONTROL].set_index("step")["accuracy"]
    baseline, equal = 100 * control[0], 100 * control[best["step"]]
    pruned = 100 * best["accuracy"]
    return {
        "baseline": baseline, "pruned": pruned, "step": best["step"], "equal": equal,
        "gain_once": pruned - baseline, "gain_equal": pruned - equal,
    }  # fmt: skip
