"""What the paper printed, as data."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

from paperlib import published
from paperlib.evidence import claims
from paperlib.names import STRATEGIES
from paperlib.params import DATASETS


def test_table1_has_the_papers_rows_and_columns():
    table = published.table1()
    assert list(table.index) == ["Baseline", *STRATEGIES] and list(table.columns) == list(DATASETS)
    assert table.dtypes.eq(float).all() and table.notna().all(axis=None)
    assert list(published.maxima().index) == list(STRATEGIES)


@pytest.mark.parametrize("row, values", [
    ("Baseline", [0.289, 0.977, 0.367, 0.262, 0.320, 0.406, 0.832, 0.705, 0.723]),
    ("Gradient-Fisher", [0.109, 0.906, 0.320, 0.227, 0.352, 0.379, 0.812, 0.715, 0.730]),
    ("Random-Forest", [0.508, 0.945, 0.328, 0.250, 0.336, 0.383, 0.840, 0.711, 0.730]),
])  # fmt: skip
def test_table1_cells(row, values):
    assert published.table1().loc[row].tolist() == values


def test_sizes_are_those_of_bert_base():
    d, ff, vocabulary, positions = 768, 3072, 30522, 512
    layer = 4 * (d * d + d) + (d * ff + ff) + (ff * d + d) + 2 * 2 * d
    embeddings = (vocabulary + positions + 2) * d + 2 * d
    assert published.LAYER_PARAMETERS == layer
    assert published.PARAMETERS == embeddings + 12 * layer + (d * d + d) + 10 * (d + 1)


def test_size_factors():
    assert published.size_factor(0) == 1
    assert round(published.size_factor(12), 2) == 4.48
    assert [round(100 * (published.size_factor(k) - 1), 1) for k in (1, 2, 3)] == [6.9, 14.9, 24.1]


def test_no_accuracy_makes_the_ratio_grow_as_the_paper_says():
    bound = published.size_factor(12) / published.baseline()  # all layers gone, every example right
    assert bound.mean() < 18.84 and bound.max() < 29.29 and bound["dbpedia"] < 10.29


def test_claims_are_complete():
    rows = published.claims()
    assert len({row["id"] for row in rows}) == len(rows)
    for claim in claims.load():
        homes = [module for module in claims.QUANTITIES if hasattr(module, claim.function)]
        assert len(homes) == 1, claim.function
        inspect.signature(getattr(homes[0], claim.function)).bind(None, **claim.arguments)
        assert claim.claim.endswith(".") and claim.paper_says and np.isfinite(claim.stated)
        assert claim.rule in {*claims.TESTS, "at_least", "at_most", "close", "beyond_noise"}


def test_nothing_here_needs_torch():
    code = "import sys; from paperlib.evidence import claims, statistics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
