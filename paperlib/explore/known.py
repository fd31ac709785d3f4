"""Find the settings under which models of a dataset and seed are at hand: the default study, and experiments."""

from collections.abc import Sequence

from paperlib import params as P
from paperlib.common.errors import UserError
from paperlib.common.messages import unit_name
from paperlib.common.records import is_node
from paperlib.params import EXPERIMENTS, RUN_ONLY, Params


def known(params: Params) -> list[Params]:
    """Return the default study and every experiment that has models of the dataset and seed, by the names of their folders."""
    usual = usual_of(params)
    folder = usual.default_dir.parent / EXPERIMENTS / params.profile
    found = [usual, *filter(None, (_read(path.name, usual) for path in sorted(folder.glob("*"))))]
    return [each for each in found if any(is_node(path.stem) for path in each.unit_dir.glob("nodes/*.json"))]


def usual_of(params: Params, settings: str = "") -> Params:
    """Return the default study, or the one of these settings, with the places and the texts of this one."""
    return P.load(params.profile, params.dataset, params.seed, settings).replace(**params.model_dump(include=RUN_ONLY - {"profile"}))


def titles(studies: Sequence[Params]) -> list[str]:
    """Name each study by the settings that set it apart, and where these are the same by its profile, dataset and seed."""
    names = [params.experiment or "default" for params in studies]
    units = [f"{params.profile}, {unit_name(params.dataset, params.seed)}" for params in studies]
    return [name if names.count(name) == 1 else f"{name} ({unit})" for name, unit in zip(names, units)]


def _read(name: str, usual: Params) -> Params | None:
    """Return the study whose results a folder of this name holds; None where the name does not tell all settings."""
    try:
        params = usual_of(usual, name.replace(",", " "))
    except UserError:
        return None
    return params if params.experiment == name else None
