"""What all sets of layers say of one fine-tuned model: best sets, exact Shapley values, the regret of every choice.

A `worth` is a Series indexed by ascending tuples of removed layers: what the model is worth without them.
"""

import math

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from paperlib import fusers, strategies
from paperlib.data import orders
from paperlib.names import FIXED_ORDERS, FUSERS
from paperlib.nodes.node import Node, label, layers_of, parse_label
from paperlib.params import Params

# What is measured of the original model.
PARTS = ("signals", "block_influence", "ablation_test", "ablation_validation", "subsets_test", "subsets_validation")
GREEDY, RANDOM, SHAPLEY = "Greedy-Ablation", "Random", "Shapley"


def shapley(worth: pd.Series) -> pd.Series:
    """Return each layer's exact Shapley value: what it adds, averaged over all orders in which layers can come.

    Their sum is the worth of the whole model less that of none of its layers.
    """
    table, layers = _as_array(worth)
    return pd.Series([_average(_gain(table, axis)) for axis in range(len(layers))], index=pd.Index(layers, name="layer"))


def interactions(worth: pd.Series) -> pd.DataFrame:
    """Return the Shapley interaction index of each pair of layers (layers, layers), nan on the diagonal.

    Above zero: together they are worth more than apart; below: each makes up for the other's absence
    (Grabisch and Roubens 1999).
    """
    table, layers = _as_array(worth)
    values = np.full((len(layers), len(layers)), np.nan)
    for second in range(len(layers)):
        for first in range(second):
            values[first, second] = values[second, first] = _average(_gain(_gain(table, second), first))
    return pd.DataFrame(values, index=layers, columns=layers)


def sampled_shapley(worth: pd.Series, drawn: list[list[int]]) -> pd.DataFrame:
    """Estimate the Shapley values from the orders in which layers were removed: columns value and error (s.e.m.)."""
    gains = {layer: [] for layer in sorted(drawn[0])}
    for order in drawn:
        for stage, layer in enumerate(order):
            before, after = (tuple(sorted(order[:end])) for end in (stage, stage + 1))
            gains[layer].append(worth[before] - worth[after])
    table = pd.DataFrame(gains)
    return pd.DataFrame({"value": table.mean(), "error": table.sem()}).rename_axis("layer")


