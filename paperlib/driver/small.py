"""Run 10_your_model after a study on a few of its texts: what it shows, in some minutes, is how it works, and no result."""

from paperlib.common.files import sha256_file
from paperlib.evidence import provenance, units
from paperlib.nodes import fingerprint
from paperlib.params import Params, parse_settings, write_settings

RECORD = "small"  # in a profile's provenance
SIZES = {"train_size": 128, "validation_size": 64, "test_size": 128, "signal_size": 64}  # at most
REMOVED = 2  # layers at most


def settings_of(params: Params, settings: str) -> str:
    """Return a study's settings, with small sizes in place of its own, on the processor.

    Without how the study selects: a model to take away is chosen by validation texts.
    """
    own = {name: value for name, value in parse_settings(settings).items() if name != "selection_split"}
    small = {name: min(size, getattr(params, name)) for name, size in SIZES.items()}
    small |= {"max_removed": min(REMOVED, params.max_removed or REMOVED), "device": "cpu"}
    of_gpu = {"cuda_graphs": False} if params.cuda_graphs else {}
    return write_settings({**own, **small, **of_gpu})


def stale(params: Params) -> list[str]:
    """Name the notebook unless it was run by these cells, parameters, data and code, and its executed copy is unharmed.

    A study whose own numbers are no results goes without.
    """
    if provenance.banner(params):
        return []
    return [] if units.provenance(params.profile_dir).get(RECORD) == _state(params) else [units.YOURS]


def recorded(params: Params, anew: bool) -> dict:
    """Return what is to be known of its last run, which was `anew` or earlier."""
    return {RECORD: _state(params) if anew else units.provenance(params.profile_dir).get(RECORD)}


def _state(params: Params) -> dict[str, str]:
    executed = units.executed(units.YOURS, params)
    digest = sha256_file(executed) if executed.exists() else ""
    return {"fingerprint": units.expected(units.YOURS, params), "code": fingerprint.of_code("compression"), "sha256": digest}
