"""The kept numbers of a profile, each read and compared once: what the pages and the report say of a reference is said of these."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from paperlib.common.places import REFERENCE
from paperlib.evidence import comparisons, other_encoder, tables, units
from paperlib.evidence.estimates import Results

ORDER = ("laptop", "base", "paper")  # of profiles; the first that is there is shown in README.md


@dataclass(frozen=True)
class Kept:
    """A folder of outputs/reference, or a profile's own."""

    folder: Path

    @cached_property
    def records(self) -> list[dict]:
        """The provenance of its finished units."""
        return list(units.finished(self.folder).values())

    @property
    def runs(self) -> list[dict]:
        """The parameters of its finished units."""
        return [record["parameters"] for record in self.records]

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """The rows of claims.csv."""
        return pd.read_csv(self.folder / "claims.csv", keep_default_na=False)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """Every step of every walk."""
        return tables.collect(self.folder, "steps")

    @cached_property
    def orders(self) -> pd.DataFrame | None:
        """The random orders of every unit; None where none were walked."""
        return tables.collect(self.folder, "randomization")

    @cached_property
    def rivals(self) -> pd.DataFrame:
        """What the random forest's fusion gains over each rival, as `comparisons.rivals` says."""
        return comparisons.rivals(Results.from_tables(steps=self.steps, randomization=self.orders), other_encoder.FOREST)

    @cached_property
    def epochs(self) -> pd.DataFrame | None:
        """What was run under other epochs and learning rates; None where nothing was."""
        return tables.collect(self.folder, "epochs")

    @cached_property
    def first_choices(self) -> pd.DataFrame | None:
        """What was chosen first of another encoder's layers; None where none was measured."""
        return tables.of_profile(self.folder, "transfer_encoder")

    @cached_property
    def walks(self) -> pd.DataFrame | None:
        """The steps of walks down another encoder; None where there are none."""
        return tables.of_profile(self.folder, "steps_encoder")

    @cached_property
    def beside(self) -> dict[str, pd.DataFrame]:
        """What fusion gains here beside what it gains at each other encoder, by its name, as `other_encoder.beside` says."""
        by_encoder = {} if self.walks is None else dict(list(self.walks.groupby("encoder", sort=False)))
        return {encoder: other_encoder.beside(self.steps, walks) for encoder, walks in by_encoder.items()}


def profiles(reference: Path = REFERENCE) -> list[Kept]:
    """List the profiles whose numbers are kept."""
    found = [Kept(path.parent) for path in reference.glob("[!.]*/claims.csv")]
    return sorted(found, key=lambda kept: (kept.folder.name not in ORDER, [*ORDER, kept.folder.name].index(kept.folder.name)))
