"""What the project's pages say of a kept run: what was run, on which texts and computers, and what was run beside it."""

import pandas as pd

from paperlib.common.errors import UserError
from paperlib.common.hardware import UNKNOWN
from paperlib.common.messages import span, unit_name
from paperlib.evidence import other_encoder, provenance, sentences, statistics, tables
from paperlib.params import DATASETS
from paperlib.report.reference.kept import ORDER, Kept


def run(kept: Kept) -> str:
    """Say in one sentence what was run, from the tables and the provenance of the units."""
    runs, steps = kept.runs, kept.steps
    models, trained = {run["model"] for run in runs}, {run["train_size"] for run in runs}
    layers, tested = steps["layers"].unique(), steps["test_size"].unique()
    if max(map(len, (models, trained, layers, tested))) > 1:
        raise UserError(f"{kept.folder.name}: units of different models or sizes make no reference")
    found = steps.drop_duplicates(["dataset", "seed"])
    of_dataset = found.groupby("dataset", sort=False)["seed"].nunique()
    each, of_each = (" each", " of each") if len(of_dataset) > 1 else ("", "")
    return (
        f"one real run, {len(of_dataset)} of the paper's {len(DATASETS)} datasets with {span(of_dataset.tolist(), 'seed')}{each} "
        f"({', '.join(of_dataset.index)}): the {layers[0]}-layer encoder {models.pop()}, {trained.pop()} training and "
        f"{tested[0]} test examples{of_each}."
    )


def texts(kept: Kept) -> str:
    """Say which texts the numbers are of, and what follows for whoever compares a run with them."""
    local = [run["dataset"] for run in kept.runs if is_local(run)]
    if not local:
        return "The texts are those that `make reproduce` fetches."
    all_of_them = "All texts" if len(local) == len(kept.runs) else f"The texts of {', '.join(dict.fromkeys(local))}"
    said = f"{all_of_them} were read from a local folder (`data_dir`)"
    profile = "" if kept.folder.name == ORDER[0] else f" PROFILE={kept.folder.name}"
    if "newsgroup" not in local:
        return f"{said}."
    return (
        f"{said}: **its newsgroup is not the one that `make reproduce` fetches** (from a package: letters only, lower case, subject "
        f"first), so `make compare{profile}` after `make reproduce{profile}` shows different texts beside each other, and different numbers."
    )


def is_local(run: dict) -> bool:
    """Say if a unit with these parameters read its texts from `data_dir`."""
    return bool(run.get("data_dir")) and run.get("data_source") in ("auto", "data_dir")


def machine(kept: Kept) -> str:
    """Say where and by which commit the units were finished, and what trained their models where an earlier run or another computer did."""
    machines = sorted({dict(provenance.summary(record))["Hardware"] for record in kept.records})
    commits = sorted({record["commit"][:7] for record in kept.records})
    hours = sum(record["wall_seconds"] for record in kept.records) / 3600
    where = f"{'; '.join(machines)}; at commit {', '.join(commits)}."
    models = kept.steps.drop_duplicates(["dataset", "seed", "removed"]).query("seconds > 0")
    computers = tables.trained_on(models)
    elsewhere = set(computers) - {UNKNOWN} - {record[what] for record in kept.records for what in ("cpu", "gpu")}
    if not elsewhere and not _were_at_hand(models, kept.records):
        return f"It took {hours:.1f} hours in all on {where}"
    counts = computers.value_counts()
    shares = sentences.listed([f"{number} on {computer}" for computer, number in counts.items()]) if len(counts) > 1 else f"all on {counts.index[0]}"
    return (
        f"It was finished on {where} The {len(models)} models on its walks, random orders not counted, took {models['seconds'].sum() / 3600:.1f} hours "
        f"to train: {shares}.{_random_orders(kept.orders)}"
    )


