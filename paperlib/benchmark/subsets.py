"""Time all subsets of layers by shared prefixes beside running the model once for each subset."""

from itertools import chain, combinations

import pandas as pd
import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from paperlib import ablation
from paperlib.benchmark.session import Session, on, side_by_side
from paperlib.benchmark.table import Row, row, skipped
from paperlib.data import subsets
from paperlib.data.subsets import Batch
from paperlib.model import encoder

EXAMPLES = 64  # of the test subset
MOST_LAYERS_ON_A_PROCESSOR = 8  # the subsets double with every layer
WHAT = "accuracy and loss of every subset"


def rows(session: Session) -> list[Row]:
    """Time all subsets of the fine-tuned model both ways."""
    subject, layers = session.subject, session.subject.layers
    if subject.device.type == "cpu" and layers > MOST_LAYERS_ON_A_PROCESSOR:
        return [skipped("subsets", WHAT, subject.name, f"2^{layers} passes take too long on a processor")]
    session.say(f"subsets of {layers} layers")
    model, batch = subject.fitted, subsets.subset(subject.dataset.test, EXAMPLES)
    variants = {
        "ours": lambda: on(1, lambda: ablation.all_subsets(model, batch)),
        "plain": lambda: on(1, lambda: one_by_one(model, batch)),
    }
    seconds, results = side_by_side(variants, session.repeats, subject.device)
    apart = (results["ours"] - results["plain"]).abs().to_numpy().max()
    setting = f"{2**layers} subsets, {len(batch['labels'])} examples"
    note = f"both on {'the GPU' if subject.device.type == 'cuda' else '1 thread'}; difference: of accuracy or loss"
    return [row("subsets", WHAT, setting, **seconds, difference=float(apart), note=note)]


def one_by_one(model: PreTrainedModel, batch: Batch) -> pd.DataFrame:
    """Return what `all_subsets` returns, accuracy and mean loss of every subset, the model run anew for each."""
    numbers, modules, scores = encoder.layer_numbers(model), list(encoder.layers(model)), {}
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    for removed in chain.from_iterable(combinations(numbers, n) for n in range(len(numbers) + 1)):
        kept = [module for number, module in zip(numbers, modules) if number not in removed]
        with torch.inference_mode(), encoder.with_layers(model, kept):
            logits = model(**inputs).logits.float()
        hits = (logits.argmax(-1) == batch["labels"]).float().mean().item()
        scores[removed] = (hits, F.cross_entropy(logits, batch["labels"]).item())
    index = pd.Index(scores, tupleize_cols=False, name="removed")
    return pd.DataFrame(scores.values(), index=index, columns=["accuracy", "loss"])
