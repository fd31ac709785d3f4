"""Studies that train the models of a level together: the same records, whatever shares a batch; memory decides how many."""

import weakref

import pytest
import torch
from conftest import smoke_params
from torch import nn
from transformers import AutoModelForSequenceClassification, BertConfig

from paperlib import params
from paperlib.common.errors import UserError
from paperlib.model import batched_training, encoder, memory, together
from paperlib.model.device import forward_context
from paperlib.model.given_dropout import Masks
from paperlib.nodes import compute, compute_together, fingerprint
from paperlib.tree import Study

TINY = {
    "train_size": 32,
    "validation_size": 16,
    "test_size": 24,
    "epochs": 1,
    "signal_size": 16,
    "random_orders": 3,
}
MEASURED = ["Attention-Entropy", "Greedy-Ablation"]
DRAWN = ["Equal-Training", *(f"Random-All-{number}" for number in range(3))]  # they need no measurements
EVERY_PART = {"signals", "ablation_test", "ablation_validation"}


@pytest.fixture
def without_dropout(monkeypatch):
    original = encoder.load_model

    def load(*args):
        model = original(*args)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return model

    monkeypatch.setattr(encoder, "load_model", load)


@pytest.fixture
def batches(monkeypatch):
    """Note how many models were trained at a time."""
    sizes, original = [], batched_training.fine_tune_together

    def noted(models, *args):
        sizes.append(len(models))
        return original(models, *args)

    monkeypatch.setattr(batched_training, "fine_tune_together", noted)
    monkeypatch.setattr(compute_together, "fine_tune_together", noted)
    return sizes


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """Return a study whose models were trained five at a time, or as many as a level has."""
    return grown(tmp_path_factory.mktemp("five"), together=5)


def grown(folder, walks=DRAWN, **settings):
    study = Study(smoke_params(folder, **TINY, **settings))
    study.grow(walks)
    return study


def assert_same_nodes(one, other):
    """Compare every number of every node: bits of correctness equal, the rest up to rounding."""
    nodes, others = one.nodes(), other.nodes()
    assert [node.removed for node in nodes] == [node.removed for node in others]
    for node, twin in zip(nodes, others):
        assert node.record.keys() == twin.record.keys()
        for key in node.record.keys() - {"seconds", "sha256", "fingerprint", "training", *EVERY_PART}:
            if key != "health":
                assert node.record[key] == twin.record[key], key
        assert node.record["health"] == pytest.approx(twin.record["health"], rel=1e-4)
        assert node.record["seconds"].keys() == twin.record["seconds"].keys()
        for part in EVERY_PART & node.record.keys():
            for name, values in node.record[part].items():
                expected = twin.record[part][name]
                near = expected if name == "correct" else pytest.approx(expected, rel=1e-3, abs=1e-5)
                assert values == near, (node, part, name)


def test_without_dropout_a_study_has_the_records_of_one_grown_one_at_a_time(
    tmp_path, without_dropout, batches
):
    alone = grown(tmp_path / "alone", [*MEASURED, *DRAWN], together=1)
    assert batches == []
    joint = grown(tmp_path / "joint", [*MEASURED, *DRAWN], together=4)
    assert_same_nodes(alone, joint)
    assert max(batches) > 2 and sum(batches) == len(joint.nodes())


def test_a_node_does_not_depend_on_its_company(five, tmp_path, batches):
    assert_same_nodes(five, grown(tmp_path / "two", together=2))
    assert max(batches) == 2
    deep = max((node.removed for node in five.nodes() if None not in node.removed), key=len)
    batches.clear()
    apart = Study(smoke_params(tmp_path / "apart", **TINY, together=3)).node(deep)
    assert batches == [1] * (len(deep) + 1), "nothing but its path is trained"
    assert apart.record["test_correct"] == five.store.read(deep).record["test_correct"]
    assert apart.record["health"] == pytest.approx(five.store.read(deep).record["health"], rel=1e-4)


def test_lost_weights_are_trained_again_with_the_same_masks(tmp_path, batches):
    study = grown(tmp_path, ["Random-All-0", "Random-All-1"], together=2)
    removed = study.walk("Random-All-0").nodes[2].removed
    before = compute.model_of(study.params, removed)
    for path in study.store.weights.folder.glob("*.safetensors"):
        path.unlink()
    again = compute.model_of(study.params, removed)
    for (name, one), two in zip(before.named_parameters(), again.parameters()):
        if not name.endswith("key.bias"):  # softmax ignores it: its gradient is rounding
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4, msg=name)
    assert batches[-3:] == [1, 1, 1], "its path, and nothing else"


