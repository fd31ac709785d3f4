"""Is it under-training? The same study under other epochs and learning rates, and what pruning gains in each.

Of each only the two walks are grown that the question needs: the forest's, and the original trained as many rounds.
"""

from pathlib import Path

import pandas as pd

from paperlib.names import FUSERS
from paperlib.params import EXPERIMENTS, Params

EPOCHS, LEARNING_RATES = (1, 3, 10), (2.0e-5, 1.0e-4)
WALKS = FOREST, CONTROL = FUSERS[1], "Equal-Training"


def studies(params: Params) -> list[Params]:
    """Return the study itself, then those that train otherwise: each of `EPOCHS` at its rate, each of the rates at its epochs."""
    changes = [{"epochs": epochs} for epochs in EPOCHS] + [{"learning_rate": rate} for rate in LEARNING_RATES]
    others = [params.replace(**change) for change in changes if any(getattr(params, name) != value for name, value in change.items())]
    return [params, *(_in_own_folder(other, params) for other in others)]


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


def _in_own_folder(other: Params, params: Params) -> Params:
    """Return a study with a place of its own also where `output_dir` keeps all studies in one."""
    if other.profile_dir != params.profile_dir:
        return other
    name = f"epochs={other.epochs},learning_rate={other.learning_rate}"
    return other.replace(output_dir=str(Path(params.output_dir) / EXPERIMENTS / name))
