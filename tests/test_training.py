"""Fine-tuning: the update rule by hand, everything drawn from one seed, and losses by independent formulas."""

import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import CLASSES, logits_of, padded_batch, smoke_params, tiny_model
from scipy.special import log_softmax
from torch import nn

from paperlib.common.errors import UserError
from paperlib.data import subsets
from paperlib.model import device, encoder, memory, training


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def adamw_by_hand(model, batch, params, steps):
    """Take AdamW steps on the whole batch by the formulas; return the losses and the norms before clipping."""
    parameters = [p for p in model.parameters()]
    first, second = [torch.zeros_like(p) for p in parameters], [torch.zeros_like(p) for p in parameters]
    losses, norms, (b1, b2), epsilon = [], [], (0.9, 0.999), 1e-8
    for t in range(1, steps + 1):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        rows = torch.arange(len(batch["labels"]))
        loss = (torch.logsumexp(logits, 1) - logits[rows, batch["labels"]]).mean()
        gradients = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(g.double().square().sum().item() for g in gradients))
        rate = params.learning_rate * (1.0 if params.schedule == "constant" else 1 - (t - 1) / steps)
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, first, second):
                g = g * min(1.0, params.max_grad_norm / norm)
                m.mul_(b1).add_((1 - b1) * g)
                v.mul_(b2).add_((1 - b2) * g * g)
                p.mul_(1 - rate * params.weight_decay)
                p.sub_(rate * (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + epsilon))
        losses.append(loss.item())
        norms.append(norm)
    return losses, norms


@pytest.mark.parametrize("schedule", ["constant", "linear"])
@pytest.mark.parametrize("steps", [1, 4])
def test_steps_equal_adamw_by_hand(schedule, steps, tmp_path):
    batch = padded_batch(examples=20)
    params = smoke_params(
        tmp_path,
        epochs=steps,
        batch_size=20,
        schedule=schedule,
        learning_rate=1.0e-2,
        weight_decay=0.1,
        max_grad_norm=0.5,
    )
    ours, by_hand = without_dropout(tiny_model()), without_dropout(tiny_model())
    done = training.fine_tune(ours, batch, params, seed=3)
    losses, norms = adamw_by_hand(by_hand.train(), batch, params, steps)
    assert max(norms) > 0.5, "clipping must matter"
    for (name, mine), other in zip(ours.named_parameters(), by_hand.parameters()):
        if name.endswith("key.bias"):  # softmax ignores it: its gradient is rounding, which AdamW scales up
            continue
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5, msg=name)
    assert done.losses == pytest.approx(losses, rel=1e-4)
    assert done.health.first_loss == pytest.approx(losses[0], rel=1e-5)
    assert done.health.last_loss == pytest.approx(losses[-1], rel=1e-4)
    assert done.health.largest_gradient_norm == pytest.approx(max(norms), rel=1e-4)
    assert not done.health.diverged and done.seconds > 0 and not ours.training


def test_the_seed_decides_everything(tmp_path):
    params, batch = smoke_params(tmp_path), padded_batch()
    results = []
    for disturb, seed in ((0, 5), (1, 5), (0, 6)):
        model = tiny_model()
        torch.manual_seed(disturb)
        torch.rand(disturb)
        training.fine_tune(model, batch, params, seed)
        results.append(weights(model))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_every_epoch_sees_every_example_once(tmp_path):
    params, batch, seen = smoke_params(tmp_path, epochs=3, batch_size=8), padded_batch(examples=21), []
    model = tiny_model()
    model.register_forward_pre_hook(
        lambda m, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    training.fine_tune(model, batch, params, 0)
    assert [len(ids) for ids in seen] == [8, 8, 5] * 3
    epochs = torch.cat(seen).split(21)
    rows = sorted(batch["input_ids"].tolist())
    assert all(sorted(epoch.tolist()) == rows for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1]), "each epoch draws an order of its own"


