"""What a run is said to cost: the count by hand, the time by what was calibrated."""

import gc
import weakref

import pytest
import torch
from conftest import FAMILIES, smoke_params, tiny_config, tiny_model
from transformers import AutoConfig, AutoModelForSequenceClassification

from paperlib.common import hardware
from paperlib.common.errors import UserError
from paperlib.driver import plan, run
from paperlib.model import batched_training, memory
from paperlib.nodes import calibration, compute, parallel

FIXED = {"random_orders": 1, "max_removed": 2, "train_size": 32, "batch_size": 16, "epochs": 1}
SMALL = {"validation_size": 16, "test_size": 24, "signal_size": 16}


def seconds_by_hand(params, levels: list[int], alone: float, in_batch: float, workers: int) -> float:
    """Four layers, 2 steps a round and (24 + 16) / 16 batches passed forward, each a third of a step.

    Of the models with four layers and with three, up to 16 have their signals measured (12 signals, 4 fusers: one
    batch), up to 3 an ablation on 24 test examples (2 fusers, greedy), up to 2 on 16 validation examples; an ablation
    of four layers is 2.5 forward passes, of three 2.
    """
    rounds = 2 + (24 + 16) / 16 / 3
    chain = 2 * rounds * alone * 4
    spread = sum(count * rounds * in_batch * (4 - depth) for depth, count in enumerate(levels))
    original, first = 1 + 2.5 * (24 + 16) / 16 / 3, 5 + 2 * (3 * 24 + 2 * 16) / 16 / 3
    assert levels[:2] == [1, 5], "of one node each is measured once; of five (One-Shot's removes two), all have signals"
    spread += original * alone * 4 + first * alone * 3
    subsets = 15 / 4 * (24 + 16) / 16 / 3 * alone * 4  # 15 of four layer passes, over test and validation
    return max(chain, (chain + spread) / workers) + rounds * alone * 4 + plan.NOTEBOOK_SECONDS + subsets


@pytest.mark.parametrize(("workers", "share"), [(1, 1), (3, 6 / 16), (99, 1 / 16)])
def test_all_sets_of_layers_are_shared_out(workers: int, share: float) -> None:
    batch = {name: torch.zeros(70) for name in ("input_ids", "attention_mask", "labels")}  # two chunks of eight shares
    assert plan._sets(12, batch, workers) == pytest.approx((2**12 - 1) * 70 / 3 * share)


@pytest.mark.parametrize(("together", "workers"), [(0, 1), (1, 3), (5, 1)], ids=["one core", "three cores", "batches"])
def test_time_follows_from_steps_and_cores(tmp_path, monkeypatch, together: int, workers: int) -> None:
    params = smoke_params(tmp_path, together=together, workers=workers, **FIXED, **SMALL)
    levels = plan._nodes_at_most(params, 4)
    asked = []

    def calibrated(params, total, models=1):
        asked.append(models)
        return lambda left: left * (0.1 if models == 1 else 0.02)

    monkeypatch.setattr(plan, "calibrate", calibrated)
    planned = plan.plan([params])
    in_batch = 0.1 if together < 2 else 0.02
    assert planned.seconds == pytest.approx(seconds_by_hand(params, levels, 0.1, in_batch, workers))
    assert asked == ([1] if together < 2 else [1, 5])
    assert planned.fine_tunes == sum(levels) + 2 + 2
    assert plan.plan([params, params.replace(seed=1)]).seconds == pytest.approx(2 * planned.seconds)


def test_a_batch_is_timed_as_the_study_trains_it(tmp_path, monkeypatch) -> None:
    sizes, original = [], batched_training.fine_tune_together

    def counted(models, *arguments):
        sizes.append(len(models))
        return original(models, *arguments)

    monkeypatch.setattr(batched_training, "fine_tune_together", counted)
    per_step = calibration.calibrate(smoke_params(tmp_path, together=3, **FIXED, **SMALL), 4, 3)
    assert sizes == [3] * 4 and per_step(0) > 0


def test_models_that_do_not_fit_are_let_go_before_fewer_are_tried(tmp_path, monkeypatch) -> None:
    tried, models_of = [], {}

    def full(models, *arguments):
        left = [size for size, first in models_of.items() if first() is not None]
        tried.append((len(models), left))
        models_of[len(models)] = weakref.ref(models[0])
        if len(models) > 2:
            raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(batched_training, "fine_tune_together", full)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    calibration.calibrate(smoke_params(tmp_path, together=9, **FIXED, **SMALL), 4, 9)
    assert [many for many, _ in tried] == [9, 4, 2, 2, 2, 2] and [left for _, left in tried[:3]] == [[]] * 3

    def never(*arguments, **more):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(calibration.training, "fine_tune", never)
    with pytest.raises(UserError, match="too little memory for one model"):
        calibration.calibrate(smoke_params(tmp_path, together=1, **FIXED, **SMALL), 4)


