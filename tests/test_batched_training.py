"""Models trained together learn what each learns alone; who shares a batch, and how many do, changes rounding only."""

import gc
import math
import weakref

import pytest
import torch
from conftest import ARCHITECTURES, CLASSES, padded_batch, smoke_params, tiny_model
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from paperlib import ablation, signals
from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.data import subsets
from paperlib.model import batched_training, encoder, training
from paperlib.model.batched_training import fine_tune_together
from paperlib.model.device import forward_context
from paperlib.model.given_dropout import Masks, TokenLinear

SEEDS = [11, 5, 8]
HARD = {"epochs": 2, "batch_size": 16, "learning_rate": 1.0e-2, "weight_decay": 0.1, "max_grad_norm": 0.5, "schedule": "linear"}  # fmt: skip


def with_dropout(model, rate):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
    return model


def children(kind="bert", rate=0.0, removed=((0,), (1,), (2,)), dtype=torch.float64):
    """Return siblings of one parent: the same shape, other weights. In 64 bits rounding cannot hide a wrong formula."""
    parent = with_dropout(tiny_model(kind), rate).to(dtype)
    return [encoder.remove_layers(parent, list(layers)) for layers in removed]


def assert_same(ours, theirs, done, expected, tolerance=1e-6):
    """Compare weights, losses and norms; the logits are cast to 32 bits before the loss, hence the tolerance."""
    for mine, other, one, two in zip(ours, theirs, done, expected, strict=True):
        for (name, parameter), value in zip(mine.named_parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(parameter, value, rtol=tolerance, atol=tolerance, msg=name)
        assert one.losses == pytest.approx(two.losses, rel=tolerance)
        assert one.health.as_dict() == pytest.approx(two.health.as_dict(), rel=tolerance)
        assert not mine.training


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize(
    "removed", [((0,), (1,), (2,)), ((0, 1, 2), (0, 1, 2))], ids=["two layers", "no layer"]
)
def test_without_dropout_each_model_learns_as_if_alone(kind, removed, tmp_path):
    params, batch = smoke_params(tmp_path, **HARD), padded_batch(kind)
    ours, theirs = children(kind, removed=removed), children(kind, removed=removed)
    done = fine_tune_together(ours, batch, params, SEEDS[: len(ours)])
    alone = [training.fine_tune(model, batch, params, seed) for model, seed in zip(theirs, SEEDS)]
    assert_same(ours, theirs, done, alone)
    assert all(one.health.largest_gradient_norm > 2 * params.max_grad_norm for one in done), (
        "clipping must matter"
    )
    assert len(done[0].losses) == 6 and len({tuple(one.losses) for one in done}) == len(done)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_with_dropout_a_model_does_not_depend_on_its_company(kind, tmp_path):
    params, batch = smoke_params(tmp_path, **HARD), padded_batch(kind)
    ours, theirs = children(kind, rate=0.2), children(kind, rate=0.2)
    done = fine_tune_together(ours, batch, params, SEEDS)
    alone = [fine_tune_together([model], batch, params, [seed])[0] for model, seed in zip(theirs, SEEDS)]
    assert_same(ours, theirs, done, alone)
    undropped = fine_tune_together(children(kind), batch, params, SEEDS)
    assert all(abs(one.losses[0] - two.losses[0]) > 1e-3 for one, two in zip(done, undropped))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_dropout_is_where_the_plain_model_has_it(kind, tmp_path, monkeypatch):
    """Give a plain model, trained one at a time, the same masks through `torch.nn.functional.dropout`: it learns the same."""
    params, batch = smoke_params(tmp_path, **HARD), padded_batch(kind)
    [ours], [plain] = children(kind, 0.3, removed=[[1]]), children(kind, 0.3, removed=[[1]])
    plain.set_attn_implementation("eager")  # of the plain ones, only this one drops where it can be seen
    masks, waiting, generator = Masks(), [], torch.Generator().manual_seed(SEEDS[0] + 1)

    def note(x, p=0.5, training=True, inplace=False):
        masks.places.append((p, x.shape[1:]))
        return x

    def given(x, p=0.5, training=True, inplace=False):
        if not waiting:
            waiting.extend(mask[0] for mask in masks.draw([generator], len(x)))
        return torch.where(waiting.pop(0), x / (1 - p), 0.0)

    with monkeypatch.context() as patch, encoder.first_token_only(plain):
        patch.setattr(F, "dropout", note)
        plain.train()(input_ids=batch["input_ids"][:1], attention_mask=batch["attention_mask"][:1])
    done = fine_tune_together([ours], batch, params, SEEDS[:1])
    monkeypatch.setattr(F, "dropout", given)
    alone = training.fine_tune(plain, batch, params, SEEDS[0])
    assert not waiting, "every mask was used"
    assert_same([ours], [plain], done, [alone])


def test_models_with_the_same_weights_drop_differently(tmp_path):
    """On one batch of all examples the first loss depends on the seed by the dropout masks only."""
    params, batch = smoke_params(tmp_path, epochs=1, batch_size=37), padded_batch()
    first = {}
    for rate in (0.0, 0.3):
        done = fine_tune_together(children(rate=rate, removed=[[0]] * 4), batch, params, [1, 2, 3, 1])
        first[rate] = [one.losses[0] for one in done]
    assert first[0.0] == pytest.approx([first[0.0][0]] * 4)
    assert len({round(loss, 4) for loss in first[0.3]}) == 3 and first[0.3][0] == pytest.approx(first[0.3][3])


def test_masks_keep_the_share_asked_for_and_one_row_a_generator():
    masks = Masks()
    masks.places = [(0.1, torch.Size([50, 8])), (0.5, torch.Size([40])), (0.1, torch.Size([2, 3, 5]))]
    drawn = masks.draw([torch.Generator().manual_seed(seed) for seed in (0, 1)], 100)
    assert [mask.shape for mask in drawn] == [(2, 100, 50, 8), (2, 100, 40), (2, 100, 2, 3, 5)]
    for mask, (rate, _) in zip(drawn, masks.places):
        error = math.sqrt(rate * (1 - rate) / mask[0].numel())
        assert ((mask.flatten(1).double().mean(1) - (1 - rate)).abs() < 5 * error).all()
        assert not torch.equal(mask[0], mask[1])
    again = masks.draw([torch.Generator().manual_seed(seed) for seed in (7, 1, 8)], 100)
    assert all(torch.equal(mask[1], other[1]) for mask, other in zip(drawn, again))


def test_a_model_that_diverges_leaves_the_others_alone(tmp_path):
    params, batch = smoke_params(tmp_path, epochs=1, batch_size=16), padded_batch()
    order = ((1,), (2,), (0,))
    ours, theirs = children(removed=order), children(removed=order)
    with torch.no_grad():
        ours[0].classifier.weight.fill_(float("nan"))
        ours[1].classifier.bias[0] = 1e4  # finite, and far from sense
    done = fine_tune_together(ours, batch, params, SEEDS)
    alone = training.fine_tune(theirs[2], batch, params, SEEDS[2])
    assert_same(ours[2:], theirs[2:], done[2:], [alone])
    assert [one.health.diverged for one in done] == [True, True, False]
    assert done[0].health.largest_gradient_norm is None and done[1].health.first_loss > 100


def test_in_16_bits_the_forward_pass_alone_is_rounded(tmp_path):
    params, batch = smoke_params(tmp_path, precision="bf16", epochs=1, batch_size=16), padded_batch()
    ours, theirs = children(dtype=torch.float32), children(dtype=torch.float32)
    done = fine_tune_together(ours, batch, params, SEEDS)
    alone = [training.fine_tune(model, batch, params, seed) for model, seed in zip(theirs, SEEDS)]
    for one, two in zip(done, alone):
        assert one.losses == pytest.approx(two.losses, rel=0.1) and one.losses != two.losses
    assert {parameter.dtype for parameter in ours[0].parameters()} == {torch.float32}


def test_linear_maps_stay_in_16_bits_and_do_not_copy_their_weights(tmp_path):
    """A plain linear map of a batch of models returns 32 bits, and with a slice as its input copies its weights."""
    weight, x = torch.randn(3, 6, 8), torch.randn(3, 5, 7, 8)[:, :, :1]
    linear = TokenLinear(nn.Linear(8, 6, bias=True))
    with forward_context(smoke_params(tmp_path, precision="bf16")):
        run = torch.func.vmap(lambda w, y: torch.func.functional_call(linear, {"weight": w}, (y,)))
        found = run(weight, x)
    expected = torch.einsum("moi,mbti->mbto", weight, x) + linear.bias
    assert found.dtype == torch.bfloat16 and found.shape == (3, 5, 1, 6)
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.05)


