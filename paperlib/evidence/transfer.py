"""Transfer: fit a fuser on the models of other datasets, and choose layers of one it has never seen, without ablation.

A `Model` is one pruned model with its signals and measured drops. Signals are standardised within a model and drops
centred, as neither has a scale that means the same elsewhere. Positions are relative, so that depths can be mixed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from paperlib import fusers, strategies
from paperlib.common.errors import UserError
from paperlib.common.places import REFERENCE
from paperlib.evidence import one_study, statistics, tables
from paperlib.names import SIGNALS
from paperlib.nodes.node import layers_of, parse_label
from paperlib.params import Params

REFERENCE_ENCODER = "all-MiniLM-L6-v2"  # of the profile laptop
POSITION = ("layer", "rank_left", "share_left")
FEATURES = (*SIGNALS, *POSITION)
PENALTY = 1.0  # of the ridge, on standardised signals
LEAST = 5  # rows in a leaf of the forest: drops are noisy
MEASURED, RANDOM, BEST_SINGLE = "Measured-Validation", "Random", "Best-Single"
SETS = {  # what a fitted way to choose is told
    "Forest": SIGNALS, "Ridge": SIGNALS, "Position": POSITION, "Position-Ridge": POSITION, "Forest-Both": FEATURES,
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """One model of the tree: where it comes from, what was measured of its layers (index = original layer numbers)."""

    dataset: str
    seed: int
    removed: str
    layers: int  # of the original model
    encoder: str
    signals: pd.DataFrame
    drops: pd.DataFrame  # columns test and validation; nan where not measured

    @cached_property
    def features(self) -> pd.DataFrame:
        """The standardised signals and the position of every layer that is left."""
        left = len(self.signals)
        position = pd.DataFrame({
            "layer": self.signals.index / max(self.layers - 1, 1),
            "rank_left": np.arange(left) / max(left - 1, 1),
            "share_left": left / self.layers,
        }, index=self.signals.index)  # fmt: skip
        return fusers.standardise(self.signals[list(SIGNALS)]).join(position)

    @cached_property
    def matrix(self) -> np.ndarray:
        """The features as an array (layers left, features), in the order of `FEATURES`."""
        return self.features[list(FEATURES)].to_numpy()

    @cached_property
    def target(self) -> np.ndarray:
        """The measured drop of every layer on test, less its mean over the layers."""
        drop = self.drops["test"].to_numpy()
        return drop - drop.mean()


@dataclass(frozen=True)
class Fitted:
    """A regression from features to centred drops: `method` is a key of `SETS`."""

    method: str
    regressor: Ridge | RandomForestRegressor

    def predict(self, model: Model) -> pd.Series:
        """Return the predicted drop of every layer, up to a constant: no ablation of the model is looked at."""
        return self.predict_all([model])[0]

    def predict_all(self, models: list[Model]) -> list[pd.Series]:
        """Return the predictions of several models, in one pass: a forest's passes take their time."""
        ends = np.cumsum([len(model.signals) for model in models])[:-1]
        predicted = np.split(self.regressor.predict(_rows(self.method, models)), ends)
        return [pd.Series(values, index=model.signals.index) for values, model in zip(predicted, models)]


def models_of(folder: Path, shown: Iterable[tuple[str, int]] | None, encoder: str) -> list[Model]:
    """Read the models of a profile's finished units that have both signals and drops on test, and layers to choose of."""
    frames = [tables.collect(folder, name, None if shown is None else list(shown)) for name in ("signals", "ablation")]
    if any(frame is None for frame in frames):
        return []
    signals, ablation = frames
    depths = signals[signals["removed"] == ""].groupby("dataset")["layer"].nunique()
    keys = ["dataset", "seed", "removed", "layer"]
    both = signals.set_index(keys).join(ablation.set_index(keys)[["drop_test", "drop_validation"]], how="inner")
    both = both[both["drop_test"].notna()].reset_index()
    both[list(SIGNALS)] = both[list(SIGNALS)].astype(float)
    found = []
    for (dataset, seed, removed), rows in both.groupby(keys[:3], sort=False):
        rows = rows.set_index("layer").sort_index()
        left = depths[dataset] - len(layers_of(parse_label(removed)))
        drops = rows[["drop_test", "drop_validation"]].set_axis(["test", "validation"], axis=1)
        if len(rows) == left > 1:
            found.append(Model(dataset, int(seed), removed, int(depths[dataset]), encoder, rows[list(SIGNALS)], drops))
    return found


def at_hand(params: Params) -> tuple[list[Model], bool]:
    """Return the models of the profile's finished units, and True; with fewer than two datasets the reference's, and False.

    Raises UserError where there is no reference either.
    """
    own = models_of(params.profile_dir, one_study.comparable(params), params.model)
    if len({model.dataset for model in own}) > 1:
        return own, True
    if reference := models_of(REFERENCE / "laptop", None, REFERENCE_ENCODER):
        return reference, False
    raise UserError(f"profile {params.profile}: transfer needs finished units of two datasets, or the project's reference")


def unknown(signals: pd.DataFrame, layers: int) -> Model:
    """Return a model of one's own, of which nothing but its signals was measured, for a fuser to predict."""
    nothing = pd.DataFrame(np.nan, index=signals.index, columns=["test", "validation"])
    return Model("", 0, "", layers, "", signals, nothing)


def fit(method: str, models: list[Model], trees: int, seed: int) -> Fitted:
    """Fit one of `SETS` to all layers of these models."""
    features, target = _rows(method, models), np.concatenate([model.target for model in models])
    forest = RandomForestRegressor(trees, min_samples_leaf=LEAST, random_state=seed, n_jobs=1)
    return Fitted(method, (Ridge(alpha=PENALTY) if method.endswith("Ridge") else forest).fit(features, target))


