"""Draw rows by their label: each class as often as its share says."""

import numpy as np
import pandas as pd

from paperlib.common.errors import UserError

SEED = 2501  # of a test split that is drawn: the same for every study of these rows


def stratified(frame: pd.DataFrame, n: int, rng: np.random.Generator, where: str, parameter: str) -> pd.DataFrame:
    """Draw `n` rows, shuffled, each label as often as its share says (largest remainders, ties at random)."""
    if n > len(frame):
        raise UserError(f"{where}: {len(frame)} distinct texts, fewer than {parameter} = {n}")
    counts = frame["label"].value_counts().sort_index()
    share = counts * n / len(frame)
    take = np.floor(share).astype(int)
    order = np.lexsort((rng.random(len(share)), -(share - take)))
    take.iloc[order[: n - take.sum()]] += 1
    shuffled = frame.iloc[rng.permutation(len(frame))]
    rank_in_class = shuffled.groupby("label").cumcount()
    return shuffled[rank_in_class < shuffled["label"].map(take)]


def with_test(frame: pd.DataFrame, share: float, where: str) -> dict[str, pd.DataFrame]:
    """Split a table that has no test split: a stratified, seeded `share` of its distinct texts, rounded up.

    Each class keeps a text in the training split. Both come in the order of the table.
    """
    distinct = frame.drop_duplicates("text")
    several = distinct[distinct.groupby("label")["label"].transform("size") > 1]
    n = min(int(np.ceil(share * len(distinct) - 1e-9)), len(several))
    test = stratified(several, n, np.random.default_rng(SEED), where, "the test split").sort_index()
    drawn_whole = test[~test["label"].isin(distinct.drop(test.index)["label"])]
    test = test.drop(drawn_whole.drop_duplicates("label").index)
    return {"train": distinct.drop(test.index).reset_index(drop=True), "test": test.reset_index(drop=True)}
