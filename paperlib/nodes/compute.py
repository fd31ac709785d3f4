"""Compute one node of the layer-removal tree: load its parent, remove a layer, fine-tune, measure, write."""

import time
from dataclasses import dataclass
from functools import lru_cache

import torch
from transformers import PreTrainedModel

from paperlib import ablation, signals
from paperlib.common import hardware
from paperlib.common.errors import UserError
from paperlib.data import pretrained, subsets
from paperlib.data.subsets import Batch, Dataset
from paperlib.model import batched_training, encoder, memory, together, training
from paperlib.model.device import device_of, forward_context
from paperlib.names import SIGNALS
from paperlib.nodes import contract
from paperlib.nodes.fingerprint import of_study
from paperlib.nodes.node import Node, Removed, columns, label, layers_of, pack, seed_of
from paperlib.nodes.store import KNOWN_SIGNALS, Store, store_of
from paperlib.params import Params

Trained = tuple[PreTrainedModel, training.Training]


@dataclass(frozen=True)
class Bench:
    """What a process needs to compute nodes: the data and the pretrained model on the device, and the store."""

    params: Params
    dataset: Dataset
    pretrained: PreTrainedModel  # with the vocabulary cut to the ids in use
    store: Store

    @property
    def layers(self) -> int:
        """L, the number of layers of the pretrained model."""
        return len(encoder.layers(self.pretrained))


def bench_of(params: Params) -> Bench:
    """Load data and pretrained model, once per process and study: a table or a model that was changed is another's."""
    return _bench(params.model_dump_json(), of_study(params))


def compute_node(
    params: Params, removed: Removed, parts: frozenset[str], keep_weights: bool = True, trained: Trained | None = None
) -> Node:
    """Return the node with the measurements `parts`, computing and writing whatever is not in the store.

    Its record holds what `_results` says of the fine-tune and each part that was ever asked for (`_measure`), with seconds.
    `trained` is the model when it has been fine-tuned already, together with others.
    On a processor every fine-tune uses one thread, so that its numbers do not depend on how many run beside it.
    """
    bench = bench_of(params)
    node = bench.store.adopt(removed)
    if node is not None and node.has(parts) and (bench.store.weights.has(removed) or not keep_weights):
        return node
    record = dict(node.record) if node else {}
    model = model_of(params, removed, record, keep_weights, trained)
    for part in sorted(part for part in parts if record.get(part) is None):
        started = time.perf_counter()
        record[part] = _measure(part, model, bench, record)
        before = record["seconds"].get(part, 0.0)  # of what is known of it from another study of the same model
        record["seconds"] = {**record["seconds"], part: before + time.perf_counter() - started}
    return bench.store.write(record)


def model_of(
    params: Params,
    removed: Removed,
    record: dict | None = None,
    keep_weights: bool = True,
    trained: Trained | None = None,
) -> PreTrainedModel:
    """Return a node's fine-tuned model, from the cache or by replaying its path.

    When `record` is given and empty, it is filled with the results of the fine-tune.
    """
    bench = bench_of(params)
    numbers = layers_of(removed)
    if record != {} and (state := bench.store.weights.load(removed)) is not None:
        model = encoder.remove_layers(bench.pretrained, numbers)
        model.load_state_dict(state)
        return model.eval()
    model, done = trained or _train(removed, bench)
    if keep_weights:
        bench.store.weights.save(removed, model.state_dict())
    if record == {}:
        record.update(_results(model, removed, done, bench))
    return model


def signal_batch(params: Params, dataset: Dataset) -> Batch:
    """Return the examples on which activations and gradients are measured."""
    return subsets.subset(getattr(dataset, params.signal_split), params.signal_size)


def parent_of(bench: Bench, removed: Removed) -> PreTrainedModel:
    """Return the fine-tuned model that a node's model is made from; for the original model, the pretrained one."""
    return model_of(bench.params, removed[:-1]) if removed else bench.pretrained


