"""The trade-off of accuracy against latency, size and memory: table, sentence and picture."""

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from transformers import AutoTokenizer

from paperlib.compression import export, latency
from paperlib.compression.export import Rows
from paperlib.compression.forms import CHUNK, Form, interval, why_not_measured
from paperlib.data import sources, subsets
from paperlib.figures import drawing
from paperlib.nodes.compute import Bench
from paperlib.nodes.node import Node

YOURS, WHOLE, ORIGINAL = "yours", "yours, whole vocabulary", "original"
TOP_LOST, TRAINED = CONTROLS = "lost its top layers", "original, trained as often"
ONE_TEXT = latency.columns(1, 1)[0]  # milliseconds for one text, one thread, the median
LOOKS = {"torch fp32": ("#000000", "o"), "torch bf16": ("#7f7f7f", "v"), "ONNX fp32": ("#0072b2", "s"), "ONNX int8": ("#d63a00", "D")}
CONTROL_LOOKS = {TOP_LOST: ("#555555", "x"), TRAINED: ("#555555", "+")}
RING = {"linestyle": "none", "marker": "o", "markersize": 10, "fillstyle": "none", "markeredgewidth": 1.6}
RINGS = {YOURS: {"color": drawing.GREEN}, WHOLE: {"color": "#7fceb9"}}
KEYS_A_ROW = 4  # the longest of them fit the figure
SECONDS_TO_START = {"torch": 8, "ONNX ": 2}  # an interpreter with its libraries
PANELS = {ONE_TEXT: "milliseconds for one text\n(one thread, median)", "megabytes": "size on disk (MB)", "memory_mb": "memory that loading and running add (MB)"}


class Texts:
    """The texts of a study as a saved model's own tokeniser numbers them: what its user would feed it."""

    def __init__(self, bench: Bench):
        self.params = bench.params
        drawn = subsets.draw(sources.read(self.params)[0], self.params)
        self.texts = {split: drawn[split]["text"].tolist() for split in ("test", "validation")}
        self.labels = {split: drawn[split]["label"].to_numpy() for split in self.texts}
        self.model = bench.pretrained
        self.rows = lru_cache(self._rows)

    def test_rows(self, folder: Path) -> Rows:
        """Return the rows of the test texts."""
        return self.rows(folder, "test")

    def _rows(self, folder: Path, split: str) -> Rows:
        """Return the rows of a split, padded to the study's length."""
        tokenizer = AutoTokenizer.from_pretrained(folder)
        made = tokenizer(self.texts[split], truncation=True, padding="max_length", max_length=self.params.max_tokens, return_tensors="np")
        return {name: made[name].astype(np.int64) for name in export.inputs_of(self.model, tokenizer)}


def measure(forms: list[Form], texts: Texts, controls: list[tuple[str, Node]], say: Callable[[str], None]) -> pd.DataFrame:
    """Return one row for each form and each control, index `model`: accuracy with its interval, latencies, size, memory.

    A control is not timed: it has the shape, hence the latency and size, of the model that its column `timed_as` names.
    A form that cannot be measured here has a row with nothing but its `remark`.
    """
    why_not = {kind: why_not_measured(kind, texts.params) for kind in LOOKS}
    left_out = [{**_named(form), "remark": why_not[form.kind]} for form in forms if why_not[form.kind]]
    forms = [form for form in forms if not why_not[form.kind]]
    for row in left_out:
        say(f"{row['form']} is {row['remark']}")
    parts = latency.groups(forms)
    seconds = max(1, latency.planned_seconds(parts, texts.test_rows))
    several = f", in {len(parts)} parts, as the free memory does not hold all," if len(parts) > 1 else ","
    say(f"timing {len(forms)} forms of the models{several} one call of each in turn: about {seconds:.0f} s")
    timed = latency.measure(parts, texts.test_rows)
    say(f"looking at the {len(texts.texts['test'])} test texts, once, with all of them: about {_scoring_seconds(forms, timed, texts):.0f} s")
    table = pd.concat([pd.DataFrame([_named(form) | _scored(form, texts) for form in forms]), timed], axis=1)
    say(f"loading each in a process of its own, to see what memory it takes: about {sum(SECONDS_TO_START[form.kind[:5]] for form in forms)} s")
    table["memory_mb"] = _memory(forms, texts)
    rows = [_control(name, node, table, forms) for name, node in controls]
    whole = pd.concat([table[:1], pd.DataFrame(left_out), table[1:], pd.DataFrame(rows)])  # beside the original
    said = {column: whole[column].fillna("") if column in whole else "" for column in ("timed_as", "remark")}
    return whole.assign(**said).set_index("model")


