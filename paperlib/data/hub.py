"""Read a few evenly spread slices of a dataset on the hub, without downloading the rest."""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from paperlib.common.errors import UserError, words_of
from paperlib.params import Params


def read_slices(params: Params, split: str) -> pd.DataFrame:
    """Return the rows of `hub_slices` row groups of a split, evenly spread over it.

    Several of these corpora are stored sorted by label, so neighbouring rows would not do; a row group is the least
    that a parquet file gives. Needs a network, or the library's own offline cache.
    Raises UserError when the rows cannot be had or their labels are not in the order of `class_names`.
    """
    try:
        stream = _stream(params, split)
        _check_names(stream, params)
        return pd.DataFrame(list(itertools.chain.from_iterable(_slices(stream, params.hub_slices))))
    except UserError:
        raise
    except Exception as error:  # the library raises a dozen kinds; each means that there are no rows
        advice = "without a network use data_dir, or PROFILE=laptop with newsgroup"
        raise UserError(f"{params.hub_id} ({split}) could not be loaded: {words_of(error)}; {advice}") from None


def _stream(params: Params, split: str):
    """Open a split as a stream with one shard per row group."""
    import datasets  # slow to import, and seldom needed

    stream = datasets.load_dataset(
        params.hub_id, params.hub_config or None, split=split, revision=params.hub_revision, streaming=True
    )
    return stream.reshard() if hasattr(stream, "reshard") else stream  # newer than datasets 4.5


def _slices(stream, most: int) -> Iterator[Iterator[dict]]:
    shards = stream.num_shards
    for index in np.unique(np.linspace(0, shards - 1, min(most, shards)).round().astype(int)):
        yield iter(stream.shard(num_shards=shards, index=int(index)))


def _check_names(stream, params: Params) -> None:
    """Compare the label names that the hub states, if it does, with ours: an order that differs swaps classes."""
    feature = (stream.features or {}).get(params.label_field)
    stated = list(getattr(feature, "names", None) or [])
    if stated and params.class_names and [n.casefold() for n in stated] != [n.casefold() for n in params.class_names]:
        raise UserError(f"{params.hub_id}: the hub's label names {stated} are not the class_names of its dataset file")
