"""Say in no time what a run under some settings would reuse and what it would train, from what is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass

from paperlib import strategies
from paperlib.common.messages import shown
from paperlib.evidence.provenance import duration
from paperlib.explore import curves
from paperlib.explore.known import usual_of
from paperlib.nodes import parallel
from paperlib.nodes.node import Node
from paperlib.nodes.progress import cost
from paperlib.nodes.store import moved_aside, store_of
from paperlib.params import Params


@dataclass(frozen=True)
class Preview:
    """Models at hand, fine-tunes at most, and seconds, None where nothing tells them yet; records that a run moves aside."""

    at_hand: int
    fine_tunes: int | None
    seconds: float | None
    place: str
    displaced: int

    def __str__(self) -> str:
        train = "nothing to train" if self.fine_tunes == 0 else f"at most {self.fine_tunes} fine-tunes"
        if self.fine_tunes is None:
            train = "all models to train, how many depends on the model's layers"
        time = "" if self.fine_tunes == 0 else f", about {duration(self.seconds)}" if self.seconds else ", time not known before the first"
        aside = f". {moved_aside(self.displaced)}" if self.displaced else ""
        return f"{self.at_hand} models at hand; {train}{time}. Results: {self.place}{aside}"


def preview(params: Params, names: Sequence[str] = curves.USUAL) -> Preview:
    """Count the models that these walks still want, each walk as if it met no other one from here on: hence "at most".

    Seconds are those of the fine-tunes recorded for this dataset and seed, by layers; where none is, under these settings,
    those of the default study on the same encoder, scaled to the texts trained on.
    """
    store = store_of(params)
    return Preview(store.known(), *_left(params, names), shown(params.unit_dir), store.displaced())


def _left(params: Params, names: Sequence[str]) -> tuple[int | None, float | None]:
    """Return fine-tunes and seconds of a `Preview`."""
    if not names:
        return 0, None
    found = curves.paths(params, names)
    if found:
        left = [layers for path in found for layers in _still_wanted(path, params)]
        return _priced(params, left, found, 1.0)
    usual = usual_of(params)
    found = curves.paths(usual, names) if usual.model == params.model else []
    if not found:
        return None, None
    whole = [curves.Path(path.strategy, path.nodes[:1], ended=False) for path in found]
    left = [layers for path in whole for layers in _still_wanted(path, params)]
    if not params.fine_tuned:
        left.append(found[0].nodes[0].original_layers)
    return _priced(params, left, found, params.epochs * params.train_size / (usual.epochs * usual.train_size))


def _priced(params: Params, left: list[int], found: list[curves.Path], more: float) -> tuple[int, float | None]:
    rate = _seconds_per_layer([node for path in found for node in path.nodes])
    seconds = more * rate * sum(map(cost, left)) / parallel.workers_of(params) if rate else None
    return len(left), seconds


def _still_wanted(path: curves.Path, params: Params) -> list[int]:
    """Return the layers of each model between a walk's place and its end."""
    total, done = path.nodes[0].original_layers, len(path.nodes)
    last = 0 if path.ended else strategies.depth(path.strategy, total, params)
    return [total if path.strategy == "Equal-Training" else total - step for step in range(done, last + 1)]


def _seconds_per_layer(nodes: list[Node]) -> float | None:
    rates = [node.record["seconds"]["fine_tune"] / cost(len(node.remaining)) for node in nodes if "seconds" in node.record]
    return sum(rates) / len(rates) if rates else None