def test_the_loss_decreases_and_topics_are_learnt(tmp_path):
    params = smoke_params(tmp_path, epochs=16, train_size=128, learning_rate=3.0e-3)
    dataset = subsets.load(params, encoder.load_tokenizer(params))
    model = encoder.restrict_vocabulary(encoder.load_model(params, dataset.class_names), dataset.token_ids)
    done = training.fine_tune(model, dataset.train, params, 0)
    assert np.mean(done.losses[-4:]) < 0.7 * np.mean(done.losses[:4])
    assert training.correct(training.predict(model, dataset.test), dataset.test).float().mean() > 0.5


@pytest.mark.parametrize(
    "alpha, temperature, squared", [(0.5, 2.0, False), (0.3, 4.0, True), (0.0, 1.0, False), (1.0, 2.0, False), (0.5, 0.01, False), (0.5, 1000.0, True)]
)
def test_distillation_loss_by_scipy(alpha, temperature, squared, tmp_path):
    params = smoke_params(tmp_path, kd_alpha=alpha, kd_temperature=temperature, kd_t_squared=squared)
    rng = np.random.default_rng(0)
    student, teacher, labels = (
        3 * rng.normal(size=(11, 5)),
        3 * rng.normal(size=(11, 5)),
        rng.integers(0, 5, 11),
    )
    cross_entropy = -np.mean([log_softmax(row)[label] for row, label in zip(student, labels)])
    logs = [(log_softmax(t / temperature), log_softmax(s / temperature)) for t, s in zip(teacher, student)]
    divergence = np.mean([np.exp(of_teacher) @ (of_teacher - of_student) for of_teacher, of_student in logs])
    expected = alpha * cross_entropy + (1 - alpha) * divergence * (temperature**2 if squared else 1)
    logits = torch.tensor(student)
    loss = nn.functional.cross_entropy(logits, torch.tensor(labels))
    assert training.distillation_loss(loss, logits, torch.tensor(teacher), params).item() == pytest.approx(
        expected
    )


def test_a_teacher_that_agrees_costs_nothing(tmp_path):
    logits = torch.randn(6, 4, dtype=torch.float64)
    params = smoke_params(tmp_path, kd_alpha=0.0)
    loss = training.distillation_loss(
        torch.tensor(9.0), logits, logits + 5.0, params
    )  # softmax ignores a shift
    assert loss.item() == pytest.approx(0.0, abs=1e-12)


def test_distilling_uses_the_teachers_row_of_each_example(tmp_path):
    """The first loss, of one batch in a drawn order, is that of the whole set only when rows stay aligned."""
    batch, model = padded_batch(examples=20), without_dropout(tiny_model())
    params = smoke_params(tmp_path, epochs=1, batch_size=20, kd_alpha=0.4)
    teacher = 5 * torch.randn(20, CLASSES, generator=torch.Generator().manual_seed(1))
    logits = logits_of(model, batch)
    loss = nn.functional.cross_entropy(logits, batch["labels"])
    expected = training.distillation_loss(loss, logits, teacher, params).item()
    shuffled = training.distillation_loss(loss, logits, teacher.flip(0), params).item()
    assert abs(expected - shuffled) > 1e-3
    assert training.fine_tune(model, batch, params, 0, teacher).losses[0] == pytest.approx(expected, rel=1e-5)


def test_with_alpha_one_the_teacher_has_no_say(tmp_path):
    params, batch = smoke_params(tmp_path, kd_alpha=1.0), padded_batch()
    taught, alone = tiny_model(), tiny_model()
    training.fine_tune(taught, batch, params, 0, torch.randn(37, CLASSES))
    training.fine_tune(alone, batch, params, 0)
    for mine, other in zip(taught.parameters(), alone.parameters()):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


def test_predictions_do_not_depend_on_the_chunk(monkeypatch):
    model, batch = tiny_model(), padded_batch(examples=70)
    wanted = training.predict(model.train(), batch)
    torch.testing.assert_close(wanted, logits_of(model, batch), rtol=0, atol=1e-5)
    for chunk in (1, 7, 70, 1000):
        monkeypatch.setattr(training, "EVALUATION_CHUNK", chunk)
        torch.testing.assert_close(training.predict(model, batch), wanted, rtol=0, atol=1e-5)
    assert wanted.shape == (70, CLASSES) and wanted.dtype == torch.float32


