"""Fit the paper's two fusers (section 2.2.6): from layer signals to the accuracy drop when the layer is removed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.base import RegressorMixin, clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from paperlib.names import SIGNALS

TIE_TOLERANCE = 1e-6  # relative, as in signals.py, which takes torch; below it, differences are rounding


@dataclass(frozen=True)
class Fit:
    """A fitted fuser and the rows it saw: `features` (rows, 12), standardised, and `target` (rows,)."""

    regressor: RegressorMixin
    features: pd.DataFrame
    target: pd.Series

    @property
    def weights(self) -> pd.Series:
        """Coefficients (linear regression) or impurity importances (random forest), by signal."""
        values = getattr(self.regressor, "coef_", None)
        return pd.Series(self.regressor.feature_importances_ if values is None else values, index=list(SIGNALS))

    @property
    def r2(self) -> float:
        """Share of the target's variance that the fit explains in sample."""
        return float(self.regressor.score(self.features, self.target)) if self.target.nunique() > 1 else float("nan")

    def spearman_leaving_one_out(self) -> float:
        """Rank correlation of the target and its prediction by a fit that has not seen the row."""
        if len(self.target) < 3 or self.target.nunique() < 2:
            return float("nan")
        predicted = self.left_out_predictions
        return float(spearmanr(predicted, self.target).statistic) if np.ptp(predicted) > 0 else float("nan")

    @cached_property
    def left_out_predictions(self) -> np.ndarray:
        """What a fit to all other rows predicts for each row (rows,); inside `parallel.all_cores`, side by side."""
        return cross_val_predict(clone(self.regressor), self.features, self.target, cv=LeaveOneOut())


def standardise(signals: pd.DataFrame) -> pd.DataFrame:
    """Return (x - mean) / sd over the layers of one model; a signal equal in all layers, or not a number, becomes 0."""
    spread = signals.std(ddof=0)
    degenerate = spread <= TIE_TOLERANCE * signals.abs().max()
    return ((signals - signals.mean()) / spread.mask(degenerate, np.inf)).astype(float).fillna(0.0)


def fit(name: str, models: list[tuple[pd.DataFrame, pd.Series]], trees: int, seed: int) -> Fit:
    """Fit the fuser `name` on the rows of one or more models, each as (signals, accuracy drops) by layer.

    Signals are standardised within each model.
    """
    features = pd.concat([standardise(signals[list(SIGNALS)]) for signals, _ in models])
    target = pd.concat([drops for _, drops in models])
    forest = RandomForestRegressor(trees, random_state=seed, n_jobs=1)  # its trees are too small to hand around
    regressor = forest if name == "Random-Forest" else LinearRegression()
    return Fit(regressor.fit(features, target), features, target)


def predict(fitted: Fit, signals: pd.DataFrame) -> pd.Series:
    """Return the predicted accuracy drop of every layer of a model."""
    features = standardise(signals[list(SIGNALS)])
    return pd.Series(fitted.regressor.predict(features), index=signals.index)
