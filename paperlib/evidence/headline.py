"""What a run shows at a glance: four models, and the sentence that follows from their accuracies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from paperlib.evidence import claims, statistics
from paperlib.evidence.estimates import Results, Untestable
from paperlib.names import FUSERS

FOREST = FUSERS[1]
UNIT = ["dataset", "seed"]
NAMES = {  # column of `four` -> what the reader is told
    "original": "original, fine-tuned once",
    "pruned": "best pruned by random-forest fusion",
    "distilled": "the same, distilled",
    "control": "nothing removed, trained on, at its best round",
}
UNTAUGHT = "ce_control"  # as much training as the distilled model had, on labels alone
AHEAD, BEHIND, CLOSE = claims.HOLDS, claims.FAILS, claims.NOISE  # of the claim that the first is more accurate
WORDS = {AHEAD: "is ahead of", BEHIND: "is behind", CLOSE: "cannot be told from"}


@dataclass(frozen=True)
class Gap:
    """A difference of two models, mean over datasets: `value` and `error` in points; datasets on which it is positive."""

    value: float
    error: float
    ahead: int
    datasets: int

    @property
    def verdict(self) -> str:
        """Say if the first is ahead or behind, by the rule of the claims, or neither."""
        return claims.beyond(self.value, self.error)


def four(results: Results) -> pd.DataFrame:
    """Return one row per dataset and seed: the accuracies of the four models (fractions), layers left, layers, test_size.

    `pruned` is the forest's maximum over depths, of equals the smallest; `control` Equal-Training's over as many rounds, so
    that both had the same number of chances. Beside them `ce_control`, the student's twin without a teacher. Raises
    Untestable when a walk or the distillation was not measured.
    """
    steps, distilled = results.table("steps"), results.table("distillation")
    highest = statistics.best_rows(steps, "accuracy").reset_index("strategy")
    best, control = (highest[highest["strategy"] == name] for name in (FOREST, "Equal-Training"))
    original = steps[steps["step"] == 0].drop_duplicates(UNIT).set_index(UNIT)["accuracy"]
    student, untaught = (distilled[distilled["model"] == name].set_index(UNIT)["accuracy"] for name in ("distilled", UNTAUGHT))
    table = pd.DataFrame({
        "original": original, "pruned": best["accuracy"], "distilled": student,
        "control": control["accuracy"], UNTAUGHT: untaught,
        "left": best["layers"] - best["step"], "layers": best["layers"], "test_size": best["test_size"],
    }).dropna(subset=[*NAMES, "left"]).reindex(columns=[*NAMES, UNTAUGHT, "left", "layers", "test_size"])  # fmt: skip
    if table.empty:
        raise Untestable("no dataset has all four models")
    return table


def summary(table: pd.DataFrame, names: Sequence[str] = tuple(NAMES)) -> pd.DataFrame:
    """Return one row per model of `four`: accuracy and its standard error (fractions), layers left; means over datasets.

    The error is the sampling error of the mean, from the number of test examples: it says nothing of other seeds.
    """
    datasets = table.groupby("dataset", sort=False)
    means, examples = datasets[list(names)].mean(), datasets["test_size"].sum()
    variance = (means * (1 - means)).div(examples, axis=0).sum()
    layers, remaining = datasets[["layers", "left"]].mean().mean()
    left = {"original": layers, "control": layers, **dict.fromkeys(("pruned", "distilled"), remaining)}
    return pd.DataFrame({"accuracy": means.mean(), "error": np.sqrt(variance) / len(means), "left": pd.Series(left)}).loc[list(names)]


def gap(table: pd.DataFrame, first: str, second: str) -> Gap:
    """Compare two columns of `four`: mean difference over datasets, the larger of its sampling error and its s.e.m.

    The models count as measured on independent examples, which overstates the sampling error.
    """
    differences = 100 * (table[first] - table[second]).groupby(level="dataset").mean()
    sampling = 100 * np.hypot(*summary(table, (first, second))["error"])
    error = np.fmax(statistics.sem(differences), sampling)
    return Gap(float(differences.mean()), float(error), int((differences > 1e-12).sum()), len(differences))


def sentence(table: pd.DataFrame) -> str:
    """Say what follows for pruning: against the original, and against as much training, each with its error."""
    gained, pruning, training = (gap(table, *pair) for pair in (
        ("pruned", "original"), ("pruned", "control"), ("control", "original")))  # fmt: skip
    joined = "nor" if gained.verdict == pruning.verdict == CLOSE else "and" if gained.verdict == pruning.verdict else "but"
    if joined == "nor":
        told = f"cannot be told from the original ({_points(gained)}), nor from"
    else:
        told = f"{WORDS[gained.verdict]} the original ({_points(gained)}), {joined} {WORDS[pruning.verdict]}"
    return (
        f"The best pruned model {told} the original that trains on instead, at its best round ({_points(pruning)})"
        f"{_cause(gained, pruning, training)}."
    )


def teacher(table: pd.DataFrame) -> str:
    """Say what distillation adds to the pruned model."""
    taught = gap(table, "distilled", "pruned")
    verb = {AHEAD: "adds to it", BEHIND: "takes from it", CLOSE: "makes no difference that can be told"}[taught.verdict]
    alone = f"; against the same round without one: {_points(gap(table, 'distilled', UNTAUGHT))}" if table[UNTAUGHT].notna().all() else ""
    return f"Distillation, a further round with a teacher, {verb} ({_points(taught)}){alone}."


def _cause(gained: Gap, pruning: Gap, training: Gap) -> str:
    """Say where a gain comes from, as far as the control tells."""
    if pruning.verdict == AHEAD:
        return ": here removing layers helped"
    if training.verdict != AHEAD:
        return ""
    if pruning.verdict == BEHIND:
        return ": training longer helps, removing layers costs accuracy"
    return ": training longer explains the gain" if gained.verdict == AHEAD else ""


def _points(gap: Gap) -> str:
    of = f" on average, higher on {gap.ahead} of {gap.datasets} datasets" if gap.datasets > 1 else ""
    return f"{gap.value:+z.1f} ± {gap.error:.1f} points{of}".replace("-", "−")
