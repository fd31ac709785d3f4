"""Time all subsets of layers by shared prefixes beside running the model once for each subset."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, BertConfig, PreTrainedModel

from paperlib import ablation
from paperlib.benchmark.session import FORWARD, Job, Session
from paperlib.benchmark.subject import Subject
from paperlib.benchmark.table import Row, count, row
from paperlib.benchmark.timing import on, side_by_side
from paperlib.data import subsets
from paperlib.data.subsets import Batch
from paperlib.model import encoder

EXAMPLES = 64  # of the test subset
MOST_RUN = 64  # subsets that are run one by one; of more, a sample
MOST_LAYERS_ON_A_PROCESSOR = 8  # of a real model: the subsets double with every layer
DEEP = {"num_hidden_layers": 12, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


def jobs(session: Session) -> list[Job]:
    """List the models whose subsets are timed: the study's own, and a tiny one of 12 layers."""
    subject = session.subject
    forward = FORWARD * session.training_seconds(1, EXAMPLES) * session.repeats  # of one layer
    own = forward * 2**subject.layers * (1 + min(1.0, MOST_RUN / 2**subject.layers) * subject.layers / 2)
    deep = 8.0 * session.repeats
    if subject.device.type == "cpu" and subject.layers > MOST_LAYERS_ON_A_PROCESSOR:
        own, act = 0.0, lambda passed: [_too_many(subject)]
    else:
        name = f"{count(subject.layers, 'layer')}, fine-tuned"
        act = lambda passed: [_compare(session, subject.fitted, name, passed)]
    return [
        Job("subsets of the model", own, act),
        Job(
            "subsets of 12 layers",
            deep,
            lambda passed: [_compare(session, _deep(subject), "12 layers, tiny, random", passed)],
        ),
    ]


def one_by_one(model: PreTrainedModel, batch: Batch, subsets: list[tuple[int, ...]]) -> pd.DataFrame:
    """Return accuracy and mean loss of each subset, the model run anew for each: what `all_subsets` is compared with."""
    numbers, modules, scores = encoder.layer_numbers(model), list(encoder.layers(model)), []
    for removed in subsets:
        kept = [module for number, module in zip(numbers, modules) if number not in removed]
        with torch.inference_mode(), encoder.with_layers(model, kept):
            logits = model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).logits.float()
        hits = (logits.argmax(-1) == batch["labels"]).float().mean().item()
        scores.append((hits, F.cross_entropy(logits, batch["labels"]).item()))
    index = pd.Index(subsets, tupleize_cols=False, name="removed")
    return pd.DataFrame(scores, index=index, columns=["accuracy", "loss"])


def sample(layers: int, most: int, seed: int) -> list[tuple[int, ...]]:
    """Return all subsets of layers, or at most about `most`: drawn with their complements, so half the layers on average."""
    if 2**layers <= most:
        return [_layers_in(number, layers) for number in range(2**layers)]
    drawn = np.random.default_rng(seed).choice(2 ** (layers - 1), most // 2, replace=False)
    return [_layers_in(int(n), layers) for number in drawn for n in (number, 2**layers - 1 - number)]


def _compare(session: Session, model: PreTrainedModel, name: str, passed: Callable[[float], None]) -> Row:
    subject, layers = session.subject, len(encoder.layers(model))
    batch = subsets.subset(subject.dataset.test, EXAMPLES)
    chosen = sample(layers, MOST_RUN, subject.params.seed)
    variants = {
        "ours": lambda: on(1, lambda: ablation.all_subsets(model, batch)),
        "plain": lambda: on(1, lambda: one_by_one(model, batch, chosen)),
    }
    timed = side_by_side(variants, session.repeats, subject.device, passed)
    every = 2**layers / len(chosen)
    seconds = {"ours": timed.seconds["ours"], "plain": [each * every for each in timed.seconds["plain"]]}
    found = timed.results["ours"].loc[list(chosen)].to_numpy() - timed.results["plain"].to_numpy()
    ran = "all run one by one" if every == 1 else f"{len(chosen)} run one by one, extrapolated to all"
    note = f"plain: {ran}; both on {'the GPU' if subject.device.type == 'cuda' else '1 thread'}; difference: of accuracy or loss"
    setting = f"{2**layers} subsets: {name}, {len(batch['labels'])} examples"
    return row("subsets", "accuracy and loss of every subset", setting, **seconds, difference=float(abs(found).max()),
               basis="measured" if every == 1 else "extrapolated", note=note)  # fmt: skip


def _deep(subject: Subject) -> PreTrainedModel:
    torch.manual_seed(subject.params.seed)
    sizes = {"vocab_size": len(subject.dataset.token_ids), "num_labels": len(subject.dataset.class_names)}
    config = BertConfig(**DEEP, **sizes, max_position_embeddings=512, initializer_range=0.2)
    return AutoModelForSequenceClassification.from_config(config).to(subject.device).eval()


def _too_many(subject: Subject) -> Row:
    note = f"2^{subject.layers} passes of this model take too long on a processor"
    return Row("subsets", "accuracy and loss of every subset", subject.name, basis="skipped", note=note)


def _layers_in(number: int, layers: int) -> tuple[int, ...]:
    return tuple(_bits(number, layers))


def _bits(number: int, layers: int) -> Iterator[int]:
    return (layer for layer in range(layers) if number >> layer & 1)
