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
from paperlib.compression.choose import TOP, Depth
from paperlib.compression.export import Rows
from paperlib.compression.forms import Form, interval
from paperlib.data import sources, subsets
from paperlib.figures import drawing
from paperlib.nodes.compute import Bench
from paperlib.nodes.node import Node

YOURS, ORIGINAL, CONTROL = "yours", "original", "lost its top layers"
ONE_TEXT = latency.columns(1, 1)[0]  # milliseconds for one text, one thread, the median
LOOKS = {"torch fp32": ("#000000", "o"), "torch bf16": ("#7f7f7f", "v"), "ONNX fp32": ("#0072b2", "s"), "ONNX int8": ("#d63a00", "D")}
PANELS = {ONE_TEXT: "milliseconds for one text\n(one thread, median)", "megabytes": "size on disk (MB)", "memory_mb": "memory added (MB)"}


class Texts:
    """The texts of a study as a saved model's own tokeniser numbers them: what its user would feed it."""

    def __init__(self, bench: Bench):
        drawn = subsets.draw(sources.read(bench.params)[0], bench.params)
        self.texts = {split: drawn[split]["text"].tolist() for split in ("test", "validation")}
        self.labels = {split: drawn[split]["label"].to_numpy() for split in self.texts}
        self.tokens, self.model = bench.params.max_tokens, bench.pretrained
        self.rows = lru_cache(self._rows)

    def _rows(self, folder: Path, split: str) -> Rows:
        """Return the rows of a split, padded to the study's length."""
        tokenizer = AutoTokenizer.from_pretrained(folder)
        made = tokenizer(self.texts[split], truncation=True, padding="max_length", max_length=self.tokens, return_tensors="np")
        return {name: made[name].astype(np.int64) for name in export.inputs_of(self.model, tokenizer)}


def measure(forms: list[Form], texts: Texts, depths: list[Depth], say: Callable[[str], None]) -> pd.DataFrame:
    """Return one row for each form, index `model`: accuracy with its interval, latencies, size, memory.

    The control that lost its layers from the top has the shape, hence the latency and
    size, of the model of its depth.
    """
    say(f"looking at the {len(texts.texts['test'])} test texts, once, with {len(forms)} forms of the models")
    scored = pd.DataFrame([_scored(form, texts) for form in forms])
    say(f"timing them in turn: at most {latency.BUDGET_SECONDS * len(latency.settings()):.0f} s; then their memory")
    timed = latency.measure(forms, texts.rows(forms[0].folder, "test"))
    table = pd.concat([scored, timed], axis=1)
    table["memory_mb"] = _memory(forms, texts)
    controls = [_control(depth.by_order[TOP], table, forms) for depth in depths[1:]]
    table = pd.concat([table, pd.DataFrame(controls)], ignore_index=True) if controls else table
    return table.set_index("model")


def _scored(form: Form, texts: Texts) -> dict:
    hits = {}
    for split in ("test", "validation"):
        hits[split] = form.logits(texts.rows(form.folder, split)).argmax(-1) == texts.labels[split]
    low, high = interval(hits["test"])
    return {
        "model": form.model, "form": form.kind, "layers": len(form.kept), "kept": " ".join(map(str, form.kept)),
        "accuracy": hits["test"].mean(), "low": low, "high": high, "validation_accuracy": hits["validation"].mean(),
        "megabytes": form.megabytes,
    }  # fmt: skip


def _memory(forms: list[Form], texts: Texts) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for i, form in enumerate(forms):
            path = Path(folder, f"{i}.npz")
            np.savez(path, **{name: values[:32] for name, values in texts.rows(form.folder, "test").items()})
            found.append(form.memory_mb(path))
    return found


def _control(node: Node, table: pd.DataFrame, forms: list[Form]) -> dict:
    """Return the row of the control: its accuracy as measured in the study, the rest as of the model of its shape."""
    low, high = interval(node.correct("test"))
    alike = next(i for i, form in enumerate(forms) if len(form.kept) == len(node.remaining) and form.model != ORIGINAL)
    own = {"model": CONTROL, "kept": " ".join(map(str, node.remaining)), "accuracy": node.accuracy, "low": low, "high": high}
    return {**table.iloc[alike].to_dict(), **own, "validation_accuracy": node.validation_accuracy}


