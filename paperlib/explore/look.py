"""Look into one model: its signals, ablation, what each strategy would remove next, its classes, the texts it broke."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from paperlib import strategies
from paperlib.data import sources, subsets
from paperlib.names import CONTROLS, STRATEGIES
from paperlib.nodes.node import Node, Removed
from paperlib.nodes.store import store_of
from paperlib.params import Params

LONGEST = 120  # characters of a text


@dataclass(frozen=True)
class Look:
    """One model beside the original one, as tables; a table of what was not measured is None.

    `signals` and `ablation` (points) by layer; `next_layers` by strategy; `classes`: accuracy (%) by class, of both;
    `texts`: those of the test subset that are right in one of the two models alone.
    """

    node: Node
    signals: pd.DataFrame | None
    ablation: pd.DataFrame | None
    next_layers: pd.Series
    classes: pd.DataFrame
    texts: pd.DataFrame


def look(params: Params, removed: Removed) -> Look | None:
    """Return what is known of a model, None when neither it nor the original is there."""
    store = store_of(params)
    node, original = store.look(removed), store.look(())
    if node is None or original is None:
        return None
    frames, names, _ = sources.reading(params)
    test = subsets.draw(frames, params)["test"].reset_index(drop=True)
    right = pd.DataFrame({"original": original.correct("test"), "this model": node.correct("test")})
    measured = [part for part in ("ablation_test", "ablation_validation") if node.has({part})]
    drops = {part.removeprefix("ablation_"): 100 * node.ablation(part)["drop"] for part in measured}
    return Look(
        node,
        node.signals if node.has({"signals"}) else None,
        pd.DataFrame(drops) if drops else None,
        _next_layers(params, node),
        (100 * right.groupby(test["label"].map(dict(enumerate(names)))).mean()).rename_axis("class"),
        _changed(test, right, names),
    )


def _next_layers(params: Params, node: Node) -> pd.Series:
    """Let every strategy choose that goes by what was measured on this model alone."""
    found = {}
    for name in dict.fromkeys([*STRATEGIES, *CONTROLS]):
        try:
            choice = strategies.next_layer(name, [node], params)
        except (KeyError, TypeError):  # goes by what was not measured here
            continue
        if choice is not None and choice.layer is not None:
            found[name] = choice.layer
    return pd.Series(found, name="layer", dtype="Int64")


def _changed(test: pd.DataFrame, right: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """List the texts that one of the two models alone gets right, the broken ones first; texts are cut."""
    changed = right["original"] != right["this model"]
    rows = test[changed].assign(
        change=np.where(right.loc[changed, "original"], "broken", "mended"),
        **{"class": test.loc[changed, "label"].map(dict(enumerate(names)))},
    )
    rows["text"] = rows["text"].map(lambda text: text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
    return rows.sort_values("change", kind="stable")[["change", "class", "text"]]