def child_of(parent: PreTrainedModel, removed: Removed) -> PreTrainedModel:
    """Return a copy of a node's parent without what the node's last round removes, not yet fine-tuned."""
    return encoder.remove_layers(parent, layers_of(removed[-1:]))


def _train(removed: Removed, bench: Bench) -> Trained:
    """Fine-tune a node's model alone, by the same function as its siblings."""
    model, params = child_of(parent_of(bench, removed), removed), bench.params
    if not removed and params.fine_tuned:
        return model.eval(), training.UNTRAINED
    seed = seed_of(params.seed, params.dataset, removed)
    if together.is_on(params):
        return model, batched_training.fine_tune_together([model], bench.dataset.train, params, [seed])[0]
    return model, training.fine_tune(model, bench.dataset.train, params, seed)


def _results(model: PreTrainedModel, removed: Removed, done: training.Training, bench: Bench) -> dict:
    """Evaluate a fine-tuned model on the test subset and put its results into a record."""
    started = time.perf_counter()
    hits = _correct(model, "test", bench)
    return {
        "removed": label(removed),
        "original_layers": bench.layers,
        "parameters": encoder.count_parameters(model),
        "test_correct": hits,
        "health": done.health.as_dict(),
        "seconds": {"fine_tune": done.seconds, "evaluate": time.perf_counter() - started},
        "trained_on": None if done is training.UNTRAINED else hardware.computes(device_of(bench.params).type),
        "texts": bench.dataset.fingerprint,
        "model_commit": pretrained.commit(bench.params),
    }


def _measure(part: str, model: PreTrainedModel, bench: Bench, record: dict) -> dict:
    if part == "signals":
        return _signals(model, bench, record.pop(KNOWN_SIGNALS, {}))
    if part == "validation_correct":
        return _correct(model, "validation", bench)
    if part == "block_influence":
        influence = signals.block_influence(model, signal_batch(bench.params, bench.dataset))
        return columns(influence.to_frame())
    with forward_context(bench.params):  # as in the evaluation, so that A_orig is the node's accuracy
        return columns(ablation.single_removals(model, getattr(bench.dataset, part.removeprefix("ablation_"))))


def _signals(model: PreTrainedModel, bench: Bench, known: dict) -> dict:
    """Return the twelve signals for the record: those `known` from another study of the same model are not measured again."""
    wanted = [name for name in SIGNALS if name not in known]
    measured = known | columns(signals.measure(model, signal_batch(bench.params, bench.dataset), bench.params, wanted))
    return {name: measured[name] for name in ("layer", *SIGNALS)}


def _correct(model: PreTrainedModel, split: str, bench: Bench) -> dict:
    batch = getattr(bench.dataset, split)
    return pack(training.correct(training.predict(model, batch, bench.params), batch).cpu().numpy())


@lru_cache(maxsize=1)
def _bench(params_json: str, study: str) -> Bench:
    params = Params.model_validate_json(params_json)
    device = device_of(params)
    if device.type == "cpu":
        torch.set_num_threads(1)
        memory.keep_freed()
    tokenizer = encoder.load_tokenizer(params)
    dataset = subsets.load(params, tokenizer)
    for batch in (dataset.train, dataset.validation, dataset.test):
        batch.update({name: tensor.to(device) for name, tensor in batch.items()})
    model, store = encoder.load_model(params, dataset.class_names, tokenizer), store_of(params)
    begun = store.read(())
    if begun is not None:  # what is on the hub may have moved
        changed = "remove its outputs, or bring them back"
        if begun.record["texts"] != dataset.fingerprint:
            raise UserError(f"{params.dataset}: its texts are no longer those with which this study was begun: {changed}")
        now = pretrained.commit(params)
        if (was := begun.record.get("model_commit", now)) != now:
            raise UserError(f"model {params.model}: this study was begun with its commit {was[:12]}, and here is {now[:12]}: {changed}")
    if params.model not in pretrained.OURS and begun is None:  # of ours the tests have said it, and a study that was begun has passed
        contract.check(model, params)
    model = encoder.restrict_vocabulary(model, dataset.token_ids)
    return Bench(params, dataset, model.to(device), store)
