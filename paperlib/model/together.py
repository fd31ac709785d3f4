"""Say whether a study trains the models of a level together, as one batch of models, and split them into batches."""

from paperlib.model.device import device_of
from paperlib.params import Params


def is_on(params: Params) -> bool:
    """Say whether this study trains in batches of models: on a GPU unless `together: 1`, elsewhere only when asked.

    Dropout masks are then drawn otherwise, so this is part of a study; how many models share a batch is not.
    """
    return params.together > 1 or (params.together == 0 and device_of(params).type == "cuda")


def is_recorded(params: Params) -> bool:
    """Say whether the training step of a batch of models is recorded as a CUDA graph: where asked for, on a GPU."""
    return params.cuda_graphs and device_of(params).type == "cuda"


def split(items: list, size: int) -> list[list]:
    """Split into the fewest batches of at most `size`, as even as can be."""
    count = -(-len(items) // size)
    return [
        items[number * len(items) // count : (number + 1) * len(items) // count] for number in range(count)
    ]