def test_a_step_is_timed_by_the_steps_that_there_are_texts_for(tmp_path, monkeypatch) -> None:
    """32 training texts are one step of 32: a clock that only these steps move on says so."""
    now = [0.0]

    def trained(model, texts, params, seed):
        now[0] += -(-len(texts["labels"]) // params.batch_size)

    monkeypatch.setattr(calibration.training, "fine_tune", trained)
    monkeypatch.setattr(calibration.time, "perf_counter", lambda: now[0])
    for batch_size in (32, 20, 8):
        per_step = calibration.calibrate(smoke_params(tmp_path, **{**FIXED, **SMALL, "train_size": 32, "batch_size": batch_size}), 4)
        assert per_step(4) == per_step(0) == 1


@pytest.mark.parametrize("batch_size", [8, 1])
@pytest.mark.parametrize(("a_step", "steps"), [(0.1, [1, 3, 1, 3]), (60.0, [1, 1])])
def test_a_step_that_takes_long_is_timed_once(a_step, steps, batch_size, tmp_path, monkeypatch) -> None:
    """The first step warms up, and is slower by a second: where steps take minutes nobody waits for six more."""
    now, tried = [0.0], []

    def trained(model, texts, params, seed):
        tried.append(-(-len(texts["labels"]) // params.batch_size))
        now[0] += a_step * tried[-1] + (tried[-1] == 1)

    monkeypatch.setattr(calibration.training, "fine_tune", trained)
    monkeypatch.setattr(calibration.time, "perf_counter", lambda: now[0])
    per_step = calibration.calibrate(smoke_params(tmp_path, **{**FIXED, **SMALL, "train_size": 32, "batch_size": batch_size}), 4)
    assert tried == steps and per_step(4) == pytest.approx(a_step, rel=0.02)


def test_levels_are_no_wider_than_there_are_orders(tmp_path) -> None:
    """Of 4 layers: 1 original, 4 first removals at most, 12 second ones at most; and two at once, then a round more."""
    wide = plan._nodes_at_most(smoke_params(tmp_path, **{**FIXED, "random_orders": 50}), 4)
    assert wide == [1, 4 + 1, 12 + 1]


def whole_of(folder):
    with torch.device("meta"):
        return sum(p.numel() for p in AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder)).parameters())


@pytest.fixture(params=FAMILIES)
def kind(request):
    return request.param


@pytest.fixture
def configured(kind, tmp_path):
    """A study of a model of which nothing but its configuration is there."""
    tiny_config(kind, layers=3, hidden=128).save_pretrained(tmp_path / "model")
    return smoke_params(tmp_path, model=str(tmp_path / "model"), workers=0, device="cpu")


def test_memory_decides_how_many_processes_train(kind, configured):
    model = tiny_model(kind, layers=3, hidden=128)
    copies = 5 * 4 * sum(parameter.numel() for parameter in model.parameters())  # with its parent, gradient and moments
    libraries, beside = 0.55e9, 1.2e9
    each = libraries + copies + memory.kept_bytes(model, 3, configured)
    for total in (1e9 * gigabytes for gigabytes in range(1, 65)):
        held = memory.processes_at_a_time(configured, total)
        assert held == 1 or (held + 1) * each + beside <= 0.9 * total, "a kernel trains too"
        assert (held + 2) * each + beside > 0.9 * total
    longer = configured.replace(batch_size=256, max_tokens=64)
    assert memory.processes_at_a_time(longer, 32e9) < memory.processes_at_a_time(configured, 32e9)


@pytest.mark.parametrize("kind", ["mpnet"], indirect=True)
def test_no_more_processes_train_than_memory_holds(configured, monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 8)
    monkeypatch.setattr(parallel, "memory_gb", lambda: 4.0)
    held = memory.processes_at_a_time(configured, 4e9)
    assert 1 < held < 8 and parallel.workers_of(configured) == held
    assert parallel.remark(configured).startswith(f"{held} of 8 cores train: 4 GB of memory hold no more")
    assert parallel.workers_of(configured.replace(workers=7)) == 7 and not parallel.remark(configured.replace(workers=7))
    for unknown in (configured.replace(model="nobody/has-this-model"), configured.replace(model="random-bert")):
        assert parallel.workers_of(unknown) == 8 and not parallel.remark(unknown)
    monkeypatch.setattr(parallel, "memory_gb", lambda: hardware.UNKNOWN)
    assert parallel.workers_of(configured) == 8


@pytest.mark.parametrize("here", [True, False])
def test_who_has_planned_lets_go_of_model_and_data(here, tmp_path, monkeypatch, capsys):
    params = smoke_params(tmp_path, workers=1, **FIXED, **SMALL)
    monkeypatch.setattr(parallel, "remark", lambda params: "fewer than cores")
    kept = weakref.ref(compute.bench_of(params).pretrained)
    run._announce([params], here)
    gc.collect()
    assert kept() is None
    assert ("fewer than cores" in capsys.readouterr().out) == here, "elsewhere the memory of this computer is not asked for"


@pytest.mark.parametrize("kind", ["mpnet"], indirect=True)
def test_a_large_vocabulary_counts_as_it_is_trained(configured):
    """Of the tokens of a table those in use are trained; the whole one is read once."""
    few = configured.replace(train_size=2, validation_size=2, test_size=2, signal_size=2, max_tokens=4)
    for ids in (1_000, 10_000_000):
        config = AutoConfig.from_pretrained(configured.model)
        config.vocab_size = ids
        config.save_pretrained(f"{configured.model}-{ids}")
    small, large = (memory.processes_at_a_time(few.replace(model=f"{configured.model}-{ids}"), 64e9) for ids in (1_000, 10_000_000))
    assert large == int((0.9 * 64e9 - 1.2e9) / (0.55e9 + 2 * 4 * whole_of(f"{configured.model}-10000000"))) - 1 < small
    assert small == memory.processes_at_a_time(few, 64e9), "a thousand ids, of which 24 are in use at most"


def test_a_model_that_comes_is_asked_again(tmp_path):
    params = smoke_params(tmp_path, model=str(tmp_path / "model"), workers=0, device="cpu")
    assert memory.processes_at_a_time(params, 64e9) is None
    tiny_config(layers=3).save_pretrained(tmp_path / "model")
    assert memory.processes_at_a_time(params, 64e9) > 1
