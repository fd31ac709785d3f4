"""Whole walks down another encoder: what is read, what is laid beside what, the claims on them, and what the reference's page says."""

import pandas as pd
import pytest
from test_claims import made_steps, verdict_of
from test_finished import laid

from paperlib import params as parameters
from paperlib import published
from paperlib.evidence import claims, other_encoder, tables, walk_quantities
from paperlib.evidence.estimates import Results
from paperlib.names import SIGNALS
from paperlib.report.reference import account, pages
from paperlib.report.reference.kept import Kept

HERE = {"Random-Forest": [0.5, 0.6, 0.7, 0.8, 0.9], "Equal-Training": [0.55, 0.65, 0.75, 0.85, 0.95], "Random": [0.4] * 5}


def steps_of(maxima, **of_steps):
    """Make walks as `made_steps` does, each through models of its own."""
    return made_steps(maxima, **of_steps).assign(removed=lambda rows: rows["strategy"] + rows["step"].astype(str))


def walked(forest, control=None, layers=12, encoder="deep", **of_steps):
    """Make the walks of two strategies down an encoder, from a baseline of 0.5."""
    maxima = {"Random-Forest": forest} | ({} if control is None else {"Equal-Training": control})
    return steps_of(maxima, layers=layers, **of_steps).assign(encoder=encoder)


def results(there, layers=6):
    return Results.from_tables(steps=steps_of(HERE, layers=layers), steps_encoder=there)


def test_claims_are_of_the_walks_down_the_other_encoder():
    ours = results(walked([0.6] * 5, [0.7] * 5))
    assert verdict_of("encoder-rf-baseline", ours) == claims.HOLDS
    assert verdict_of("encoder-equal-training", ours) == claims.FAILS
    assert verdict_of("encoder-rf-random", ours) == claims.UNTESTABLE, "it was not walked there"
    assert verdict_of("encoder-rf-baseline", results(walked([0.6] * 4))) == claims.UNTESTABLE, "four datasets cannot tell"
    assert verdict_of("encoder-rf-baseline", results(walked([0.6, 0.6, 0.6, 0.6, 0.4]))) == claims.NOISE
    said = claims._judge(next(claim for claim in claims.load() if claim.id == "encoder-equal-training"), ours)[0]
    assert said.startswith("-10.00 points") and said.endswith("deep, seed 0")


@pytest.mark.parametrize("there", [
    None, walked([0.6] * 5, layers=6), pd.concat([walked([0.6] * 5), walked([0.6] * 5, encoder="deep as well")]),
], ids=["none", "of six layers", "two of twelve"])  # fmt: skip
def test_claims_on_twelve_layers_are_of_one_encoder_that_has_them(there):
    assert {verdict_of(claim.id, results(there)) for claim in claims.load() if claim.function == "on_another_encoder"} == {claims.UNTESTABLE}


def test_parameters_of_a_layer_are_counted_where_there_are_twelve():
    assert walk_quantities.layer_parameters(results(walked([0.6] * 5, [0.7] * 5))).value == published.LAYER_PARAMETERS
    assert verdict_of("layer-size", results(None)) == claims.UNTESTABLE
    two = pd.concat([walked([0.6] * 5), walked([0.6] * 5, encoder="deep as well").assign(parameters=lambda steps: 2 * steps["parameters"])])
    counted = walk_quantities.layer_parameters(results(two))
    assert (counted.value, counted.spread) == (1.5 * published.LAYER_PARAMETERS, 0.5 * published.LAYER_PARAMETERS), "each encoder by itself"
    assert verdict_of("layer-size", results(walked([0.6] * 5))) == claims.HOLDS


def test_both_sides_are_of_the_datasets_that_both_have():
    there = walked([0.6, 0.8, 0.9], [0.5, 0.5, 0.5])
    found = other_encoder.beside(steps_of(HERE, layers=6), there)
    assert list(found.index) == ["Baseline", "Equal-Training"], "Random was walked here only"
    here, gone = found.loc["Equal-Training"], found.loc["Baseline"]
    assert (here["datasets_here"], here["ahead_here"], here["datasets_there"], here["ahead_there"]) == (3, 0, 3, 3)
    assert here["mean_here"] == pytest.approx(-5) and here["mean_there"] == pytest.approx(100 * (0.1 + 0.3 + 0.4) / 3)
    assert gone["mean_here"] == pytest.approx(10) and gone["mean_there"] == pytest.approx(100 * (0.1 + 0.3 + 0.4) / 3)
    assert other_encoder.beside(steps_of({"Random": [0.4] * 5}), there).empty, "no forest, nothing to compare"


def test_a_rival_that_was_walked_on_fewer_datasets_is_compared_on_these_alone():
    there = pd.concat([walked([0.6, 0.8, 0.9, 0.7]), walked([0.6, 0.8], [0.5, 0.4]).query("strategy == 'Equal-Training'")])
    found = other_encoder.beside(steps_of(HERE, layers=6), there)
    assert found.loc["Baseline", ["datasets_here", "datasets_there"]].tolist() == [4, 4]
    assert found.loc["Equal-Training", ["datasets_here", "datasets_there"]].tolist() == [2, 2]
    assert found.loc["Equal-Training", "mean_there"] == pytest.approx(100 * (0.1 + 0.4) / 2)
    singles = {name: [0.5] * 5 for name in SIGNALS} | {"Random-Forest": [0.6] * 5}
    both = other_encoder.beside(steps_of(singles), steps_of(singles).assign(encoder="deep"))
    assert {"best single signal, in hindsight", "mean of the 12 single signals"} <= set(both.index)


