"""What only a GPU can show: a model learns there what it learns on a processor, no step waits for it, no memory is kept.

`make test` runs these where PyTorch finds a card; alone: PAPERLIB_GPU=1 .venv/bin/python -m pytest -n0 -m gpu.
"""

import gc

import pytest
import torch
from conftest import ARCHITECTURES, padded_batch, smoke_params
from test_batched_training import HARD, SEEDS, assert_same, children, with_dropout

from paperlib.data import subsets
from paperlib.model import batched_training, encoder, training
from paperlib.model.batched_training import fine_tune_together
from paperlib.tree import Study

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU, or the tests were not told to use it: PAPERLIB_GPU=1"),
]
WAYS = {
    "alone": {"together": 1},
    "together": {"together": 3},
    "recorded": {"together": 3, "cuda_graphs": True},  # three steps as they are, then replayed
}
LONG = {**HARD, "epochs": 8, "learning_rate": 2**-7}  # the rates are the same numbers in 32 bits, as a recording has them
WALKS = ("Random", "Weight-Norm", "Equal-Training")


def on_card(tmp_path, way, **settings):
    return smoke_params(tmp_path, device="cuda", **WAYS[way], **settings)


def carried(batch):
    return {name: tensor.to("cuda") for name, tensor in batch.items()}


def train(way, models, batch, params):
    if way == "alone":
        return [training.fine_tune(model, batch, params, seed) for model, seed in zip(models, SEEDS, strict=False)]
    return fine_tune_together(models, batch, params, SEEDS[: len(models)])


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("way", WAYS)
def test_a_card_trains_as_a_processor_does(way, kind, tmp_path):
    """In 64 bits, where rounding cannot hide a wrong formula; the loss is of 32 bits everywhere, hence the tolerance."""
    batch = subsets.subset(padded_batch(kind), 21)  # the second batch of a pass is smaller
    theirs = children(kind)
    expected = [training.fine_tune(model, batch, smoke_params(tmp_path, **LONG), seed) for model, seed in zip(theirs, SEEDS, strict=True)]
    ours = [model.to("cuda") for model in children(kind)]
    done = train(way, ours, carried(batch), on_card(tmp_path, way, **LONG))
    assert_same([model.cpu() for model in ours], theirs, done, expected, tolerance=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_smoke_fine_tune_agrees_with_the_processor_in_32_bits(way, tmp_path):
    """The smoke profile's own model, texts and hyper-parameters but for dropout, whose masks a card draws otherwise."""
    plain = smoke_params(tmp_path, epochs=2)
    tokenizer = encoder.load_tokenizer(plain)
    data = subsets.load(plain, tokenizer)

    def fresh():
        model = encoder.load_model(plain, data.class_names, tokenizer)
        return with_dropout(encoder.restrict_vocabulary(model, data.token_ids), 0.0)

    theirs, ours = fresh(), fresh().to("cuda")
    expected = training.fine_tune(theirs, data.train, plain, SEEDS[0])
    [done] = train(way, [ours], carried(data.train), on_card(tmp_path, way, epochs=2))
    assert done.losses == pytest.approx(expected.losses, rel=1e-2, abs=1e-3)
    card, processor = (training.predict(model, batch).cpu() for model, batch in ((ours, carried(data.test)), (theirs, data.test)))
    assert (training.correct(card, data.test) == training.correct(processor, data.test)).float().mean() >= 0.95


def test_a_replayed_step_drops_what_the_step_drops(tmp_path):
    batch = carried(subsets.subset(padded_batch(), 21))
    ours, theirs = ([model.to("cuda") for model in children(rate=0.2)] for _ in range(2))
    done, expected = (train(way, models, batch, on_card(tmp_path, way, **LONG)) for way, models in (("recorded", ours), ("together", theirs)))
    assert_same(ours, theirs, done, expected, tolerance=1e-4)


@pytest.mark.parametrize("way", ["together", "recorded"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_waits_for_the_card(way, precision, tmp_path, monkeypatch):
    """From the first step to the last the host only hands over work; at either end of a fine-tune it may wait."""
    begin, end = batched_training._optimizer, batched_training._hand_back

    def optimizer(*arguments):
        made = begin(*arguments)
        torch.cuda.set_sync_debug_mode("error")
        return made

    def hand_back(*arguments):
        torch.cuda.set_sync_debug_mode("default")
        end(*arguments)

    monkeypatch.setattr(batched_training, "_optimizer", optimizer)
    monkeypatch.setattr(batched_training, "_hand_back", hand_back)
    models = [model.to("cuda") for model in children(rate=0.1, dtype=torch.float32)]
    try:
        done = train(way, models, carried(padded_batch()), on_card(tmp_path, way, **{**LONG, "precision": precision}))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(done) == 3 and len(done[0].losses) == 8 * 3


@pytest.mark.parametrize("way", WAYS)
def test_memory_does_not_grow_with_fine_tunes(way, tmp_path):
    batch, params, held = carried(padded_batch()), on_card(tmp_path, way, **LONG), []
    for _ in range(5):
        train(way, [model.to("cuda") for model in children(rate=0.1, dtype=torch.float32)], batch, params)
        gc.collect()
        held.append(torch.cuda.memory_allocated())
    assert max(held[2:]) <= held[1], held


@pytest.mark.parametrize("way", WAYS)
def test_memory_does_not_grow_with_walks(way, tmp_path):
    """Models, measurements and caches of a study: what the second walk leaves on the card the third does not add to."""
    study, held = Study(on_card(tmp_path, way)), []
    for name in WALKS:
        study.grow([name])
        gc.collect()
        held.append(torch.cuda.memory_allocated())
    assert held[2] <= held[1] + 2**20, held