def _random_orders(orders: pd.DataFrame | None) -> str:
    """Say what trained the models of Figure 8's random orders; "" where the table does not tell."""
    told = {} if orders is None else _by_unit(orders)
    return f" Those of the random orders were trained: {', '.join(_on(*each) for each in told.items())}." if any(told.values()) else ""


def _were_at_hand(models: pd.DataFrame, records: list[dict]) -> bool:
    """Say if a unit's models took longer to train than its notebooks had all cores for: then an earlier run had trained some."""
    trained = models.groupby(["dataset", "seed"])["seconds"].sum()
    had = {(run["parameters"]["dataset"], run["parameters"]["seed"]): run["wall_seconds"] * run["cores"] for run in records}
    return any(seconds > had[unit] for unit, seconds in trained.items())


def beside(kept: Kept) -> str:
    """Say what was run beside the study itself: other settings of training, another encoder; "" where nothing was."""
    axis, encoder, told = kept.epochs, kept.first_choices, ""
    if axis is not None:
        told += f" Beside it, two walks under other epochs and learning rates (07, *Is it under-training?*): {_trained_otherwise(axis)}."
    if encoder is not None:
        originals = encoder[encoder["removed"] == ""].drop_duplicates(["dataset", "seed"])
        told += (
            f" And the original models of {', '.join(encoder['encoder'].unique())}, {originals['layers_left'].iloc[0]} layers, on {len(originals)} "
            "datasets and seeds, measured (09, section 4)."
        )
    if kept.walks is not None:
        told += f" Walked down from them (09, section 5), {_walked(kept.walks)}."
    return told


def _trained_otherwise(axis: pd.DataFrame) -> str:
    """Name the units of epochs.csv, each with what trained its models where the table tells."""
    return ", ".join(_on(*each) for each in _by_unit(axis).items())


def _by_unit(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return what trained the models of each unit, by the unit's name; nothing where the table does not tell."""
    units = rows.assign(computers=tables.trained_on(rows)).groupby(["dataset", "seed"], sort=False)["computers"]
    return {unit_name(*unit): sorted(set("; ".join(each).split("; ")) - {UNKNOWN}) for unit, each in units}


def _on(unit: str, computers: list[str]) -> str:
    return unit + f" (on {' and '.join(computers)})" * bool(computers)


def elsewhere(kept: Kept, others: list[Kept]) -> str:
    """Say how far these maxima are from those of walks down the same encoder that another reference shows; "" where none does."""
    told, units_here = "", kept.steps[["dataset", "seed"]].drop_duplicates()
    for other in (other for other in others if other.walks is not None):
        there = other.walks[other.walks["encoder"].isin([run["model"] for run in kept.runs])].merge(units_here)
        here = kept.steps.merge(there[["dataset", "seed", "strategy"]].drop_duplicates())
        if not here.empty:
            apart = 100 * (statistics.maximum_accuracy(there) - statistics.maximum_accuracy(here)).stack().abs().dropna()
            most = sentences.listed([f"{strategy} on {dataset}" for strategy, dataset in sentences.leading(apart)])
            told += (
                f" Walks of this encoder stand in {other.folder.name}'s section, too, from a run of their own: maxima lie within "
                f"{apart.max():.1f} points of these (farthest: {most})."
            )
    return told


def _walked(walks: pd.DataFrame) -> str:
    """Name the strategies that were walked, each with its datasets, by what trained the models."""
    pruned = walks[walks["step"] > 0]  # an original may be taken as it is
    trained = []
    for computer, there in pruned.groupby(tables.trained_on(pruned), sort=False):
        found = there.groupby("strategy", sort=False)["dataset"].unique().map(", ".join)
        trained.append(f"on {computer}: {'; '.join(f'{name} on {datasets}' for name, datasets in found.items())}")
    apart = None if len(trained) == 1 else other_encoder.originals_differ_by(walks)
    differ = "" if apart is None else f". The originals of a dataset from several computers differ by {apart} test text{'s' * (apart != 1)} at most"
    return f"{'; and '.join(trained)}{differ}"
