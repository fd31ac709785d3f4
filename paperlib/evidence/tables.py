"""Turn the nodes of a study into tidy tables, write them, and collect them over datasets and seeds.

A table holds all that belongs in it: models that its walks want and the store lacks are computed first. Tests may ask
for the part that some walks (`names`) make up.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from paperlib import strategies
from paperlib.common.errors import UserError, words_of
from paperlib.common.files import atomic_write_text
from paperlib.common.hardware import UNKNOWN
from paperlib.common.places import unit_folders
from paperlib.evidence import subset_numbers, training_axis
from paperlib.names import FUSERS, WALKS
from paperlib.nodes import parallel
from paperlib.nodes.node import label, size_gb, unpack
from paperlib.params import DATASETS, Params
from paperlib.tree import Study, Walk

FUSER_WALKS = tuple(name for name in WALKS if name.startswith(FUSERS))


def steps(study: Study, names: Sequence[str] = WALKS) -> pd.DataFrame:
    """One row per strategy and step; step 0 is the original model."""
    rows = [row for walk in study.grow(names).values() for row in _step_rows(walk)]
    return _with_unit(rows, study.params)


def signals(study: Study, names: Sequence[str] = WALKS) -> pd.DataFrame:
    """The twelve signals of every node where a walk goes by them, one row per node and remaining layer."""
    return _measured(study, "signals", names, lambda node: node.signals)


def ablation(study: Study, names: Sequence[str] = WALKS) -> pd.DataFrame:
    """Accuracy drop and loss increase when a layer is skipped, on both splits, one row per node and layer."""
    wide = []
    for split in ("test", "validation"):
        part = f"ablation_{split}"
        frame = _measured(study, part, names, lambda node: node.ablation(part))
        of_split = {"drop": f"drop_{split}", "loss_increase": f"loss_increase_{split}"}
        wide.append(frame.rename(columns=of_split).set_index(["dataset", "seed", "removed", "layer"]))
    columns = ["drop_test", "drop_validation", "loss_increase_test", "loss_increase_validation"]
    return pd.concat(wide, axis=1).sort_index().reindex(columns=columns).reset_index()


def fusion(study: Study, names: Sequence[str] = FUSER_WALKS) -> pd.DataFrame:
    """What each fuser weighed at each step: coefficient or importance, one row per fuser, step and signal."""
    rows = []
    for walk, step, fitted in _fits(study, names):
        for signal, weight in fitted.weights.items():
            rows.append({**_at(walk, step), "signal": signal, "weight": weight})
    return _with_unit(rows, study.params)


def fusion_fit(study: Study, names: Sequence[str] = FUSER_WALKS) -> pd.DataFrame:
    """How well each fuser fitted at each step, and whether it chose as the plain ablation would."""
    rows = []
    for walk, step, fitted in _fits(study, names):
        greedy = "Greedy-Ablation-Validation" if walk.strategy.endswith("-Validation") else "Greedy-Ablation"
        plain = strategies.next_layer(greedy, walk.nodes[: step + 1], study.params)
        with parallel.all_cores(study.params):
            fit = {"rows": len(fitted.target), "r2": fitted.r2, "spearman_loo": fitted.spearman_leaving_one_out()}
        rows.append({**_at(walk, step), **fit, "same_as_greedy": plain.layer == walk.choices[step].layer})
    return _with_unit(rows, study.params)


def distilled(study: Study) -> pd.DataFrame:
    """Teacher, pruned, distilled and CE-only models: one row each."""
    record = _distillation(study)
    layers = study.node(()).original_layers
    rows = []
    for model in record["models"]:
        hits = {split: unpack(model[f"{split}_correct"]).mean() for split in ("test", "validation")}
        removed = "" if model["model"] == "teacher" else record["removed"]
        rows.append(
            {"model": model["model"], "accuracy": hits["test"], "validation_accuracy": hits["validation"]}
            | {"removed": removed, "layers": layers, "parameters": model["parameters"]}
            | {"size_gb": size_gb(model["parameters"]), "latency_ms": model["latency_ms"]}
        )
    return _with_unit(rows, study.params)


def distillation_curve(study: Study) -> pd.DataFrame:
    """The training loss of every step of the distilled and CE-only models."""
    rows = [
        {"model": model["model"], "step": step, "loss": loss}
        for model in _distillation(study)["models"]
        for step, loss in enumerate(model.get("losses", []), start=1)
    ]
    return _with_unit(rows, study.params)


def randomization(study: Study) -> pd.DataFrame:
    """The maximum accuracy of each random order of the two randomization tests."""
    rows = []
    layers = study.node(()).original_layers
    for test, names in strategies.random_tests(study.params, layers).items():
        for repeat, walk in enumerate(study.grow(names).values()):
            order, best = label(walk.nodes[-1].removed), walk.best
            result = {"max_accuracy": best.accuracy, "best_step": len(best.removed)}
            computers = _computers(node.record["trained_on"] for node in walk.nodes)
            rows.append({"test": test, "repeat": repeat, "order": order, **result, "trained_on": computers})
    return _with_unit(rows, study.params)


def subsets(study: Study) -> pd.DataFrame:
    """Accuracy and loss of the original model without each set of layers, on both splits."""
    return _of_original(study, lambda original: subset_numbers.subset_table(original))


def shapley(study: Study) -> pd.DataFrame:
    """The Shapley value of each layer of the original model, of accuracy and of loss, on both splits."""
    return _of_original(study, lambda original: subset_numbers.shapley_table(original, study.params.seed))


def regret(study: Study) -> pd.DataFrame:
    """What each way to choose costs against the best set of every size, without fine-tuning."""
    rows = _of_original(study, lambda original: subset_numbers.regrets(original, study.params))
    gone = rows.pop("gone").map(lambda layers: label(layers) if isinstance(layers, tuple) else "")
    rows.insert(4, "removed", gone)
    return rows


def epochs(study: Study) -> pd.DataFrame:
    """What the forest's best pruned model gains in this study and in those that train otherwise (`training_axis`), a row each."""
    rows = []
    for params in training_axis.studies(study.params):
        walked = steps(Study(params), training_axis.WALKS)
        gained = training_axis.gain(walked) | {"trained_on": _computers(walked["trained_on"])}
        rows.append({"epochs": params.epochs, "learning_rate": params.learning_rate, **gained})
    return _with_unit(rows, study.params).sort_values(["epochs", "learning_rate"], ignore_index=True)