def _rows(method: str, models: list[Model]) -> np.ndarray:
    return np.concatenate([model.matrix for model in models])[:, [FEATURES.index(name) for name in SETS[method]]]


def leave_each_out(models: list[Model], params: Params) -> pd.DataFrame:
    """Apply to each dataset what was fitted on the others, and beside it every way to choose that needs no fit.

    One row per model and method, as `judged` says.
    """
    return across(models, models, params)


def across(seen: list[Model], unseen: list[Model], params: Params) -> pd.DataFrame:
    """Apply what was fitted on some models, say of one encoder, to others: rows as `judged` says.

    The dataset of an unseen model is left out of the fit, so that no text of it was ever seen.
    """
    rows = []
    for dataset in dict.fromkeys(model.dataset for model in unseen):
        others = [model for model in seen if model.dataset != dataset]
        left_out = [model for model in unseen if model.dataset == dataset]
        fitted = [fit(method, others, params.forest_trees, params.seed) for method in SETS] if others else []
        predicted = {one.method: one.predict_all(left_out) for one in fitted}
        for place, model in enumerate(left_out):
            ways = {method: scores[place] for method, scores in predicted.items()} | unfitted(model, params)
            rows += [judged(model, method, scores) for method, scores in ways.items()]
    return pd.DataFrame(rows)


def unfitted(model: Model, params: Params) -> dict[str, pd.Series | None]:
    """Return the scores by every way that needs no fit, least first to go; None stands for a blind draw."""
    ways = strategies.least_first(model.signals, params).to_dict("series")
    ways |= {"Rank-Mean": strategies.rank_mean(model.signals, params), RANDOM: None}
    if model.drops["validation"].notna().all():
        ways[MEASURED] = model.drops["validation"]
    return ways


def judged(model: Model, method: str, scores: pd.Series | None) -> dict:
    """Say what a choice costs: its regret (points of measured test drop above the least), and its rank correlation.

    Layers that tie for the least are drawn among: the regret is their mean.
    """
    drop = model.drops["test"].to_numpy()
    given = np.zeros(len(drop)) if scores is None else scores.to_numpy()
    least = np.isclose(given, np.fmin.reduce(given), rtol=fusers.TIE_TOLERANCE, atol=1e-12, equal_nan=True)
    ranked = np.ptp(given) > 0 and np.ptp(drop) > 0
    rho = np.corrcoef(rankdata(given), rankdata(drop))[0, 1] if ranked else float("nan")
    return {
        "dataset": model.dataset, "seed": model.seed, "removed": model.removed, "layers_left": len(drop), "method": method,
        "regret": 100 * (drop[least].mean() - drop.min()), "correlation": float(rho), "encoder": model.encoder,
    }  # fmt: skip


def with_best_single(judgements: pd.DataFrame) -> pd.DataFrame:
    """Add, per dataset, the single signal of least mean regret there, chosen after seeing the result."""
    singles = judgements[judgements["method"].isin(SIGNALS)]
    means = singles.groupby(["dataset", "method"], sort=False)["regret"].mean().unstack()
    best = means.idxmin(axis=1)
    chosen = singles[singles["method"] == singles["dataset"].map(best)].assign(method=BEST_SINGLE)
    return pd.concat([judgements, chosen], ignore_index=True)


def summary(judgements: pd.DataFrame, originals: bool) -> pd.DataFrame:
    """Return regret and rank correlation per method, of the original models or of all, least regret first.

    Spreads are kept apart: sem_datasets of the means of the datasets, sd_seeds of the mean over all datasets (nan with
    one seed). A model counts the same as another of its dataset and seed.
    """
    rows = with_best_single(judgements[judgements["removed"] == ""] if originals else judgements)
    unit = rows.groupby(["method", "dataset", "seed"])[["regret", "correlation"]].mean()
    datasets = unit.groupby(["method", "dataset"]).mean()
    table = datasets.groupby("method").mean()
    table["sem_datasets"] = datasets["regret"].groupby("method").agg(statistics.sem)
    table["sd_seeds"] = unit["regret"].groupby("method").agg(_over_whole_seeds)
    table["models"] = rows.groupby("method").size()
    order = ["regret", "sem_datasets", "sd_seeds", "correlation", "models"]
    return table[order].sort_values("regret", kind="stable")


def _over_whole_seeds(values: pd.Series) -> float:
    """Return the standard deviation over seeds of the mean over datasets, of those seeds that every dataset was run with."""
    return values.unstack("dataset").dropna().mean(axis=1).std()


def paired_gap(judgements: pd.DataFrame, method: str, rival: str, originals: bool = True) -> pd.Series:
    """Return, per dataset, method's regret minus rival's, points, mean over seeds; only models judged by both count."""
    rows = with_best_single(judgements[judgements["removed"] == ""] if originals else judgements)
    table = rows.pivot_table(index=["dataset", "seed", "removed"], columns="method", values="regret")
    if not {method, rival} <= set(table):
        return pd.Series(dtype=float)
    gap = (table[method] - table[rival]).dropna()
    return gap.groupby(["dataset", "seed"], sort=False).mean().groupby("dataset", sort=False).mean()


def costs(layers: int, params: Params) -> pd.Series:
    """Return what choosing one layer of a model of so many costs by each way, in forward passes of one example.

    A backward pass counts as two; ablations share their common layers; of positions and weights nothing is run.
    """
    signals, ablation = 3 * params.signal_size, params.test_size * (1 + (layers - 1) / 2)
    return pd.Series({
        "Position, Random": 0, "Block-Influence": params.signal_size, "Rank-Mean, Transfer": signals,
        "Greedy-Ablation": ablation, "Linear-Regression, Random-Forest": signals + ablation,
    }, name="forward passes").round().astype(int)  # fmt: skip


