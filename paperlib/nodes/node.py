"""A node of the layer-removal tree: one pruned and fine-tuned model, as numbers; and how to compute it."""

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

BYTES_PER_PARAMETER = 4  # the paper's GB: 32-bit weights (section 3.1)
Removed = tuple[int | None, ...]  # original layer numbers in order of removal; None = a round without removal


def label(removed: Removed) -> str:
    """Write a node's tuple as in the tables: "3-1", "none-none", "" for the original model."""
    return "-".join("none" if layer is None else str(layer) for layer in removed)


def parse_label(text: str) -> Removed:
    """Read what `label` wrote."""
    return tuple(None if word == "none" else int(word) for word in text.split("-")) if text else ()


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
        return [layer for layer in range(self.original_layers) if layer not in self.removed]

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


def _plain(value: float | np.ndarray) -> float | dict | None:
    if isinstance(value, np.ndarray):
        return pack(value)
    return value if math.isfinite(value) else None


def _frame(columns_: dict) -> pd.DataFrame:
    frame = pd.DataFrame(columns_).set_index("layer")
    return frame.astype({name: float for name in frame if name != "correct"})