def sentence(table: pd.DataFrame) -> str:
    """Say what removing layers buys beyond quantising, and the other way round: latency of one text, one thread."""
    cell = table.set_index("form", append=True)
    if (YOURS, "ONNX int8") not in cell.index or (ORIGINAL, "ONNX int8") not in cell.index:
        a, b = cell.loc[(ORIGINAL, "torch fp32")], cell.loc[(YOURS, "torch fp32")]
        return f"Removing layers makes it {_ratio(a, b, ONE_TEXT)} times as fast and {_ratio(a, b, 'megabytes')} times smaller; without ONNX nothing was quantised."
    plain, quantised = cell.loc[(ORIGINAL, "ONNX fp32")], cell.loc[(ORIGINAL, "ONNX int8")]
    removed, both = cell.loc[(YOURS, "ONNX fp32")], cell.loc[(YOURS, "ONNX int8")]
    return (
        f"Beyond quantising, removing layers makes the model {_ratio(quantised, both, ONE_TEXT)} times as fast and "
        f"{_ratio(quantised, both, 'megabytes')} times smaller ({_points(quantised, both)} points of test accuracy); "
        f"beyond removing layers, quantising makes it {_ratio(removed, both, ONE_TEXT)} times as fast and "
        f"{_ratio(removed, both, 'megabytes')} times smaller ({_points(removed, both)} points). Both together, against the original in "
        f"torch fp32: {_ratio(cell.loc[(ORIGINAL, 'torch fp32')], both, ONE_TEXT)} times as fast, {_ratio(plain, both, 'megabytes')} times "
        f"smaller ({_points(cell.loc[(ORIGINAL, 'torch fp32')], both)} points)."
    )


def _ratio(before: pd.Series, after: pd.Series, column: str) -> str:
    return f"{before[column] / after[column]:.1f}"


def _points(before: pd.Series, after: pd.Series) -> str:
    return f"{100 * (after['accuracy'] - before['accuracy']):+.1f}"


def plot(table: pd.DataFrame) -> Figure:
    """Draw accuracy, with its 95% interval, against latency, size and memory; a number beside a mark counts layers."""
    with plt.rc_context(drawing.STYLE):
        figure, axes = plt.subplots(1, len(PANELS), figsize=(10, 4), sharey=True)
        for ax, (column, what) in zip(axes, PANELS.items()):
            for name, row in table.iterrows():
                _mark(ax, str(name), row, column)
            ax.set_xlabel(what)
            ax.set_xscale("log")
            ax.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_locator=NullLocator())
        axes[0].set_ylabel("test accuracy (95% interval)")
        kinds = [kind for kind in LOOKS if kind in set(table["form"])]
        keys = [plt.Line2D([], [], linestyle="none", marker=LOOKS[k][1], color=LOOKS[k][0], label=k) for k in kinds]
        keys.append(plt.Line2D([], [], linestyle="none", marker="x", color="#555555", label=f"{CONTROL} (control)"))
        keys.append(plt.Line2D([], [], linestyle="none", marker="*", markersize=11, color="#009e73", label="yours"))
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))
    return figure


def _mark(ax: plt.Axes, name: str, row: pd.Series, column: str) -> None:
    colour, marker = LOOKS[row["form"]]
    if name == CONTROL:
        colour, marker = "#555555", "x"
    error = [[row["accuracy"] - row["low"]], [row["high"] - row["accuracy"]]]
    mine = name.startswith(YOURS)
    ax.errorbar(row[column], row["accuracy"], yerr=error, color=colour, marker=marker, markersize=5, elinewidth=0.5, alpha=0.9)
    if mine:
        ax.plot(row[column], row["accuracy"], marker="*", markersize=11, color="#009e73", zorder=1)
    ax.annotate(str(row["layers"]), (row[column], row["accuracy"]), xytext=(4, 3), textcoords="offset points", fontsize=7)
