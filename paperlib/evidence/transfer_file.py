"""Keep a transferred fuser as plain JSON, numbers and no code, and read it again without what fitted it."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from paperlib.common.errors import UserError, words_of
from paperlib.common.files import atomic_write_text
from paperlib.evidence.transfer import SETS, Fitted, Model

FILE = "transfer.json"  # in a profile's folder, written by notebook 09
FORMAT = "transfer-fuser-1"
TREE = ("left", "right", "feature", "threshold", "value")


@dataclass(frozen=True)
class Stored:
    """A fuser read from its file: `origin` says what it was fitted on."""

    method: str
    features: tuple[str, ...]
    numbers: dict
    origin: dict

    def predict(self, model: Model) -> pd.Series:
        """Return the predicted drop of every layer, up to a constant, as `transfer.Fitted` does."""
        features = model.features[list(self.features)]
        values = features.to_numpy()
        if "weights" in self.numbers:
            predicted = values @ np.array(self.numbers["weights"]) + self.numbers["intercept"]
        else:
            predicted = np.mean([_leaf_values(tree, values) for tree in self.numbers["trees"]], axis=0)
        return pd.Series(predicted, index=features.index)


def save(fitted: Fitted, path: Path, models: list[Model], origin: dict) -> Path:
    """Write a fuser with the names of its features and what it was fitted on; `origin`: settings, versions, commit."""
    units = sorted({f"{model.dataset} {model.seed}" for model in models})
    known = {"units": units, "models": len(models), "rows": sum(len(model.signals) for model in models)}
    known["encoders"] = sorted({model.encoder for model in models})
    content = {"format": FORMAT, "method": fitted.method, "features": SETS[fitted.method], "origin": {**known, **origin}}
    return atomic_write_text(path, json.dumps(content | _numbers(fitted), indent=1) + "\n")


def load(path: Path) -> Stored:
    """Read what `save` wrote; UserError when the file is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["method"] not in SETS:
            raise ValueError(f"not of the format {FORMAT}")
        if tuple(content["features"]) != tuple(SETS[content["method"]]) or not all(isinstance(unit, str) for unit in content["origin"]["units"]):
            raise ValueError("other features than its method's, or no word of what it was fitted on")
        numbers = {name: content[name] for name in ("weights", "intercept", "trees") if name in content}
        _check(numbers, len(content["features"]))
        return Stored(content["method"], tuple(content["features"]), numbers, dict(content["origin"]))
    except OSError as error:
        raise UserError(f"{path.name}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path.name}: not a transfer fuser ({words_of(error)})") from None


def _numbers(fitted: Fitted) -> dict:
    regressor = fitted.regressor
    if hasattr(regressor, "coef_"):
        return {"weights": regressor.coef_.tolist(), "intercept": float(regressor.intercept_)}
    grown = (tree.tree_ for tree in regressor.estimators_)
    arrays = ((t.children_left, t.children_right, t.feature, t.threshold, t.value[:, 0, 0]) for t in grown)
    return {"trees": [{name: array.tolist() for name, array in zip(TREE, tree)} for tree in arrays]}


def _check(numbers: dict, features: int) -> None:
    """Raise ValueError or the like unless weights and trees are whole and every branch leads further down."""
    if "weights" in numbers:
        if len(numbers["weights"]) != features or not np.isfinite([*numbers["weights"], numbers["intercept"]]).all():
            raise ValueError("weights do not fit the features")
        return
    if not numbers["trees"]:
        raise ValueError("no trees")
    for tree in numbers["trees"]:
        size = len(tree["value"])
        if not np.isfinite([*tree["threshold"], *tree["value"]]).all():
            raise ValueError("a tree of what is no number")
        for node, (left, right, feature, *_) in enumerate(zip(*(tree[name] for name in TREE), strict=True)):
            if left != -1 and not (node < left < size and node < right < size and 0 <= feature < features):
                raise ValueError("a branch that leads nowhere")


def _leaf_values(tree: dict, values: np.ndarray) -> np.ndarray:
    """Return a tree's prediction for each row (rows, features): left where a feature is at most the threshold."""
    left, right, feature = (np.array(tree[name], dtype=int) for name in TREE[:3])
    threshold, value = (np.array(tree[name], dtype=float) for name in TREE[3:])
    rows, at = values.astype(np.float32), np.zeros(len(values), dtype=int)  # as the forest compared when it was grown
    while (inner := left[at] != -1).any():
        goes_left = rows[np.arange(len(at)), feature[at]] <= threshold[at]
        at = np.where(inner, np.where(goes_left, left[at], right[at]), at)
    return value[at]
