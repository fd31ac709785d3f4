"""What the paper printed, as data: its Table 1, its sizes, and the claims to be tested.

Md Shoaibur Rahman, *Strategic Fusion Optimizes Transformer Compression*, arXiv 2501.03273 (2025), CC BY 4.0.
"""

from pathlib import Path

import pandas as pd
import yaml

FOLDER = Path(__file__).resolve().parent

PARAMETERS = 109_489_930  # of the unpruned model (Section 3.1): BERT-base with a 10-class head
LAYER_PARAMETERS = 7_087_872  # removed with each layer (Section 3.1)
LAYERS = 12
TEST_SIZE = 256  # not stated: recovered from Table 1 by its granularity (notebook 00)


def table1() -> pd.DataFrame:
    """Return Table 1 as printed, accuracies as fractions: (baseline and 15 strategies, 9 datasets)."""
    table = pd.read_csv(FOLDER / "table1.csv", index_col="Strategy")
    return table.rename_axis(index="strategy", columns="dataset")


def maxima() -> pd.DataFrame:
    """Return (15 strategies, 9 datasets): the maximum accuracies of Table 1."""
    return table1().drop(index="Baseline")


def baseline() -> pd.Series:
    """Return (9 datasets,): the accuracies of Table 1's unpruned model."""
    return table1().loc["Baseline"]


def size_factor(removed: int) -> float:
    """Return how many times smaller BERT-base is with `removed` layers gone, by the paper's own counts."""
    return PARAMETERS / (PARAMETERS - removed * LAYER_PARAMETERS)


def claims() -> list[dict]:
    """Return the rows of claims.yaml, in order; `paperlib.evidence.claims.Claim` says what each field means."""
    return yaml.safe_load((FOLDER / "claims.yaml").read_text(encoding="utf-8"))
