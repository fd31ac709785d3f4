"""Runs that differ in their training are found wherever they lie, and nothing else is taken for one of them."""

import pandas as pd
import pytest
from conftest import smoke_params

from paperlib.common.files import atomic_write_json
from paperlib.common.records import seal
from paperlib.evidence import claims, training_axis
from paperlib.evidence.estimates import Results
from paperlib.params import EXPERIMENTS

FOREST, CONTROL = [0.5, 0.6, 0.7, 0.4], [0.5, 0.65, 0.72, 0.8]


def finish(params, forest=FOREST, control=CONTROL):
    """Write what a finished unit leaves, in the place of an experiment: its walks and its provenance."""
    folder = params.default_dir.parent / EXPERIMENTS / params.profile / params.experiment / params.dataset / f"seed-{params.seed}"
    rows = [
        {"strategy": name, "step": step, "accuracy": value, "removed": "", "order": ""}
        for name, curve in (("Random-Forest", forest), ("Equal-Training", control)) for step, value in enumerate(curve)
    ]  # fmt: skip
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "steps.csv", index=False)
    record = {"complete": True, "parameters": params.model_dump(mode="json")}
    atomic_write_json(folder / "provenance.json", seal(record))


def test_gains_by_hand():
    rows = [("Random-Forest", FOREST), ("Equal-Training", CONTROL)]
    steps = pd.DataFrame([{"strategy": n, "step": s, "accuracy": a} for n, curve in rows for s, a in enumerate(curve)])
    gained = training_axis.gain(steps)
    assert gained["gain_once"] == pytest.approx(20) and gained["gain_equal"] == pytest.approx(-2), "0.7 at step 2, against 0.5 and 0.72"


def test_experiments_that_differ_in_training_alone_are_one_axis(tmp_path):
    usual = smoke_params(tmp_path)
    finish(usual)
    for dataset in ("newsgroup", "imdb", "yelp"):
        finish(smoke_params(tmp_path, dataset, epochs=10), forest=[0.7, 0.6, 0.65, 0.5], control=[0.7] * 4)
    finish(smoke_params(tmp_path, learning_rate=1.0e-4))
    finish(smoke_params(tmp_path, epochs=3, batch_size=8))
    found = training_axis.collect(usual)
    assert len(found) == 5
    assert set(found["dataset"]) == {"newsgroup", "imdb", "yelp"} and not (found["epochs"] == 3).any()
    tenth = found[found["epochs"] == 10]
    assert len(tenth) == 3 and tenth["gain_once"].tolist() == pytest.approx([-5] * 3)
    ours = Results.from_tables(epochs=found)
    verdicts = {claim.id: claims._judge(claim, ours)[1] for claim in claims.load() if claim.id.startswith("under-training")}
    assert verdicts == {"under-training": "holds", "under-training-equal": "cannot be tested here"}
