"""Know which finished units are one study and may stand in one table: numbers of different studies are never mixed."""

from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path

from paperlib.common.hardware import UNKNOWN
from paperlib.common.records import is_of_commit
from paperlib.data import pretrained
from paperlib.evidence import units
from paperlib.nodes.fingerprint import LIBRARIES
from paperlib.params import Params

Unit = tuple[str, int]  # dataset and seed
HARMED, UNFINISHED = "its tables are not those that were recorded", "it is unfinished"
OF_TEXTS = sorted(units.UNIT_FIELDS - {"dataset", "seed", "data_source"})


def comparable(params: Params, asked: str = "") -> list[Unit]:
    """List the finished units of the profile that may stand in one table with this study's.

    They share its parameters, but for dataset and seed, its library and the commit of the hub's model; the device, the
    precision and the versions of what computes are those of most of them, the texts of a dataset those of most of its seeds,
    and those of this unit where as many have others. What is left out stays on disk. Where a notebook on request is `asked`
    for, those for which it was not run are left out, too. A kept reference that is laid out is one study, as it was when it
    was kept.
    """
    records, why = _judged(params)
    any_will_do = not asked or units.is_laid_out(params)
    return [unit for unit, record in records.items() if not why[unit] and (any_will_do or asked in record.get("asked", []))]


def left_out(params: Params) -> dict[Unit, str]:
    """Return the finished units of the profile that `comparable` leaves out, each with the reason."""
    return {unit: why for unit, why in _judged(params)[1].items() if why}


def of_other_encoders(params: Params) -> dict[Path, dict]:
    """Return the provenance of finished units of other profiles that start from another encoder than this study's, by folder.

    Of a profile whose units have several settings or commits of the model, or were computed in several ways, those are taken
    that most have: they are one study.
    """
    found = {}
    for profile_dir in sorted(path for path in params.default_dir.parent.glob("*") if path != params.default_dir):
        sound = {folder: record for folder, record in units.finished(profile_dir).items() if units.is_sound(folder, record)}
        studies = {folder: (record.get("settings"), record.get("model_commit"), computed(record), _libraries(record)) for folder, record in sound.items()}
        most = _most(studies.values())
        there = {folder: record for folder, record in sound.items() if studies[folder] == most}
        encoders = {record["parameters"]["model"] for record in there.values()}
        if len(encoders) == 1 and not encoders & {params.model, pretrained.RANDOM}:
            found |= there
    return found


def computed(record: dict) -> str:
    """Say on what and in which precision a unit was computed; "" of one that does not tell."""
    how = record.get("computed")
    return f"computed in {how['precision']} on {'a GPU' if how['device'] == 'cuda' else 'processors'}" if how else ""


def _libraries(record: dict) -> str:
    """Say by which versions of what computes a unit was made; "" of one that does not tell."""
    packages = record.get("packages", {})
    return "computed with " + ", ".join(f"{name} {packages.get(name, UNKNOWN).partition('+')[0]}" for name in LIBRARIES) if packages else ""


def _judged(params: Params) -> tuple[dict[Unit, dict], dict[Unit, str]]:
    """Return the provenance of each finished unit, and why it is no part of the study, "" where it is one."""
    finished = units.finished(params.profile_dir)
    folders = {(record["parameters"]["dataset"], record["parameters"]["seed"]): folder for folder, record in finished.items()}
    records = {unit: finished[folder] for unit, folder in folders.items()}
    why = {unit: "" if units.is_sound(folders[unit], record) else HARMED for unit, record in records.items()}
    if units.is_laid_out(params):
        return records, why
    own, settings = units.provenance(params.unit_dir), units.settings_of(params)
    commit = own.get("model_commit") or pretrained.commit(params)
    for unit, record in records.items():
        if record.get("settings") != settings:
            why[unit] = why[unit] or "it was run with other settings, or by other code"
        elif not is_of_commit(record, commit):
            why[unit] = why[unit] or "it is of another commit of the model"
    for way in (computed, _libraries):
        ways = {unit: way(record) for unit, record in records.items() if not why[unit]}
        most = _most(ways.values(), way(own))
        why |= {unit: f"it was {said or 'computed nobody knows how'}, and the others {most.removeprefix('computed ')}" for unit, said in ways.items() if said != most}
    for dataset in {dataset for dataset, _ in records}:
        seeds = {unit: _texts(record) for unit, record in records.items() if unit[0] == dataset and not why[unit]}
        texts = _most(seeds.values(), seeds.get((params.dataset, params.seed)))
        why |= {unit: "its texts are others than those of the other seeds" for unit, read in seeds.items() if read != texts}
    return records, why


def _texts(record: dict) -> tuple:
    return (str(record.get("data")), *(str(record["parameters"].get(name)) for name in OF_TEXTS))


def _most(values: Iterable[Hashable], preferred: Hashable = None) -> Hashable:
    """Return what most have; where several are had as often, the preferred one, or the first. None where there is nothing."""
    counts = Counter(values)
    often = [value for value, count in counts.items() if count == max(counts.values())]
    return preferred if preferred in often else next(iter(often), None)
