"""A node of the layer-removal tree: one pruned and fine-tuned model, as numbers."""

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

BYTES_PER_PARAMETER = 4  # the paper's GB: 32-bit weights (section 3.1)
Round = int | None | tuple[int, ...]  # what goes before a fine-tune: a layer, none, or several at once
Removed = tuple[Round, ...]  # by original layer numbers, in order
SUBSETS = frozenset({"subsets_test", "subsets_validation"})  # measurements of all sets of layers


def label(removed: Removed) -> str:
    """Write a node's tuple as in the tables: "3-1", "none-none", "1+4-none", "" for the original model."""
    return "-".join(map(_word, removed))


def parse_label(text: str) -> Removed:
    """Read what `label` wrote."""
    return tuple(map(_round, text.split("-"))) if text else ()


def layers_of(removed: Removed) -> list[int]:
    """List the layers that are gone, in order of removal."""
    rounds = (done if isinstance(done, tuple) else (done,) for done in removed)
    return [layer for layers in rounds for layer in layers if layer is not None]


@dataclass(frozen=True)
class Node:
    """What is known of one node: a view of its record (see `record`)."""

    record: dict = field(repr=False)

    @property
    def removed(self) -> Removed:
        """The removed layers, in order."""
        return parse_label(self.record["removed"])

    @property
    def original_layers(self) -> int:
        """L, the number of layers of the original model."""
        return self.record["original_layers"]

    @property
    def remaining(self) -> list[int]:
        """Original numbers of the layers that are left."""
        gone = layers_of(self.removed)
        return [layer for layer in range(self.original_layers) if layer not in gone]

    @property
    def accuracy(self) -> float:
        """Share of the test subset that is classified correctly."""
        return float(self.correct("test").mean())

    @property
    def validation_accuracy(self) -> float:
        """Share of the validation subset that is classified correctly."""
        return float(self.correct("validation").mean())

    def correct(self, split: str) -> np.ndarray:
        """Return, for each example of `test` or `validation`, whether it is classified correctly (examples,)."""
        return unpack(self.record[f"{split}_correct"])

    def has(self, parts: set[str]) -> bool:
        """Say whether all these measurements were made."""
        return all(self.record.get(part) is not None for part in parts)

    @cached_property
    def block_influence(self) -> pd.Series:
        """By how much each layer turns the hidden states it is given: index = original layer numbers."""
        return _frame(self.record["block_influence"])["block_influence"]

    @cached_property
    def subsets_validation(self) -> pd.DataFrame:
        """What walks to the best sets go by."""
        return self.subsets("validation")

    def subsets(self, split: str) -> pd.DataFrame:
        """Return accuracy and loss (nats) without each set of layers: index = tuples of original layer numbers."""
        packed = self.record[f"subsets_{split}"]
        index = pd.Index([tuple(layers_of(parse_label(text))) for text in packed["removed"]], tupleize_cols=False)
        return pd.DataFrame({name: packed[name] for name in ("accuracy", "loss")}, index=index.rename("removed"), dtype=float)

    @cached_property
    def signals(self) -> pd.DataFrame:
        """The twelve signals: index = original layer numbers."""
        return _frame(self.record["signals"])

    def ablation(self, part: str) -> pd.DataFrame:
        """Return columns drop and loss_increase of `ablation_test` or `ablation_validation`, by layer."""
        return _frame(self.record[part]).drop(columns="correct", errors="ignore")

    def correct_without(self, part: str) -> pd.DataFrame:
        """Return, for every skipped layer (columns) and example, whether it is classified correctly."""
        packed = self.record[part]
        return pd.DataFrame({layer: unpack(bits) for layer, bits in zip(packed["layer"], packed["correct"])})


def size_gb(parameters: int) -> float:
    """Return the size in gigabytes (1e9 bytes) of 32-bit weights (paper, section 3.1)."""
    return parameters * BYTES_PER_PARAMETER / 1e9


def pack(correct: np.ndarray) -> dict:
    """Pack booleans into hexadecimal bits, first example first."""
    return {"n": len(correct), "bits": np.packbits(correct).tobytes().hex()}


def unpack(packed: dict) -> np.ndarray:
    """Unpack what `pack` packed."""
    bits = np.frombuffer(bytes.fromhex(packed["bits"]), dtype=np.uint8)
    return np.unpackbits(bits, count=packed["n"]).astype(bool)


def columns(frame: pd.DataFrame) -> dict:
    """Write a table by layer for the record; NaN and infinity become null, arrays of booleans are packed."""
    values = {name: [_plain(value) for value in column] for name, column in frame.items()}
    return {"layer": [int(number) for number in frame.index], **values}


def seed_of(study_seed: int, dataset: str, removed: Removed, purpose: str = "fine-tune") -> int:
    """Derive the seed of a fine-tune from the study and the node, never from the strategy that asked for it."""
    digest = hashlib.sha256(repr((study_seed, dataset, label(removed), purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def subset_columns(subsets: pd.DataFrame) -> dict:
    """Write a table by set of layers for the record, as `Node.subsets` reads it."""
    values = {name: [_plain(value) for value in column] for name, column in subsets.items()}
    return {"removed": [label(removed) for removed in subsets.index], **values}


def _word(done: Round) -> str:
    return "none" if done is None else "+".join(map(str, done)) if isinstance(done, tuple) else str(done)


def _round(word: str) -> Round:
    return None if word == "none" else tuple(map(int, word.split("+"))) if "+" in word else int(word)


def _plain(value: float | np.ndarray) -> float | dict | None:
    if isinstance(value, np.ndarray):
        return pack(value)
    return value if math.isfinite(value) else None


def _frame(columns_: dict) -> pd.DataFrame:
    frame = pd.DataFrame(columns_).set_index("layer")
    return frame.astype({name: float for name in frame if name != "correct"})