def test_what_draws_by_itself_is_refused(tmp_path):
    class Noisy(nn.Linear):
        def forward(self, x):
            return super().forward(F.dropout(x, 0.1, self.training))

    [model] = children(removed=[[0]])
    model.classifier = Noisy(16, CLASSES).double()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(
        UserError, match="^together: models of type bert cannot be trained as one batch; use together=1$"
    ):
        fine_tune_together([model, model], padded_batch(), smoke_params(tmp_path), [0, 1])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_nothing_of_a_batch_outlives_it(tmp_path, monkeypatch):
    """Its stack and the moments of the optimizer are most of a GPU's memory: they must not wait for a garbage collection."""
    held, original = [], batched_training.stack_module_state

    def watched(models):
        stacked = original(models)
        held.extend(weakref.ref(tensor) for tensor in stacked[0].values())
        return stacked

    monkeypatch.setattr(batched_training, "stack_module_state", watched)
    models = children(rate=0.1)
    gc.collect()
    gc.disable()
    try:
        fine_tune_together(models, padded_batch(), smoke_params(tmp_path, epochs=1), SEEDS)
        assert held and all(tensor() is None for tensor in held)
    finally:
        gc.enable()


@pytest.mark.parametrize("removed", [((0,), (1,)), ((1,), (1,))], ids=["unlike", "alike"])
def test_modernbert_is_refused_before_anything_is_trained(removed, tmp_path):
    """Its layers are not all alike, and its attention has no layer of dropout that masks could be given to."""
    models = children("modernbert", removed=removed, dtype=torch.float32)
    before = [parameter.clone() for model in models for parameter in model.parameters()]
    with pytest.raises(UserError, match="models of type modernbert cannot be trained as one batch; use together=1"):
        fine_tune_together(models, padded_batch("modernbert"), smoke_params(tmp_path, **HARD), SEEDS[:2])
    assert all(torch.equal(*pair) for pair in zip(before, (p for model in models for p in model.parameters())))


