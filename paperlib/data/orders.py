"""Draw orders in which layers go, and the sets that are then gone: a sample of all sets, where these are too many."""

import numpy as np

ALL_UP_TO = 14  # layers: of deeper models, sets are drawn
ORDERS = 32  # random orders from which they are drawn


def drawn(numbers: list[int], seed: int) -> list[list[int]]:
    """Draw `ORDERS` random orders of these layers."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(numbers).tolist() for _ in range(ORDERS)]


def subsets(numbers: list[int], seed: int) -> set[tuple[int, ...]]:
    """Return each single layer, and what is gone at every stage of the orders drawn, as ascending tuples."""
    singles = {(number,) for number in numbers}
    stages = range(len(numbers) + 1)
    return singles | {tuple(sorted(order[:stage])) for order in drawn(numbers, seed) for stage in stages}


def passes(layers: int) -> int:
    """Return how many layer passes of each example the sets of a model cost, at most; an ordinary forward pass is `layers`."""
    return 2**layers - 1 if layers <= ALL_UP_TO else (ORDERS + 1) * layers * layers // 2