def of_rows(rows: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return columns accuracy and loss by tuple of removed layers, from the rows of subsets.csv of one unit."""
    index = pd.Index([tuple(parse_label(str(text))) for text in rows["removed"]], tupleize_cols=False, name="removed")
    return pd.DataFrame({name: rows[f"{name}_{split}"].to_numpy() for name in ("accuracy", "loss")}, index=index)


def best_sets(subsets: pd.DataFrame) -> dict[int, tuple[int, ...]]:
    """Return, by size from 0, the set without which the model is most accurate; `subsets`: columns accuracy, loss."""
    return {size: strategies.best_subset(subsets, size) for size in sorted({len(gone) for gone in subsets.index})}


def nested(best: dict[int, tuple[int, ...]]) -> pd.Series:
    """Say, for each size, whether its best set is contained in that of the next, so that one layer leads there."""
    pairs = [(size, size + 1) for size in best if size >= 1 and size + 1 in best]
    return pd.Series({small: set(best[small]) <= set(best[large]) for small, large in pairs}, dtype=bool)


def subset_table(original: Node) -> pd.DataFrame:
    """Return accuracy and loss (nats) of the original model without each set of layers, on both splits."""
    both = [original.subsets(split).add_suffix(f"_{split}") for split in ("validation", "test")]
    table = both[0].join(both[1])
    table.insert(0, "size", [len(gone) for gone in table.index])
    return table.set_axis(pd.Index(map(label, table.index), name="removed")).reset_index()


def shapley_table(original: Node, seed: int) -> pd.DataFrame:
    """Return Shapley values by layer, of accuracy and of loss (as a gain, nats) on both splits.

    With more than `orders.ALL_UP_TO` layers they are estimates, and columns ending in _error say how good.
    """
    columns = {}
    for split in ("validation", "test"):
        subsets = original.subsets(split)
        for name, worth in (("accuracy", subsets["accuracy"]), ("loss", -subsets["loss"])):
            if original.original_layers <= orders.ALL_UP_TO:
                columns[f"{name}_{split}"] = shapley(worth)
            else:
                drawn = orders.drawn(list(range(original.original_layers)), seed)
                estimate = sampled_shapley(worth, drawn)
                columns |= {f"{name}_{split}": estimate["value"], f"{name}_{split}_error": estimate["error"]}
    return pd.DataFrame(columns).rename_axis("layer").reset_index()


def scores(original: Node, params: Params) -> pd.DataFrame:
    """Return how dispensable each way to choose holds the layers of the original model, least first to go.

    One column per signal, fuser, measured drop and rival; index = layers. Greedy-Ablation stands for the drop.
    """
    columns = strategies.oriented(original, params).to_dict("series")
    for fuser in (*FUSERS, *(f"{name}-Validation" for name in FUSERS)):
        fitted = strategies.fitted_fuser(fuser, [original], params)
        columns[fuser] = fusers.predict(fitted, original.signals)
    columns[GREEDY] = original.ablation("ablation_validation")["drop"]
    columns["Rank-Mean"] = strategies.rank_mean(original.signals, params)
    columns["Block-Influence"] = original.block_influence
    for name in FIXED_ORDERS:
        order = strategies.fixed_order(name, original.original_layers)
        columns[name] = pd.Series(range(len(order)), index=order)
    return pd.DataFrame(columns).sort_index()


def greedy_order(subsets: pd.DataFrame) -> list[int]:
    """Return the order in which greedy ablation removes layers, measuring again at every step but never training."""
    layers, gone = max(subsets.index, key=len), ()
    order = []
    while len(order) < len(layers):
        reached = [tuple(sorted((*gone, layer))) for layer in layers if layer not in gone]
        known = subsets.loc[[found for found in reached if found in subsets.index]]
        best = strategies.best_subset(known, len(gone) + 1)
        order += [layer for layer in best if layer not in gone]
        gone = best
    return order


def regrets(original: Node, params: Params) -> pd.DataFrame:
    """Return what following each way to choose down costs against the best set of every size, without fine-tuning.

    Every way but Greedy-Ablation ranks the layers once, at the original model. Columns: method, size, removed,
    accuracy_test, regret_validation (of the split that the best set was chosen on: never below 0) and regret_test (of
    examples that nobody chose on: may be), in points, and the method's rank correlation with the Shapley values of
    accuracy on validation. Random is the mean over all sets of a size. Sets that were not drawn are left out.
    """
    validation, test = original.subsets("validation"), original.subsets("test")
    best, ranked = best_sets(validation), scores(original, params)
    values = shapley_table(original, params.seed).set_index("layer")["accuracy_validation"]
    ways = {name: list(column.sort_values(kind="stable").index) for name, column in ranked.items()}
    ways |= {SHAPLEY: list(values.sort_values(kind="stable").index), GREEDY: greedy_order(validation)}
    rows = [
        {"method": name, "size": size, "gone": tuple(sorted(order[:size]))}
        for name, order in ways.items() for size in range(1, len(order))
    ]  # fmt: skip
    rows = [row for row in rows if row["gone"] in validation.index]
    rows += [{"method": "Exact-Best", "size": size, "gone": gone} for size, gone in best.items() if 0 < size < len(values)]
    table = pd.DataFrame(rows, columns=["method", "size", "gone"])  # none of a model of one layer
    picked = {split: frame["accuracy"] for split, frame in (("validation", validation), ("test", test))}
    for split, accuracy in picked.items():
        table[f"accuracy_{split}"] = accuracy.loc[list(table["gone"])].to_numpy()
    table = pd.concat([table, _random(picked, len(values))], ignore_index=True)
    for split, accuracy in picked.items():
        of_best = table["size"].map({size: accuracy[gone] for size, gone in best.items()})
        table[f"regret_{split}"] = 100 * (of_best - table[f"accuracy_{split}"])
    table["shapley_correlation"] = table["method"].map(rank_correlations(ranked, values))
    return table


def rank_correlations(ranked: pd.DataFrame, values: pd.Series) -> dict[str, float]:
    """Return Spearman's correlation of each column with the Shapley values; nan where either has no order."""
    with np.errstate(all="ignore"):
        return {
            name: float(spearmanr(column, values.loc[column.index]).statistic)
            if column.nunique() > 1 and values.nunique() > 1 else float("nan")
            for name, column in ranked.items()
        }  # fmt: skip


def reliability(subsets: pd.DataFrame) -> pd.DataFrame:
    """Return, by size, how alike validation and test rank the sets: sets, rank correlation, and their s.d. in points.

    `subsets`: rows of subsets.csv of one dataset and seed. At size 1 it speaks of the fusers' target.
    """
    rows = {}
    for size, group in subsets.groupby("size"):
        if len(group) > 1:
            pair = group[["accuracy_validation", "accuracy_test"]]
            ordered = (pair.nunique() > 1).all()
            rho = spearmanr(*pair.to_numpy().T).statistic if ordered else float("nan")
            gap = 100 * (pair["accuracy_validation"] - pair["accuracy_test"])
            rows[size] = [len(group), rho, 100 * pair["accuracy_test"].std(), gap.std()]
    columns = ["sets", "correlation", "sd_test", "sd_gap"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("size")


def before_and_after(nodes: list[Node], original: Node) -> pd.DataFrame:
    """Pair each model's test accuracy with that of the original model without the same layers, not fine-tuned.

    One row per model that lacks layers: gone (ascending tuple), size, rounds, before, after.
    """
    before = original.subsets("test")["accuracy"]
    rows = []
    for node in nodes:
        gone = tuple(sorted(layers_of(node.removed)))
        if gone and gone in before.index:
            rows.append({"gone": gone, "size": len(gone), "rounds": len(node.removed), "before": before[gone], "after": node.accuracy})
    return pd.DataFrame(rows, columns=["gone", "size", "rounds", "before", "after"])


def _as_array(worth: pd.Series) -> tuple[np.ndarray, list[int]]:
    """Return the worths as an array with an axis of two (kept, removed) per layer, and the layers."""
    layers = sorted(max(worth.index, key=len))
    if len(worth) != 2 ** len(layers):
        raise ValueError(f"{len(worth)} sets of {len(layers)} layers are not all of them")
    table = np.empty((2,) * len(layers))
    for gone, value in worth.items():
        table[tuple(int(layer in gone) for layer in layers)] = value
    return table, layers


def _gain(table: np.ndarray, axis: int) -> np.ndarray:
    """Return what a layer adds to each set of the others, an axis fewer."""
    return table.take(0, axis) - table.take(1, axis)


def _average(gains: np.ndarray) -> float:
    """Average over sets of the other layers: first over the sets of each size, then over sizes, as Shapley does."""
    others = gains.ndim
    sizes = np.indices(gains.shape).sum(axis=0) if others else np.zeros(())
    weights = np.array([1 / (math.comb(others, size) * (others + 1)) for size in range(others + 1)])
    return float((gains * weights[sizes.astype(int)]).sum())


def _random(picked: dict[str, pd.Series], layers: int) -> pd.DataFrame:
    means = {f"accuracy_{split}": accuracy.groupby(accuracy.index.map(len)).mean() for split, accuracy in picked.items()}
    table = pd.DataFrame(means).rename_axis("size").reset_index()
    return table[table["size"].between(1, layers - 1)].assign(method=RANDOM)
