"""Transfer: what is fitted never sees the dataset it is applied to, and says the same when it is read from its file."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import made_node

from paperlib import params as parameters
from paperlib.common.errors import UserError
from paperlib.evidence import claims, other_encoder, tables, transfer, transfer_file, truth_quantities
from paperlib.evidence.estimates import Results
from paperlib.names import SIGNALS
from paperlib.nodes.node import label

DATASETS = ("newsgroup", "imdb", "yelp", "agnews", "yahoo")


@pytest.fixture(scope="module")
def few():
    return parameters.load("smoke", "newsgroup", 0, {"forest_trees": 8})


def made_model(dataset, seed, removed=(), knowing=True):
    """Make a model whose drops follow one of its signals, and its position not at all; or nothing."""
    node = made_node(removed, seed=seed + 10 * DATASETS.index(dataset))
    rng = np.random.default_rng([seed, DATASETS.index(dataset), len(removed)])
    told = node.signals["Gradient-Fisher"] if knowing else rng.normal(size=len(node.signals))
    drops = pd.DataFrame({"test": 0.05 * told + rng.normal(0, 0.005, len(node.signals)), "validation": np.nan}, index=node.signals.index)
    return transfer.Model(dataset, seed, label(removed), 6, "tiny", node.signals, drops)


@pytest.fixture(scope="module")
def models():
    return [made_model(dataset, seed, removed) for dataset in DATASETS for seed in (0, 1) for removed in ((), (2,), (2, 4))]


@pytest.fixture(scope="module")
def judged(models, few):
    return transfer.leave_each_out(models, few)


def of(judgements, method):
    return judgements[judgements["method"] == method].groupby("dataset")["regret"].mean()


def test_knowledge_that_signals_carry_is_found_and_position_has_none(judged):
    found = judged
    for method in ("Forest", "Ridge"):
        assert of(found, method).mean() < 0.3 * of(found, "Random").mean()
    assert of(found, "Position").mean() > 0.5 * of(found, "Random").mean()
    best = transfer.with_best_single(found)
    assert set(best.loc[best["method"] == transfer.BEST_SINGLE, "dataset"]) == set(DATASETS)
    assert (of(best, transfer.BEST_SINGLE) <= of(found, "Gradient-Fisher") + 1e-12).all()


def test_nothing_of_the_left_out_dataset_reaches_the_fit(models, few, judged):
    """Poison its drops, and other datasets' numbers change while its own choices do not."""
    poisoned = [
        replace(model, drops=model.drops.assign(test=-1e6 * model.drops["test"])) if model.dataset == "imdb" else model for model in models
    ]
    seen = [model for model in models if model.dataset != "imdb"]
    for method in transfer.SETS:
        clean = transfer.fit(method, seen, few.forest_trees, 0)
        for model, bad in zip(models, poisoned):
            if model.dataset == "imdb":
                pd.testing.assert_series_equal(clean.predict(model), clean.predict(bad))
    fits, original = [], transfer.fit

    def watched(method, given, *rest):
        fits.append({model.dataset for model in given})
        return original(method, given, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "fit", watched)
        found = transfer.leave_each_out(poisoned, few)
    assert [len(seen) for seen in fits] == [4] * 5 * len(transfer.SETS)
    assert {frozenset(set(DATASETS) - seen) for seen in map(frozenset, fits)} == {frozenset({name}) for name in DATASETS}
    clean = judged
    elsewhere = found["dataset"] != "imdb"
    assert not np.allclose(found.loc[elsewhere, "regret"], clean.loc[elsewhere, "regret"]), "the poison does act, elsewhere"