UNIT_TABLES = {
    "steps": steps, "signals": signals, "ablation": ablation, "fusion": fusion, "fusion_fit": fusion_fit,
    "distillation": distilled, "distillation_curve": distillation_curve, "randomization": randomization, "subsets": subsets, "shapley": shapley,
    "regret": regret, "epochs": epochs,
}  # fmt: skip


def write(study: Study, *names: str) -> dict[str, pd.DataFrame]:
    """Make these tables, whole, and write them as CSV into the unit's folder."""
    frames = {name: UNIT_TABLES[name](study) for name in names}
    for name, frame in frames.items():
        atomic_write_text(study.params.unit_dir / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
    return frames


def read(folder: Path, name: str) -> pd.DataFrame:
    """Read one unit's table; raises UserError when it is absent or damaged."""
    path = folder / f"{name}.csv"
    try:
        return pd.read_csv(path, keep_default_na=True, dtype={"removed": str, "order": str}).fillna({"removed": ""})
    except (OSError, ValueError) as error:
        raise UserError(f"{'/'.join(path.parts[-3:])}: cannot be read ({words_of(error)})") from None


def of_profile(folder: Path, name: str) -> pd.DataFrame | None:
    """Read a table that is made once per profile, None when there is none; `write_for_profile` writes it."""
    return read(folder / "tables", name) if (folder / "tables" / f"{name}.csv").exists() else None


def write_for_profile(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Write a table that is made once per profile; an empty one removes what an earlier run left."""
    path = folder / "tables" / f"{name}.csv"
    if frame.empty:
        path.unlink(missing_ok=True)
    else:
        atomic_write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def collect(folder: Path, name: str, units: list[tuple[str, int]] | None = None) -> pd.DataFrame | None:
    """Join a table over the units of a profile's folder (or the given ones), datasets in the paper's order.

    Returns None when no unit has the table.
    """
    found = [path for path in unit_folders(folder) if (path / f"{name}.csv").exists()]
    keys = {path: (path.parent.name, int(path.name.removeprefix("seed-"))) for path in found}
    wanted = [path for path in found if units is None or keys[path] in units]
    known = {dataset: rank for rank, dataset in enumerate(DATASETS)}
    wanted.sort(key=lambda path: (known.get(keys[path][0], len(known)), keys[path]))
    return pd.concat([read(path, name) for path in wanted], ignore_index=True) if wanted else None


def _distillation(study: Study) -> dict:
    from paperlib import distillation  # imports transformers, which the other tables do without

    return distillation.read(study.params)


def _step_rows(walk: Walk) -> list[dict]:
    rows = []
    for step, node in enumerate(walk.nodes):
        choice = walk.choices[step - 1] if step else None
        removed_layer = choice.layer if choice and isinstance(choice.layer, int) else pd.NA
        health = {name: node.record["health"][name] for name in ("first_loss", "last_loss", "largest_gradient_norm")}
        rows.append(
            {"strategy": walk.strategy, "step": step, "removed_layer": removed_layer, "removed": label(node.removed)}
            | {"accuracy": node.accuracy, "validation_accuracy": node.validation_accuracy}
            | {"parameters": node.record["parameters"], "size_gb": size_gb(node.record["parameters"])}
            | {"seconds": node.record["seconds"]["fine_tune"], "ties": choice.ties if choice else 1}
            | {"layers": node.original_layers, "test_size": len(node.correct("test")), **health}
            | {"diverged": node.record["health"]["diverged"], "trained_on": node.record["trained_on"]}
        )
    return rows


def trained_on(rows: pd.DataFrame) -> pd.Series:
    """Return what trained the model, or models ("a; b"), of each row of steps.csv, randomization.csv or epochs.csv; UNKNOWN of a table that does not tell."""
    return rows.reindex(columns=["trained_on"])["trained_on"].astype(object).fillna(UNKNOWN)


def _computers(trained: Iterable[str | None]) -> str:
    """Name all that trained some models; a model taken as it is was trained by none."""
    return "; ".join(sorted({name for name in trained if name}))


def _fits(study: Study, names: Sequence[str]):
    """Yield (walk, step, fit) wherever a fuser chose among at least two layers."""
    for walk in study.grow(names).values():
        for step, choice in enumerate(walk.choices):
            if choice.fit is not None:
                yield walk, step, choice.fit


def _at(walk: Walk, step: int) -> dict:
    return {"strategy": walk.strategy, "step": step + 1, "removed": label(walk.nodes[step].removed)}


def _of_original(study: Study, frame_of) -> pd.DataFrame:
    return _with_unit(frame_of(study.node((), set(subset_numbers.PARTS))), study.params)


def _measured(study: Study, part: str, names: Sequence[str], frame_of) -> pd.DataFrame:
    frames = {label(node.removed): frame_of(node) for node in study.measured(part, names)}
    return _with_unit(pd.concat(frames, names=["removed"]).reset_index(), study.params)


def _with_unit(rows: list[dict] | pd.DataFrame, params: Params) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    frame.insert(0, "dataset", params.dataset)
    frame.insert(1, "seed", params.seed)
    if "removed_layer" in frame:
        frame["removed_layer"] = frame["removed_layer"].astype("Int64")
    return frame
