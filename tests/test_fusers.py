"""The fusers against numpy's least squares, scikit-learn's forest and loops."""

import numpy as np
import pandas as pd
import pytest
from conftest import made_node
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestRegressor

from paperlib import fusers, signals
from paperlib.names import FUSERS, SIGNALS


def model_rows(layers, seed=0, removed=()):
    node = made_node(removed, layers=layers, seed=seed)
    return node.signals, node.ablation("ablation_test")["drop"]


def least_squares(features, target):
    """Return intercept and coefficients of least norm, the features centred first, as scikit-learn does."""
    centre = features.mean(axis=0)
    slopes = np.linalg.lstsq(features - centre, target - target.mean(), rcond=None)[0]
    return target.mean() - centre @ slopes, slopes


def test_standardising_by_hand():
    signals = pd.DataFrame(
        {"a": [1.0, 2.0, 6.0], "b": [5.0, 5.0, 5.0], "c": [0.0, 0.0, 0.0], "d": [1.0, 1.0 + 1e-9, 1.0]}
    )
    sd = np.sqrt((4 + 1 + 9) / 3)
    expected = pd.DataFrame({"a": [-2 / sd, -1 / sd, 3 / sd], "b": [0.0] * 3, "c": [0.0] * 3, "d": [0.0] * 3})
    pd.testing.assert_frame_equal(fusers.standardise(signals), expected, atol=1e-6)


def test_what_ties_is_the_same_wherever_it_is_asked():
    assert fusers.TIE_TOLERANCE == signals.TIE_TOLERANCE


def test_units_of_a_signal_do_not_matter():
    signals, drops = model_rows(8)
    changed = signals * np.logspace(-6, 6, 12) + 1.0
    for name in FUSERS:
        fits = [fusers.fit(name, [(table, drops)], 20, 0) for table in (signals, changed)]
        assert np.allclose(fusers.predict(fits[0], signals), fusers.predict(fits[1], changed), atol=1e-6)


@pytest.mark.parametrize("layers", [2, 6, 12])
def test_with_as_many_features_as_rows_least_squares_returns_its_target(layers):
    signals, drops = model_rows(layers)
    fit = fusers.fit("Linear-Regression", [(signals, drops)], 0, 0)
    assert np.allclose(fusers.predict(fit, signals), drops, atol=1e-9)
    assert fit.r2 == pytest.approx(1.0)


def test_linear_regression_by_numpy():
    rows = [model_rows(12 - k, removed=()) for k in range(4)]  # 12 + 11 + 10 + 9 rows: no interpolation
    fit = fusers.fit("Linear-Regression", rows, 0, 0)
    features = np.vstack([((s - s.mean()) / s.std(ddof=0)).to_numpy() for s, _ in rows])
    target = np.concatenate([d.to_numpy() for _, d in rows])
    intercept, slopes = least_squares(features, target)
    assert np.allclose(fit.weights, slopes) and tuple(fit.weights.index) == SIGNALS
    new, _ = model_rows(7, seed=9)
    expected = intercept + ((new - new.mean()) / new.std(ddof=0)).to_numpy() @ slopes
    assert np.allclose(fusers.predict(fit, new), expected)
    residuals = target - intercept - features @ slopes
    assert fit.r2 == pytest.approx(1 - (residuals**2).sum() / ((target - target.mean()) ** 2).sum())
    assert 0 < fit.r2 < 0.99


def test_the_least_norm_solution_is_taken_when_rows_are_few():
    signals, drops = model_rows(6)
    fit = fusers.fit("Linear-Regression", [(signals, drops)], 0, 0)
    features = ((signals - signals.mean()) / signals.std(ddof=0)).to_numpy()
    assert np.allclose(fit.weights, least_squares(features, drops.to_numpy())[1])


def test_random_forest_by_scikit_learn():
    signals, drops = model_rows(12)
    fit = fusers.fit("Random-Forest", [(signals, drops)], 25, 7)
    features = (signals - signals.mean()) / signals.std(ddof=0)
    forest = RandomForestRegressor(n_estimators=25, random_state=7).fit(features.to_numpy(), drops.to_numpy())
    assert np.allclose(fusers.predict(fit, signals), forest.predict(features.to_numpy()))
    assert np.allclose(fit.weights, forest.feature_importances_) and fit.weights.sum() == pytest.approx(1.0)
    again = fusers.fit("Random-Forest", [(signals, drops)], 25, 7)
    assert np.array_equal(fusers.predict(again, signals), fusers.predict(fit, signals))
    assert not np.allclose(fusers.fit("Random-Forest", [(signals, drops)], 25, 8).weights, fit.weights)
    assert drops.min() <= fusers.predict(fit, signals).min() <= drops.max()


def test_predictions_are_labelled_by_layer():
    signals, drops = model_rows(6, removed=())
    kept = signals.drop(index=[1, 4])
    fit = fusers.fit("Linear-Regression", [(signals, drops)], 0, 0)
    assert list(fusers.predict(fit, kept).index) == [0, 2, 3, 5]


def test_the_order_of_the_columns_does_not_matter():
    signals, drops = model_rows(6)
    fit = fusers.fit("Linear-Regression", [(signals[reversed(SIGNALS)], drops)], 0, 0)
    assert np.allclose(fusers.predict(fit, signals[reversed(SIGNALS)]), drops)


def test_rank_correlation_leaving_one_row_out_by_a_loop():
    few, _ = model_rows(3)
    least = [(few, pd.Series([0.0, 0.0, 1.0], index=few.index))]  # rows and values that are just enough
    for rows in ([model_rows(12), model_rows(11, seed=1)], least):
        fit = fusers.fit("Linear-Regression", rows, 0, 0)
        features, target, predicted = fit.features.to_numpy(), fit.target.to_numpy(), []
        for i in range(len(target)):
            kept = np.arange(len(target)) != i
            intercept, slopes = least_squares(features[kept], target[kept])
            predicted.append(intercept + features[i] @ slopes)
        expected = np.corrcoef(rankdata(predicted), rankdata(target))[0, 1]
        assert fit.spearman_leaving_one_out() == pytest.approx(expected)


@pytest.mark.parametrize("name", FUSERS)
def test_a_target_without_differences_has_no_fit_to_speak_of(name):
    signals, drops = model_rows(6)
    fit = fusers.fit(name, [(signals, 0 * drops)], 10, 0)
    assert np.isnan(fit.r2) and np.isnan(fit.spearman_leaving_one_out())
    assert np.allclose(fusers.predict(fit, signals), 0)


def test_two_rows_are_too_few_to_leave_one_out():
    assert np.isnan(fusers.fit("Linear-Regression", [model_rows(2)], 0, 0).spearman_leaving_one_out())