def test_an_interrupted_batch_is_made_again(five, tmp_path, monkeypatch):
    writes, original = [], compute.Store.write

    def interrupted(store, record):
        writes.append(record["removed"])
        if len(writes) == 3:
            raise KeyboardInterrupt
        return original(store, record)

    monkeypatch.setattr(compute.Store, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grown(tmp_path, together=5)
    monkeypatch.setattr(compute.Store, "write", original)
    assert_same_nodes(five, grown(tmp_path, together=5))


def test_when_memory_runs_out_the_batch_is_halved(five, tmp_path, monkeypatch, batches):
    most, held, clip = 2, [], batched_training.clip_each

    def limited(parameters, limit):
        if len(parameters[0]) > most:
            held.extend(weakref.ref(parameter) for parameter in parameters)
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert all(parameter() is None for parameter in held), "the failed batch still holds its memory"
        return clip(parameters, limit)

    monkeypatch.setattr(batched_training, "clip_each", limited)
    tight = grown(tmp_path / "tight", together=5)
    assert held and max(batches) > 2
    assert_same_nodes(five, tight)
    most = 0
    with pytest.raises(UserError, match="^the GPU has too little memory for one model: lower batch_size$"):
        Study(smoke_params(tmp_path / "none", **TINY, together=5)).node(())


def test_where_models_are_trained_together(monkeypatch, tmp_path):
    base = smoke_params(tmp_path)
    assert [together.is_on(base.replace(together=n)) for n in (0, 1, 2, 9)] == [False, False, True, True]
    monkeypatch.setattr(together, "device_of", lambda params: torch.device("cuda"))
    assert [together.is_on(base.replace(together=n)) for n in (0, 1, 2)] == [True, False, True]


def test_the_number_at_a_time_is_no_part_of_a_study(tmp_path, monkeypatch):
    base = smoke_params(tmp_path)
    of = {n: fingerprint.of_study(base.replace(together=n)) for n in (0, 1, 2, 3)}
    assert of[0] == of[1] != of[2] == of[3]
    left_out = []
    monkeypatch.setattr(fingerprint, "of_code", lambda *places, without: left_out.append(set(without)) or "")
    fingerprint.of_study(base)
    fingerprint.of_study(base.replace(together=2))
    assert left_out[0] - left_out[1] == set(fingerprint.TOGETHER)


@pytest.mark.parametrize("said", ["together=-1", "together=2.5", "together=all"])
def test_a_number_of_models_is_asked_for(said):
    with pytest.raises(UserError, match="^command line: together: must be "):
        params.load("smoke", settings=said)


def test_batches_are_few_and_even():
    for n in range(1, 40):
        for size in range(1, 12):
            parts = together.split(list(range(n)), size)
            assert [item for part in parts for item in part] == list(range(n)) and len(parts) == -(-n // size)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1 and max(map(len, parts)) <= size
    assert together.split([], 3) == []


def wide_model(layers, hidden=64, tokens=32):
    config = BertConfig(
        vocab_size=50, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=4 * hidden,
        max_position_embeddings=tokens,
    )  # fmt: skip
    return AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("layers, tokens", [(3, 32), (5, 64)])
def test_the_estimate_covers_what_a_step_keeps(precision, layers, tokens, tmp_path):
    """Count the distinct bytes that autograd keeps for the backward pass, but for the weights themselves."""
    setting = smoke_params(tmp_path, precision=precision, batch_size=16, max_tokens=tokens)
    models, masks, kept = [wide_model(layers, tokens=tokens) for _ in range(2)], Masks(), {}
    forward = batched_training._stacked_forward(models[0], masks)
    weights, _ = torch.func.stack_module_state(models)
    ids = torch.randint(0, 50, (2, 16, tokens))
    batched_training._learn_places(
        models[0], masks, forward, {"input_ids": ids[0], "attention_mask": torch.ones_like(ids[0])}
    )
    drawn = masks.draw([torch.Generator().manual_seed(seed) for seed in (0, 1)], 16)
    own = {tensor.untyped_storage().data_ptr() for tensor in weights.values()}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (
                storage.nbytes(),
                storage,
            )  # the storage itself: addresses are used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), forward_context(setting):
        forward(weights, ids, torch.ones_like(ids), drawn)
    measured = sum(size for size, _ in kept.values()) / 2
    assert measured < memory.kept_bytes(models[0], layers, setting) < 3 * measured


def test_memory_decides_how_many(tmp_path):
    model, setting = wide_model(4), smoke_params(tmp_path)
    needs = [memory.bytes_of(model, layers, setting) for layers in range(5)]
    assert needs == sorted(set(needs))
    assert needs[4] > 7 * 4 * sum(parameter.numel() for parameter in model.parameters())
    free = 10.1 * needs[4] / memory.USED_SHARE
    assert memory.models_at_a_time(model, 4, setting, free) == 10
    assert memory.models_at_a_time(model, 0, setting, free) > 10
    assert memory.models_at_a_time(model, 4, setting, 0.1 * needs[4]) == 1, "one is tried in any case"
    assert memory.models_at_a_time(model, 4, setting.replace(together=3), free) == 3
    assert memory.free_bytes(torch.device("cpu")) == float("inf")
