"""Compare what our code and the plain version find at one and the same fine-tuned model."""

from typing import Any

import numpy as np

from paperlib import ablation
from paperlib.benchmark import plain_study
from paperlib.benchmark.subject import Subject
from paperlib.benchmark.table import Row, row
from paperlib.model import training
from paperlib.model.device import precision_of
from paperlib.names import SIGNALS

ANOTHER_ESTIMATE = "Task-Relevance-MI"  # binned here, from nearest neighbours there
SMALL = 1e-12  # avoids dividing by a signal that is zero


def rows(subject: Subject, results: dict[str, dict[str, Any]]) -> list[Row]:
    """Return one row for each kind of result; `results` holds what each activity found, ours and plain."""
    return [
        *_predictions(subject, results["evaluate"]),
        _drops(subject, results["ablate"]),
        *_signals(results["signals"]),
        _fine_tunes(subject, results["fine-tune"]),
    ]


def _predictions(subject: Subject, found: dict[str, Any]) -> list[Row]:
    """Compare test accuracy in float32, where both must agree, and in the precision that was timed."""
    exact = subject.params.replace(precision="fp32")
    labels = subject.dataset.test["labels"].cpu().numpy()
    ours = training.predict(subject.fitted, subject.dataset.test, exact).argmax(-1).cpu().numpy()
    plain = found["plain"]
    listed = [_agreement("fp32, one fine-tuned model", ours, plain, labels)]
    if precision_of(subject.params) != "fp32":
        listed.append(
            _agreement(f"ours {precision_of(subject.params)}, plain fp32", found["ours"], plain, labels)
        )
    return listed


def _agreement(setting: str, ours: np.ndarray, plain: np.ndarray, labels: np.ndarray) -> Row:
    values = {"ours": [float((ours == labels).mean())], "plain": [float((plain == labels).mean())]}
    note = "difference: test examples classified otherwise"
    return _compared("test accuracy", setting, float((ours != plain).sum()), note, unit="", **values)


def _drops(subject: Subject, found: dict[str, Any]) -> Row:
    """Compare the drops in float32, whatever precision was timed."""
    ours = ablation.accuracy_drops(subject.fitted, subject.dataset.test)
    difference = float((ours - found["plain"]).abs().max())
    return _compared(
        "accuracy drops of single ablations",
        "fp32, one fine-tuned model",
        difference,
        "difference: largest of all layers",
    )


def _signals(found: dict[str, Any]) -> list[Row]:
    ours, plain = found["ours"], found["plain"][0]
    relative = {name: _relative(ours[name].to_numpy(), np.array(plain[name])) for name in SIGNALS}
    other = relative.pop(ANOTHER_ESTIMATE)
    worst = max(relative, key=relative.get)
    return [
        _compared("signals of the same definition", "one fine-tuned model", relative[worst],
                  f"difference: largest relative one of {len(relative)} signals and all layers ({worst})"),
        _compared(ANOTHER_ESTIMATE, "one fine-tuned model", other,
                  "difference: relative; another estimator (ours binned, plain from nearest neighbours)"),
    ]  # fmt: skip


def _fine_tunes(subject: Subject, models: dict[str, Any]) -> Row:
    """Show the accuracies after one fine-tune each: the batches and the dropout drawn differ, so they need not agree."""
    test, labels = subject.dataset.test, subject.dataset.test["labels"]
    ours = float((training.predict(models["ours"], test, subject.params).argmax(-1) == labels).float().mean())
    plain = plain_study.accuracy(models["plain"], subject.examples["test"], subject.params)
    note = "other batches and dropout are drawn: these need not agree"
    return _compared(
        "test accuracy",
        "after a fine-tune each",
        abs(ours - plain),
        note,
        unit="",
        ours=[ours],
        plain=[plain],
    )


def _relative(ours: np.ndarray, plain: np.ndarray) -> float:
    return float((np.abs(ours - plain) / (np.abs(plain) + SMALL)).max())


def _compared(what: str, setting: str, difference: float, note: str, unit: str = "", **values) -> Row:
    made = row(
        "results", what, setting, difference=difference, note=note, unit=unit, basis="compared", **values
    )
    return Row(**{**made.__dict__, "ratio": None, "ratio_low": None, "ratio_high": None, "repeats": 1})