def test_walks_are_ones_own_or_as_the_reference_kept_them(tmp_path, monkeypatch):
    monkeypatch.setattr(other_encoder, "KEPT", tmp_path / "laptop")
    params = laid(tmp_path)
    assert other_encoder.walks(True, params).empty and other_encoder.walks(False, params).empty
    base = laid(tmp_path, "base", "imdb")
    laid(tmp_path, "base", "yelp", complete=False)
    own = other_encoder.walks(True, params)
    pd.testing.assert_frame_equal(own.drop(columns="encoder"), tables.read(base.unit_dir, "steps"))
    assert set(own["encoder"]) == {"all-mpnet-base-v2"}
    assert other_encoder.walks(False, params).empty, "the reference's are not one's own"
    tables.write_for_profile(tmp_path / "laptop", "steps_encoder", own)
    pd.testing.assert_frame_equal(other_encoder.walks(False, params), own)
    assert set(other_encoder.walks_here(True, params)["dataset"]) == {"newsgroup"}


def test_the_page_says_where_six_and_twelve_layers_disagree(tmp_path):
    """Fusion is far above the baseline on both encoders; equal training is far ahead of it on one, far behind on the other."""
    folder = tmp_path / "laptop"
    for dataset, rows in steps_of(HERE, layers=6, baseline=0.1).groupby("dataset"):
        path = folder / dataset / "seed-0" / "steps.csv"
        path.parent.mkdir(parents=True)
        rows.to_csv(path, index=False)
    assert pages._on_another_encoder(Kept(folder)) == ""
    tables.write_for_profile(folder, "steps_encoder", walked([0.9] * 5).assign(dataset="elsewhere"))
    assert pages._on_another_encoder(Kept(folder), short=True) == "", "no dataset was walked on both"
    tables.write_for_profile(folder, "steps_encoder", walked([0.9] * 5, [0.1] * 5, baseline=0.1))
    said = pages._on_another_encoder(Kept(folder))
    # 1.7 and 1.2 are the errors of 256 test examples: (0.95 + 0.84) / 256 and 5 (0.09 + 0.09) / 256, the root of each by 5 datasets.
    assert "| Equal-Training | -5.0 ± 1.7 | 0 of 5 | does not hold | +80.0 ± 1.2 | 5 of 5 | holds |" in said
    assert "| Baseline | +60.0 ± 7.1 | 5 of 5 | holds | +80.0 ± 1.2 | 5 of 5 | holds |" in said
    assert "By these verdicts 6 layers and 12 layers say the same of Baseline, and differ on Equal-Training; other rivals were not walked there." in said
    assert "Random" not in said.replace("random", "")
    short = pages._on_another_encoder(Kept(folder), short=True)
    assert "|" not in short and "minus Equal-Training +80.0 ± 1.2 (ahead on 5 of 5 datasets; with 6 layers -5.0 ± 1.7)" in short


def test_one_random_order_for_all_datasets_tells_nothing(tmp_path):
    walks = {"Random-Forest": [0.9] * 5, "Equal-Training": [0.9] * 5, "Random": [0.2] * 5}
    here, there = (steps_of(walks, layers=layers).assign(removed=lambda rows: rows["removed"].where(rows["step"] > 0, "")) for layers in (6, 12))
    here["removed"] += here["dataset"]  # an order of its own for each
    for dataset, rows in here.groupby("dataset"):
        (tmp_path / dataset / "seed-0").mkdir(parents=True)
        rows.to_csv(tmp_path / dataset / "seed-0" / "steps.csv", index=False)
    tables.write_for_profile(tmp_path, "steps_encoder", there.assign(encoder="deep"))
    said = pages._on_another_encoder(Kept(tmp_path))
    assert "| Random | +70.0 ± 1.4 | 5 of 5 | holds | +70.0 ± 1.4 | 5 of 5 | cannot be tested here |" in said
    assert "12 layers say the same of Baseline and Equal-Training; other" in said and "Random there is one order for all datasets" in said


def test_the_page_says_which_processor_walked_what(tmp_path):
    forest, control = walked([0.6] * 3), walked([0.6] * 3, [0.7] * 3).query("strategy == 'Equal-Training'")
    alone = pd.concat([forest, control]).assign(trained_on="one")
    names = ", ".join(forest["dataset"].unique())
    assert account._walked(alone) == f"on one: Random-Forest on {names}; Equal-Training on {names}"
    first, other = forest["dataset"].unique()[:2]
    elsewhere = control[control["dataset"] == first].assign(trained_on="another")
    elsewhere.loc[elsewhere["step"] == 0, "accuracy"] += 2 / elsewhere["test_size"]
    both = pd.concat([pd.concat([forest, control[control["dataset"] == other]]).assign(trained_on="one"), elsewhere])
    said = account._walked(both)
    assert said.startswith(f"on one: Random-Forest on {names}; Equal-Training on {other}; and on another: Equal-Training on {first}. ")
    assert said.endswith("The originals of a dataset from several computers differ by 2 test texts at most")
    apart = pd.concat([forest[forest["dataset"] == first].assign(trained_on="one"), forest[forest["dataset"] == other]])
    assert account._walked(apart) == f"on one: Random-Forest on {first}; and on unknown: Random-Forest on {other}", "no dataset has two originals"


def test_no_profile_has_its_own_encoder_for_another(tmp_path):
    params = parameters.load("base", "imdb", 0, {"output_dir": str(tmp_path / "out"), "cache_dir": str(tmp_path / "cache")})
    laid(tmp_path, "base", "yelp")
    assert other_encoder.walks(True, params).empty