def _scoring_seconds(forms: list[Form], timed: pd.DataFrame, texts: Texts) -> float:
    """Say from their latencies how long it takes to classify all texts in these forms, as `Form.logits` does."""
    count = sum(map(len, texts.texts.values()))
    one, many = (timed[latency.columns(batch, 1)[0]] for batch in (1, CHUNK))
    return max(1, sum(count * (one[i] if form.kind == "ONNX int8" else many[i] / CHUNK) for i, form in enumerate(forms)) / 1000)


def _named(form: Form) -> dict:
    return {"model": form.model, "form": form.kind, "layers": len(form.kept), "kept": " ".join(map(str, form.kept))}


def _scored(form: Form, texts: Texts) -> dict:
    hits = {split: form.logits(texts.rows(form.folder, split)).argmax(-1) == texts.labels[split] for split in texts.texts}
    low, high = interval(hits["test"])
    accuracies = {"accuracy": hits["test"].mean(), "low": low, "high": high, "validation_accuracy": hits["validation"].mean()}
    return {**accuracies, "megabytes": form.megabytes}


def _memory(forms: list[Form], texts: Texts) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for i, form in enumerate(forms):
            path = Path(folder, f"{i}.npz")
            np.savez(path, **{name: values[:32] for name, values in texts.test_rows(form.folder).items()})
            found.append(form.memory_mb(path))
    return found


def _control(name: str, node: Node, table: pd.DataFrame, forms: list[Form]) -> dict:
    """Return the row of a control: its accuracy as measured in the study, the rest as of the model of its shape."""
    low, high = interval(node.correct("test"))
    alike = next(i for i, form in enumerate(forms) if len(form.kept) == len(node.remaining))
    own = {"model": name, "kept": " ".join(map(str, node.remaining)), "accuracy": node.accuracy, "low": low, "high": high}
    return {**table.iloc[alike].to_dict(), **own, "validation_accuracy": node.validation_accuracy, "timed_as": forms[alike].model}


def sentence(table: pd.DataFrame) -> str:
    """Say what removing layers, cutting the vocabulary, ONNX and quantising buy, each beyond the others: latency of one text, one thread.

    Accuracy changes with the layers that go and with the training that follows each: beside it stands what that training
    alone does for the original. What quantising costs in accuracy is said once: the rest is compared in 32 bits.
    """
    cell = table.set_index("form", append=True)
    quantised = {(YOURS, "ONNX int8"), (ORIGINAL, "ONNX int8")} <= set(cell.index)
    small = "ONNX int8" if quantised else "torch fp32"
    plain, before, ours = cell.loc[(ORIGINAL, "torch fp32")], cell.loc[(ORIGINAL, small)], cell.loc[(YOURS, small)]
    whole = cell.loc[(WHOLE, small)] if (WHOLE, small) in cell.index else ours
    exact = {name: cell.loc[(name, "torch fp32")] for name in (WHOLE, YOURS) if name in table.index}
    pruned = exact.get(WHOLE, exact[YOURS])
    said = "No layer was removed"
    if ours["layers"] < before["layers"]:
        gained = f"{_points(plain, pruned)} points of test accuracy"
        if TRAINED in table.index:
            gained += f"; {_points(plain, table.loc[TRAINED])} for the original when it is trained as often"
        said = f"Removing layers, with the training that goes with it, makes the model {_faster(before, whole)} ({gained})"
    if whole is not ours:
        said += f"; cutting the vocabulary makes it {_smaller(whole, ours)} ({_points(pruned, exact[YOURS])} points)"
    if not quantised:
        return f"{said}; without ONNX nothing was quantised."
    unquantised = cell.loc[(YOURS, "ONNX fp32")]
    return (
        f"{said}; ONNX in place of torch makes it {_faster(exact[YOURS], unquantised)}; quantising makes it {_faster(unquantised, ours)} "
        f"({_points(unquantised, ours)} points). All together, against the original in torch fp32: {_faster(plain, ours)} ({_points(plain, ours)} points)."
    )