def test_across_encoders_the_same_dataset_stays_out(models, few, judged):
    other = [replace(model, encoder="other") for model in models if model.dataset in ("imdb", "yelp")]
    found = transfer.across(models, other, few)
    same = judged[judged["dataset"].isin(["imdb", "yelp"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.drop(columns="encoder"), same.drop(columns="encoder"))


def test_regret_by_hand_with_ties():
    model = made_model("imdb", 0)
    drops = pd.DataFrame({"test": [0.03, 0.01, 0.02, 0.05, 0.09, 0.01], "validation": np.nan})
    model = replace(model, drops=drops)
    scores = pd.Series([1.0, 5.0, 1.0, 9.0, 9.0, 9.0])
    assert transfer.judged(model, "x", scores)["regret"] == pytest.approx(100 * (0.025 - 0.01))
    assert transfer.judged(model, "x", None)["regret"] == pytest.approx(100 * (0.21 / 6 - 0.01))
    np.testing.assert_allclose(model.target.mean(), 0, atol=1e-15)


def test_positions_are_relative():
    features = made_model("imdb", 0, removed=(0, 3)).features
    np.testing.assert_allclose(features["layer"], [0.2, 0.4, 0.8, 1.0])
    np.testing.assert_allclose(features["rank_left"], [0, 1 / 3, 2 / 3, 1])
    assert (features["share_left"] == 4 / 6).all()
    np.testing.assert_allclose(features[list(SIGNALS)].mean(), 0, atol=1e-12)


def test_spreads_over_seeds_and_datasets_are_kept_apart(judged):
    table = transfer.summary(judged, originals=True)
    rows = judged.query("removed == '' and method == 'Forest'")
    means = rows.pivot_table(index="dataset", columns="seed", values="regret")
    assert table.loc["Forest", "sem_datasets"] == pytest.approx(means.mean(axis=1).sem())
    assert table.loc["Forest", "sd_seeds"] == pytest.approx(means.mean(axis=0).std())
    assert table.loc["Forest", "models"] == 10


def test_datasets_that_lack_a_seed_are_no_spread_over_seeds(judged):
    """What is the same in every seed has no spread, whichever datasets were run with which seeds."""
    alike = judged.assign(regret=judged["dataset"].map({name: float(place) for place, name in enumerate(DATASETS)}))
    uneven = alike[(alike["seed"] == 0) | (alike["dataset"] == DATASETS[0])]
    assert np.isnan(transfer.summary(uneven, True)["sd_seeds"]).all(), "one seed has all datasets"
    assert (transfer.summary(alike, True)["sd_seeds"] == 0).all()


def test_a_layer_without_a_score_is_never_the_choice():
    drops = pd.DataFrame({"test": [0.0, 0.1, 0.2, 0.3], "validation": np.nan})
    model = transfer.Model("imdb", 0, "", 4, "tiny", drops, drops)
    assert transfer.judged(model, "x", pd.Series([np.nan, 2.0, 1.0, 3.0]))["regret"] == pytest.approx(20)
    assert transfer.judged(model, "x", pd.Series([np.nan] * 4))["regret"] == pytest.approx(15), "none has one: a blind draw"


@pytest.mark.parametrize("method", ["Forest", "Ridge", "Position"])
def test_a_fuser_read_from_its_file_says_the_same(models, few, tmp_path, method):
    fitted = transfer.fit(method, models, few.forest_trees, 0)
    path = transfer_file.save(fitted, tmp_path / "transfer.json", models, {"commit": "abc"})
    stored = transfer_file.load(path)
    for model in models:
        np.testing.assert_allclose(stored.predict(model), fitted.predict(model), rtol=1e-12, atol=1e-15)
    assert stored.origin["units"][0] == "agnews 0" and stored.origin["rows"] == 10 * (6 + 5 + 4)
    assert stored.origin["encoders"] == ["tiny"] and stored.origin["commit"] == "abc"


def test_a_file_that_is_no_fuser_is_refused(models, few, tmp_path):
    path = transfer_file.save(transfer.fit("Forest", models, 2, 0), tmp_path / "t.json", models, {})
    sound = json.loads(path.read_text())
    tree, unsound = sound["trees"][0], [{"left": [0] * len(sound["trees"][0]["left"])}, {"threshold": []}, {"value": [None]}, {"value": [float("nan")] * 99}]
    changes = [{"format": "x"}, {"method": "x"}, {"trees": []}, {"features": ["x", *sound["features"][1:]]}, {"origin": {}}, {"origin": {"units": [1]}}]
    for change in [*changes, *({"trees": [tree | part]} for part in unsound)]:
        path.write_text(json.dumps(sound | change))
        with pytest.raises(UserError, match="t.json: not a transfer fuser"):
            transfer_file.load(path)
    with pytest.raises(UserError, match="cannot be read"):
        transfer_file.load(tmp_path / "absent.json")


def test_claims_on_transfer(judged):
    ours = Results.from_tables(transfer=judged)
    estimate = truth_quantities.transfer_regret(ours, "Forest", "Random")
    assert estimate.value < 0 and estimate.p_less == 2**-5 and estimate.datasets == 5


def test_to_another_encoder_is_of_own_units_or_as_the_reference_kept_it(models, few, tmp_path, monkeypatch):
    others = [replace(model, encoder="other") for model in models if model.dataset in ("imdb", "yelp")]
    monkeypatch.setattr(other_encoder, "KEPT", tmp_path / "laptop")
    monkeypatch.setattr(other_encoder, "models_of_others", lambda params: others)
    own = other_encoder.first_choices(models, True, few)
    pd.testing.assert_frame_equal(own, transfer.across(models, others, few))
    assert other_encoder.first_choices(models, False, few).empty, "the reference has no other encoder"
    tables.write_for_profile(tmp_path / "laptop", "transfer_encoder", own)
    pd.testing.assert_frame_equal(other_encoder.first_choices(models, False, few), own)
    monkeypatch.setattr(other_encoder, "models_of_others", lambda params: [])
    assert other_encoder.first_choices(models, True, few).empty, "one's own units are never laid beside the reference's"


def test_claims_on_another_encoder_ask_for_its_table(judged):
    by_id = {claim.id: claim for claim in claims.load() if claim.function == "transfer_regret"}
    there = by_id["transfer-encoder-above-random"]
    assert claims._judge(there, Results.from_tables(transfer=judged))[1] == claims.UNTESTABLE
    assert claims._judge(there, Results.from_tables(transfer_encoder=judged))[1] == claims.HOLDS
    assert claims._judge(by_id["transfer-above-random"], Results.from_tables(transfer_encoder=judged))[1] == claims.UNTESTABLE


def test_a_gap_between_two_ways_is_the_difference_of_their_regrets(judged):
    uneven = judged[(judged["seed"] == 0) | (judged["removed"] == "")]  # more models of one seed than of the others
    for originals in (True, False):
        regret = transfer.summary(uneven, originals)["regret"]
        gap = transfer.paired_gap(uneven, "Forest", "Random", originals).mean()
        assert gap == pytest.approx(regret["Forest"] - regret["Random"])
