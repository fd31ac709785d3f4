"""Find the settings under which models of a dataset and seed are at hand: the default study, and experiments."""

from paperlib import params as P
from paperlib.common.errors import UserError
from paperlib.params import EXPERIMENTS, Params


def known(params: Params) -> list[Params]:
    """Return the default study and every experiment that has models of the dataset and seed, by the names of their folders."""
    usual = P.load(params.profile, params.dataset, params.seed)
    folder = usual.default_dir.parent / EXPERIMENTS / params.profile
    found = [usual, *filter(None, (_read(path.name, usual) for path in sorted(folder.glob("*"))))]
    return [each for each in found if any(each.unit_dir.glob("nodes/*.json"))]


def title(params: Params) -> str:
    """Name a study by the settings that set it apart."""
    return params.experiment or "default"


def _read(name: str, usual: Params) -> Params | None:
    """Return the study whose results a folder of this name holds; None where the name does not tell all settings."""
    try:
        params = P.load(usual.profile, usual.dataset, usual.seed, name.replace(",", " "))
    except UserError:
        return None
    return params if params.experiment == name else None
