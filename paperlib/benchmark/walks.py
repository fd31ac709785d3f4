"""Know the walks of a study: from its stored tree where it is finished, else drawn at random."""

import zlib

import numpy as np

from paperlib import strategies
from paperlib.benchmark import stored
from paperlib.benchmark.subject import Subject
from paperlib.names import CONTROLS, STRATEGIES
from paperlib.nodes.node import Removed
from paperlib.params import Params
from paperlib.tree import Study

STORED = "walks of the finished study"
DRAWN = "walks drawn at random"  # where no finished study is at hand; real ones meet more often


def of(subject: Subject) -> tuple[dict[str, Removed], str]:
    """Return the layers that every walk removes, in order, and where they are from."""
    params = subject.params
    if not subject.shapes and stored.finished(params):
        study = Study(params)
        return {name: study.walk(name).nodes[-1].removed for name in names(params)}, STORED
    return {name: _drawn(name, subject.layers, params) for name in names(params)}, DRAWN


def names(params: Params) -> list[str]:
    """List the paper's strategies, our controls, and the random orders of both tests."""
    tests = strategies.random_tests(params)
    return [*STRATEGIES, *CONTROLS, *(name for names in tests.values() for name in names)]


def nodes(path: Removed) -> list[Removed]:
    """Return the nodes that a walk passes, the original model first."""
    return [path[:depth] for depth in range(len(path) + 1)]


def distinct(paths: list[Removed]) -> int:
    """Count the fine-tunes when each node is trained once."""
    return len({node for path in paths for node in nodes(path)})


def unshared(paths: list[Removed]) -> int:
    """Count the fine-tunes when every walk trains all of its own, but for the original model, which is trained once."""
    return 1 + sum(map(len, paths))


def left(node: Removed, layers: int) -> int:
    """Return how many layers a node has."""
    return layers - sum(layer is not None for layer in node)


def _drawn(name: str, layers: int, params: Params) -> Removed:
    depth = strategies.depth(name, layers, params)
    if name == "Equal-Training":
        return (None,) * depth
    if name.startswith(("Random-All-", "Random-Inner-")):
        return tuple(strategies.random_order(name, layers, params.seed)[:depth])
    rng = np.random.default_rng([params.seed, zlib.crc32(name.encode())])
    return tuple(int(layer) for layer in rng.permutation(layers)[:depth])
