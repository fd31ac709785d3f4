"""What a quantity is computed from (`Results`) and what it comes out as (`Estimate`)."""

import itertools
from dataclasses import dataclass, field

import pandas as pd

from paperlib import published
from paperlib.evidence import statistics

LEVEL = 0.05  # of every test, as in the paper
NAN = float("nan")
TABLES = {  # each with what is missing where it is empty
    "steps": "walks", "distillation": "distillation", "fusion": "weights of the fusers", "fusion_fit": "fits of the fusers",
    "randomization": "random orders", "subsets": "sets of layers", "regret": "sets of layers", "transfer": "a second dataset to choose on",
    "transfer_encoder": "another encoder to choose on", "steps_encoder": "walks down another encoder", "epochs": "other epochs (make epochs)",
}  # fmt: skip


class Untestable(Exception):
    """The numbers a quantity needs are not there; the message says which."""


@dataclass(frozen=True)
class Estimate:
    """One measured quantity; `spread` is the s.e.m. over datasets unless its function says otherwise."""

    value: float
    spread: float = NAN
    p_less: float = NAN
    p_greater: float = NAN
    p_two_sided: float = NAN
    datasets: int = 0
    seeds: str = ""  # of each dataset; those of the study where a quantity does not say
    of: int | None = None  # counts only: out of how many
    note: str = ""


@dataclass(frozen=True)
class Results:
    """One set of results, the paper's or ours; an empty table means that it was not measured."""

    maxima: pd.DataFrame  # (strategies, datasets)
    baseline: pd.Series  # (datasets,)
    steps: pd.DataFrame = field(default_factory=pd.DataFrame)
    distillation: pd.DataFrame = field(default_factory=pd.DataFrame)
    fusion: pd.DataFrame = field(default_factory=pd.DataFrame)
    fusion_fit: pd.DataFrame = field(default_factory=pd.DataFrame)
    randomization: pd.DataFrame = field(default_factory=pd.DataFrame)
    subsets: pd.DataFrame = field(default_factory=pd.DataFrame)
    regret: pd.DataFrame = field(default_factory=pd.DataFrame)
    transfer: pd.DataFrame = field(default_factory=pd.DataFrame)  # over datasets: of the whole profile
    transfer_encoder: pd.DataFrame = field(default_factory=pd.DataFrame)  # the same, applied to another encoder
    steps_encoder: pd.DataFrame = field(default_factory=pd.DataFrame)  # walks down another encoder, as in steps
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)  # over runs that differ in their training
    printed: bool = False  # Table 1: rounded to three decimals, sizes unknown

    @classmethod
    def from_paper(cls) -> "Results":
        """Bundle Table 1."""
        return cls(published.maxima(), published.baseline(), printed=True)

    @classmethod
    def from_tables(cls, **tables: pd.DataFrame | None) -> "Results":
        """Bundle our tidy tables (`steps=...`, `distillation=...`); any may be None or empty."""
        given = {name: table for name, table in tables.items() if table is not None and not table.empty}
        if "steps" not in given:
            return cls(pd.DataFrame(), pd.Series(dtype=float), **given)
        steps = given["steps"]
        return cls(statistics.maximum_accuracy(steps), statistics.baseline_accuracy(steps), **given)

    @property
    def seeds_each(self) -> list[int]:
        """Return of every dataset with how many seeds it was run."""
        return seeds_each(self.steps)

    @property
    def whole_seeds(self) -> list[int]:
        """Return the seeds with which every dataset was run: only these can be compared with one another."""
        if self.steps.empty:
            return []
        run = self.steps.groupby("seed")["dataset"].nunique()
        return sorted(run.index[run == self.steps["dataset"].nunique()])

    def of_seed(self, seed: int) -> "Results":
        """Keep one seed of our tables."""
        tables = {name: getattr(self, name) for name in TABLES}
        return self.from_tables(**{name: t[t["seed"] == seed] for name, t in tables.items() if not t.empty})

    def rows(self, *names: str) -> pd.DataFrame:
        """Return (names, datasets), where all of them were measured; "Baseline" is a name too."""
        if self.maxima.empty:
            raise Untestable("not measured")
        table = pd.concat([self.maxima, self.baseline.rename("Baseline").to_frame().T])
        missing = [name for name in names if name not in table.index]
        if missing:
            raise Untestable("not in Table 1" if self.printed else f"not measured: {', '.join(missing)}")
        return table.loc[list(names)].dropna(axis=1).astype(float)

    def table(self, name: str) -> pd.DataFrame:
        """Return one of our tables, or raise Untestable when it is empty."""
        table = getattr(self, name)
        if table.empty:
            raise Untestable("not in Table 1" if self.printed else f"not measured: {TABLES[name]}")
        return table


def seeds_each(rows: pd.DataFrame) -> list[int]:
    """Return of every dataset of a table with how many seeds it is there."""
    return [] if rows.empty else rows.groupby("dataset", sort=False)["seed"].nunique().tolist()


def testable(table: pd.DataFrame, tests: int = 1) -> pd.DataFrame:
    """Return a table with one column per dataset, or raise Untestable where no test over so few of them can be significant.

    After Holm's correction for so many one-sided signed-rank `tests`, all of them: the smallest p-value is `tests` / 2^n.
    """
    needed = next(n for n in itertools.count(statistics.MIN_DATASETS) if tests / 2**n < LEVEL)
    if table.shape[1] < needed:
        raise Untestable(f"needs {needed} datasets, has {table.shape[1]}")
    return table


def after_holm(gains: pd.DataFrame) -> pd.Series:
    """Return each row's one-sided signed-rank p over the datasets (columns) that it is above zero, Holm over the rows.

    Raises Untestable as `testable` does.
    """
    return statistics.holm(testable(gains, len(gains)).apply(statistics.wilcoxon_p, axis=1, alternative="greater"))


def paired(differences: pd.Series, shift: float = 0.0, note: str = "") -> Estimate:
    """Summarise one difference per dataset: mean, s.e.m. and signed-rank tests of `differences + shift`."""
    differences = differences.dropna()
    if differences.empty:
        raise Untestable("no dataset has both")
    sides = ("less", "greater", "two-sided")
    p_less, p_greater, p_two_sided = (statistics.wilcoxon_p(differences + shift, side) for side in sides)
    spread = statistics.sem(differences)
    return Estimate(differences.mean(), spread, p_less, p_greater, p_two_sided, len(differences), note=note)


def count(flags: pd.Series, datasets: int, note: str | None = None) -> Estimate:
    """Count the true entries; unless a note is given, it names them."""
    if flags.empty:
        raise Untestable("no dataset has all")
    names = ", ".join(map(str, flags.index[flags])) if note is None else note
    return Estimate(int(flags.sum()), datasets=datasets, of=len(flags), note=names)