class Operations(TorchDispatchMode):
    """Counts what computes something: each is a launch on a GPU, where nothing else joins them."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        looks_only = function.is_view or function.overloadpacket.__name__ in ("_unsafe_view", "empty", "empty_like", "new_empty_strided")
        self.count += not looks_only
        return function(*args, **(kwargs or {}))


def operations_of_a_step(models, tmp_path, layers=12):
    """Count them in one training step, of one model alone or of several as a batch: what two more steps add, halved."""
    counts = []
    for steps in (2, 4):
        trained = [tiny_model(layers=layers) for _ in range(models or 1)]
        batch = subsets.subset(padded_batch(examples=64), 8 * steps)
        with Operations() as counted:
            if models:
                fine_tune_together(trained, batch, smoke_params(tmp_path, epochs=1, batch_size=8), list(range(models)))
            else:
                training.fine_tune(trained[0], batch, smoke_params(tmp_path, epochs=1, batch_size=8), 0)
        counts.append(counted.count)
    return (counts[1] - counts[0]) // 2


def test_more_models_make_no_more_launches_and_the_page_says_how_many(tmp_path):
    alone, pair, eight = (operations_of_a_step(models, tmp_path) for models in (0, 2, 8))
    assert eight - pair <= 6, "drawing each model's masks"
    assert eight / 8 < alone / 4, "of a model"
    page = (ROOT / "paperlib" / "driver" / "README.md").read_text()
    for text in (f"| one model alone | {alone:,} | {alone:,} |", f"| a batch of two | {pair:,} | {pair / 2:,.0f} |",
                 f"| a batch of eight | {eight:,} | {eight / 8:,.0f} |"):  # fmt: skip
        assert text in page, text


def operations(measure):
    with Operations() as counted:
        measure()
    return counted.count


def test_measuring_a_model_makes_fewer_launches_than_its_rounds_of_training_and_the_page_says_how_many(monkeypatch, tmp_path):
    """Counted as a GPU runs them: 256 texts of 32 tokens, so many at a time as it takes."""
    model, params = tiny_model(layers=12).eval(), smoke_params(tmp_path, signal_size=2)
    monkeypatch.setattr(signals, "CHUNK", signals.TOKENS_ON_GPU // 32)
    monkeypatch.setattr(training, "EVALUATION_CHUNK", 256)
    monkeypatch.setattr(ablation, "EVALUATION_CHUNK", 256)
    batch = padded_batch(examples=256)
    counts = {
        "its accuracy on one split": operations(lambda: training.predict(model, batch, params)),
        "the drop of every layer on one split": operations(lambda: ablation.single_removals(model, batch)),
        "the twelve signals": operations(lambda: signals.measure(model, batch, params)),
    }
    split, drops, all_signals = counts.values()
    share_of_a_step = operations_of_a_step(8, tmp_path) / 8
    assert 2 * (split + drops) + all_signals < 96 * share_of_a_step
    page = (ROOT / "paperlib" / "driver" / "README.md").read_text()
    for what, count in counts.items():
        assert f"| {what} | {count:,} |" in page, (what, count)
