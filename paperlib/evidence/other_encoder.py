"""Does what was found with one encoder hold for another? First choices and whole walks of units that start from another.

They are one's own units of other profiles. Where the reference run stands in for one's own (`own` is false, as
`transfer.at_hand` says), its tables are returned as they were kept: own runs are never laid beside the reference's.
"""

import numpy as np
import pandas as pd

from paperlib.common.places import REFERENCE
from paperlib.evidence import comparisons, one_study, tables, transfer, units
from paperlib.evidence.estimates import Results
from paperlib.names import FUSERS, SIGNALS
from paperlib.params import DATASETS, Params

FOREST = FUSERS[1]
KEPT = REFERENCE / "laptop"
ALONE = {"Baseline": (), comparisons.BEST_SINGLE: SIGNALS, comparisons.MEAN_SINGLE: SIGNALS}  # rivals that are no walk: those they come from


def first_choices(models: list[transfer.Model], own: bool, params: Params) -> pd.DataFrame:
    """Apply what was fitted on these models to those of another encoder: rows as `transfer.judged` says, none without one."""
    if (kept := _kept("transfer_encoder", own, params)) is not None:
        return kept
    others = models_of_others(params)
    return transfer.across(models, others, params) if others else pd.DataFrame()


def models_of_others(params: Params) -> list[transfer.Model]:
    """Return the models of finished units of other profiles that start from another encoder."""
    found = []
    for unit, run in _others(params):
        found += transfer.models_of(unit.parent.parent, [(run["dataset"], run["seed"])], run["model"])
    return found


def walks(own: bool, params: Params) -> pd.DataFrame:
    """Return the rows of steps.csv of every unit that starts from another encoder, with the encoder's name; none without one."""
    if (kept := _kept("steps_encoder", own, params)) is not None:
        return kept
    found = [(tables.collect(unit.parent.parent, "steps", [(run["dataset"], run["seed"])]), run["model"]) for unit, run in _others(params)]
    walked = [rows.assign(encoder=encoder) for rows, encoder in found if rows is not None]
    return pd.concat(walked, ignore_index=True) if walked else pd.DataFrame()


def walks_here(own: bool, params: Params) -> pd.DataFrame:
    """Return steps.csv of the units with which `walks` is compared: one's own of this profile, or the reference's."""
    return tables.collect(params.profile_dir, "steps", one_study.comparable(params)) if own else tables.collect(KEPT, "steps")


def beside(here: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
    """Set what the random forest gains over each rival here beside what it gains there, on one other encoder.

    One row for each rival that was walked on both sides, of the datasets on which it was; the columns of
    `comparisons.rivals`, each with _here and _there.
    """
    walked = [rows.groupby("dataset")["strategy"].agg(set) for rows in (here, there)]
    on_both, shared = walked[0].index.intersection(walked[1].index), {}
    for rival in comparisons.RIVALS:
        needed = {FOREST, *ALONE.get(rival, [rival])}
        shared[rival] = tuple(dataset for dataset in on_both if all(needed <= side[dataset] for side in walked))
    found = []
    for datasets in dict.fromkeys(shared.values()):  # most rivals share all of them
        names = [rival for rival in shared if shared[rival] == datasets]
        if datasets:
            sides = [Results.from_tables(steps=rows[rows["dataset"].isin(datasets)]) for rows in (here, there)]
            of_here, of_there = (comparisons.rivals(side, FOREST).loc[names] for side in sides)
            found.append(of_here.add_suffix("_here").join(of_there.add_suffix("_there")))
    return pd.concat(found).loc[[rival for rival in shared if shared[rival]]] if found else pd.DataFrame()


def originals_differ_by(walked: pd.DataFrame) -> int | None:
    """Return the most test examples by which original models of one dataset and seed differ; None where none has several, from several computers."""
    originals = walked[walked["step"] == 0]
    by_unit = originals.assign(right=originals["accuracy"] * originals["test_size"]).groupby(["dataset", "seed"])
    several = by_unit["right"].agg(np.ptp)[by_unit["trained_on"].nunique() > 1]
    return int(several.max().round()) if len(several) else None


def _others(params: Params) -> list[tuple]:
    """Return folder and parameters of every unit that starts from another encoder, datasets in the paper's order."""
    found = [(unit, record["parameters"]) for unit, record in one_study.of_other_encoders(params).items()]
    return sorted(found, key=lambda each: [*DATASETS, each[1]["dataset"]].index(each[1]["dataset"]))


def _kept(name: str, own: bool, params: Params) -> pd.DataFrame | None:
    """Return a kept table where it stands for runs: the reference's instead of one's own, or laid out to be drawn again."""
    if own and not units.is_laid_out(params):
        return None
    kept = tables.of_profile(params.profile_dir if own else KEPT, name)
    return pd.DataFrame() if kept is None else kept
