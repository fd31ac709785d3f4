"""Draw the training, validation and test subsets of a dataset and tokenise them once, into tensors."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from paperlib.common.errors import UserError
from paperlib.data import pretrained, sources
from paperlib.data.splits import stratified
from paperlib.params import Params

LOST, UNREADABLE = 0.2, 0.95  # of the tokens of the texts: unknown, from where on it is said, and refused
Batch = dict[str, torch.Tensor]  # input_ids and attention_mask: (examples, tokens); labels: (examples,)


@dataclass(frozen=True)
class Dataset:
    """The three disjoint subsets of one study, tokenised, with ids renumbered to the vocabulary in use.

    `token_ids[i]` is the tokeniser's id of our id `i`: the embedding table is cut to these rows (same logits, smaller
    optimiser state). `fingerprint` is the SHA-256 of the texts and labels drawn, in order; `remarks` are what a person
    should know of the data, each in one line.
    """

    name: str
    class_names: list[str]
    train: Batch
    validation: Batch
    test: Batch
    token_ids: torch.Tensor
    fingerprint: str
    remarks: tuple[str, ...] = ()


def load(params: Params, tokenizer) -> Dataset:
    """Read, draw and tokenise the subsets of `params.dataset`.

    The training and validation subsets come from the training split, the test subset from the test split; all are
    stratified by label, shuffled and seeded by `params.seed`; texts that occur twice are used once.
    Raises UserError when the data are at fault or too few, or when a subset cannot tell classes apart.
    """
    frames, class_names, remarks = sources.reading(params)
    subsets = draw(frames, params)
    remarks += _check_classes(frames["train"], subsets, class_names, params)
    encoded = {name: _tokenise(frame, tokenizer, params.max_tokens) for name, frame in subsets.items()}
    remarks += _check_known(encoded, tokenizer, params)
    # Padding keeps its number, from which RoBERTa tells positions, even when no text is short enough to need it.
    low = torch.arange(tokenizer.pad_token_id + 1)
    token_ids = torch.unique(torch.cat([low, *(batch["input_ids"].flatten() for batch in encoded.values())]))
    for batch in encoded.values():
        batch["input_ids"] = torch.searchsorted(token_ids, batch["input_ids"])
    return Dataset(
        params.dataset, class_names, **encoded, token_ids=token_ids, fingerprint=_fingerprint(subsets), remarks=tuple(remarks)
    )


def draw(frames: dict[str, pd.DataFrame], params: Params) -> dict[str, pd.DataFrame]:
    """Draw the disjoint subsets `train`, `validation` and `test` from the splits `train` and `test`."""
    test_pool = frames["test"].drop_duplicates("text")
    distinct = frames["train"].drop_duplicates("text")
    train_pool = distinct[~distinct["text"].isin(set(test_pool["text"]))]
    where = f"{params.dataset}/train" + " without the texts of the test split" * (len(train_pool) < len(distinct))
    rng = np.random.default_rng([params.seed, 2501])
    n_train = params.train_size + params.validation_size
    pool = stratified(train_pool, n_train, rng, where, "train_size + validation_size")
    train = stratified(pool, params.train_size, rng, params.dataset, "train_size")
    validation = pool.drop(train.index)
    test = stratified(test_pool, params.test_size, rng, f"{params.dataset}/test", "test_size")
    return {"train": train, "validation": validation, "test": test}


def _check_classes(train: pd.DataFrame, subsets: dict[str, pd.DataFrame], names: list[str], params: Params) -> list[str]:
    """Refuse subsets on which an accuracy says nothing; remark on classes that are not drawn to train on."""
    known = set(train["label"])
    if len(known) > params.train_size:
        raise UserError(f"{params.dataset}/train: {len(known)} classes, more than train_size = {params.train_size}")
    for split, drawn in subsets.items():
        if drawn["label"].nunique() < 2:
            only = names[drawn["label"].iloc[0]]
            raise UserError(f"{params.dataset}: all {len(drawn)} texts drawn for {split} are of class {only!r}; raise {split}_size")
    undrawn = sorted(known - set(subsets["train"]["label"]))
    if not undrawn:
        return []
    one = f"{len(undrawn)} of {len(known)} classes, such as {names[undrawn[0]]!r}"
    return [f"{params.dataset}: {one}, are so rare that none of their texts is among the {params.train_size} to train on"]


def _check_known(encoded: dict[str, Batch], tokenizer, params: Params) -> list[str]:
    """Refuse texts that the tokeniser cannot read; remark on those of which it loses much. The smoke profile's reads nothing but its own."""
    if (unknown := tokenizer.unk_token_id) is None:
        return []
    ids = torch.cat([batch["input_ids"].flatten() for batch in encoded.values()])
    words = ids[~torch.isin(ids, torch.tensor(sorted({*tokenizer.all_special_ids} - {unknown})))]
    share = (words == unknown).double().mean().item()
    said = f"{params.dataset}: {share:.0%} of the texts' tokens are unknown to the tokeniser of {params.model}"
    if share > UNREADABLE and params.model != pretrained.RANDOM:
        raise UserError(f"{said}: take a model of their language")
    return [f"{said}: what they say is lost on it"] * (share > LOST)


def subset(batch: Batch, n: int) -> Batch:
    """Return the first `n` examples; the subsets are shuffled already."""
    return {name: tensor[:n] for name, tensor in batch.items()}


def _tokenise(frame: pd.DataFrame, tokenizer, max_tokens: int) -> Batch:
    """Cut or pad every text to `max_tokens` tokens (paper, section 2.1)."""
    tokens = tokenizer(
        frame["text"].tolist(), truncation=True, padding="max_length", max_length=max_tokens, return_tensors="pt",
        return_attention_mask=True,  # some tokenisers leave it out unasked
    )  # fmt: skip
    labels = torch.tensor(frame["label"].to_numpy())
    return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"], "labels": labels}


def _fingerprint(subsets: dict[str, pd.DataFrame]) -> str:
    digest = hashlib.sha256()
    for name, frame in subsets.items():
        for text, label in zip(frame["text"], frame["label"]):
            digest.update(f"{name}\0{label}\0{text}\0".encode())
    return digest.hexdigest()