def test_correct_compares_with_the_largest_logit():
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0], [-1.0, -2.0, -0.5]])
    assert training.correct(logits, {"labels": torch.tensor([1, 1, 2])}).tolist() == [True, False, True]


def test_a_fine_tune_that_diverges_says_so(tmp_path):
    batch, params = padded_batch(), smoke_params(tmp_path)
    broken = tiny_model()
    with torch.no_grad():
        broken.classifier.weight[0, 0] = float("nan")
    health = training.fine_tune(broken, batch, params, 0).health.as_dict()
    assert health == {"first_loss": None, "last_loss": None, "largest_gradient_norm": None, "diverged": True}
    wild = training.fine_tune(
        tiny_model(), batch, smoke_params(tmp_path, learning_rate=0.9, epochs=4), 0
    ).health
    assert wild.diverged, "a final loss far above log(classes) must be told"


def test_bf16_stays_close_to_fp32(tmp_path):
    exact, rough = smoke_params(tmp_path), smoke_params(tmp_path, precision="bf16")
    model, batch = tiny_model(), padded_batch()
    fp32, bf16 = training.predict(model, batch, exact), training.predict(model, batch, rough)
    assert bf16.dtype == torch.float32 and not torch.equal(fp32, bf16)
    assert (fp32 - bf16).abs().max() < 0.03 * fp32.abs().max()


def test_training_in_bf16_follows_fp32_with_the_backward_pass_outside_autocast(tmp_path):
    batch, losses, inside = padded_batch(examples=64), {}, []
    for precision in ("fp32", "bf16"):
        model = without_dropout(tiny_model())
        if precision == "bf16":
            model.classifier.weight.register_hook(
                lambda gradient: inside.append(torch.is_autocast_enabled("cpu"))
            )
        params = smoke_params(tmp_path, precision=precision, epochs=6, batch_size=16)
        losses[precision] = training.fine_tune(model, batch, params, 0).losses
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert inside and not any(inside), "autocast must be left before the backward pass"
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert losses["bf16"] != losses["fp32"]


def test_device_and_precision_are_resolved(tmp_path):
    params = smoke_params(tmp_path)
    assert device.device_of(params) == torch.device("cpu")
    assert device.precision_of(params) == "fp32"
    assert device.precision_of(params.replace(precision="auto")) == os.environ["PAPERLIB_AUTO_PRECISION"], "see conftest.py"


AVX, AMX, AMD, INTEL = {"avx512_bf16": True}, {"avx512_bf16": True, "amx_bf16": True}, {"cpu_name": "AMD EPYC"}, {"cpu_name": "Intel Xeon"}


@pytest.mark.parametrize("has, precision", [
    ({}, "fp32"), (INTEL, "fp32"), (AMD | {"avx512_f": True}, "fp32"), (AVX, "bf16"), (AMD | AVX, "bf16"), (INTEL | AMX, "bf16"),
    (INTEL | AVX, "fp32"), (INTEL | AVX | {"amx_bf16": False}, "fp32"),
], ids=str)  # fmt: skip
def test_auto_precision_is_bf16_where_the_processor_is_faster_in_it(has, precision, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert device.precision_of.resolved_here(smoke_params(tmp_path, precision="auto")) == precision


@pytest.mark.parametrize("major, precision", [(7, "fp32"), (8, "bf16"), (9, "bf16")])
def test_auto_precision_is_bf16_on_cards_that_do_not_emulate_it(major, precision, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda card: SimpleNamespace(major=major))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda card: True)  # a T4 holds such a tensor
    assert device.precision_of.resolved_here(smoke_params(tmp_path, precision="auto", device="auto")) == precision


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UserError, match="^device: no CUDA device is available"):
        device.device_of(smoke_params(tmp_path, device="cuda"))
    assert device.device_of(smoke_params(tmp_path, device="auto")) == torch.device("cpu")


def test_memory_is_kept_where_the_library_can_and_else_nothing_happens(monkeypatch):
    asked = []
    glibc = type("Library", (), {"mallopt": staticmethod(lambda *pair: asked.append(pair))})
    for library in (glibc, object()):
        monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: library)
        memory.keep_freed()
    assert asked == [(-4, 0), (-1, -1), (-2, 2**26)], "the numbers of glibc's malloc.h"