def _faster(before: pd.Series, after: pd.Series) -> str:
    return f"{before[ONE_TEXT] / after[ONE_TEXT]:.1f} times as fast and {_smaller(before, after)}"


def _smaller(before: pd.Series, after: pd.Series) -> str:
    times = before["megabytes"] / after["megabytes"]
    return f"{times:.1f} times smaller" if times >= 1 else f"{1 / times:.1f} times larger"


def _points(before: pd.Series, after: pd.Series) -> str:
    return f"{100 * (after['accuracy'] - before['accuracy']):+.1f}"


def plot(table: pd.DataFrame) -> Figure:
    """Draw accuracy, with its 95% interval, against latency, size and memory; the grey band is the original's interval."""
    shown = table[table["remark"] == ""]
    with plt.rc_context(drawing.STYLE):
        figure, axes = plt.subplots(1, len(PANELS), figsize=(10, 4.4), sharey=True)
        for ax, (column, what) in zip(axes, PANELS.items()):
            _panel(ax, shown, column)
            ax.set_xlabel(what)
            ax.set_xscale("log")
            ax.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_locator=NullLocator())
        axes[0].set_ylabel("test accuracy (95% interval)")
        before, after = (shown.loc[[name], "layers"].iloc[0] for name in (ORIGINAL, YOURS))
        note = f"numbers: layers that are left, {before} in the original, {after} in yours; grey: the interval of the original"
        keys = _keys(shown)
        figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), KEYS_A_ROW), title=note, title_fontsize=8)
    return figure


def _panel(ax: plt.Axes, shown: pd.DataFrame, column: str) -> None:
    original = shown.loc[[ORIGINAL]].iloc[0]
    ax.axhspan(original["low"], original["high"], color="#eeeeee", zorder=0)
    ours = shown.index.str.startswith(YOURS)
    for kind, (colour, _) in LOOKS.items():
        way = shown[~ours & ~shown.index.isin(CONTROLS) & (shown["form"] == kind)]
        ax.plot(way[column], way["accuracy"], color=colour, linewidth=0.8, alpha=0.5, zorder=1)
    for name, row in shown.iterrows():
        _mark(ax, str(name), row, column)


def _mark(ax: plt.Axes, name: str, row: pd.Series, column: str) -> None:
    """Draw one row: its form's marker, a ring around what the user gets, else the number of its layers."""
    colour, marker = CONTROL_LOOKS.get(name, LOOKS[row["form"]])
    place, error = (row[column], row["accuracy"]), [[row["accuracy"] - row["low"]], [row["high"] - row["accuracy"]]]
    ax.errorbar(*place, yerr=error, color=colour, marker=marker, markersize=4.5, elinewidth=0.5, zorder=3)
    if name in RINGS:
        ax.plot(*place, **RING, **RINGS[name], zorder=4)
    else:
        beside = {"xytext": (-4, -3), "ha": "right", "va": "top"} if name in CONTROLS else {"xytext": (4, -3), "va": "top"}
        ax.annotate(str(row["layers"]), place, textcoords="offset points", fontsize=7, color=colour, **beside)


def _keys(shown: pd.DataFrame) -> list[plt.Line2D]:
    """Return the legend's marks: of the forms, the controls and the user's own models that are there."""
    alone = {"linestyle": "none"}
    keys = [plt.Line2D([], [], **alone, color=LOOKS[k][0], marker=LOOKS[k][1], label=k) for k in LOOKS if k in set(shown["form"])]
    controls = {name: look for name, look in CONTROL_LOOKS.items() if name in shown.index}
    keys += [plt.Line2D([], [], **alone, color=colour, marker=marker, label=f"{name} (control)") for name, (colour, marker) in controls.items()]
    return keys + [plt.Line2D([], [], **RING, **RINGS[name], label=name) for name in RINGS if name in shown.index]
