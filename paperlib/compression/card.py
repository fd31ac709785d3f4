"""Write the model card of a compressed classifier, from its run alone."""

import json
from pathlib import Path

import pandas as pd
from huggingface_hub import ModelCardData, metadata_load
from yaml import YAMLError

from paperlib.common import escape
from paperlib.common.markdown_table import markdown_table
from paperlib.compression.latency import settings
from paperlib.compression.tradeoff import ONE_TEXT, ORIGINAL, TOP_LOST, TRAINED, WHOLE, YOURS, sentence
from paperlib.data import pretrained
from paperlib.params import Params

LICENCES = dict.fromkeys((*pretrained.MODELS, "bert-base-uncased"), "apache-2.0")  # as their publishers state on the hub

ROUNDING = 1e-3  # of logits in 32-bit floats; more is another model

USE = """## Use

```python
from transformers import pipeline
classify = pipeline("text-classification", {folder})
print(classify("a text", truncation=True, max_length={tokens}))
```
"""

USE_ONNX = """
With ONNX Runtime (`onnx/model_int8.onnx` is the small and fast one, `onnx/model.onnx` {exact}):

```python
from onnxruntime import InferenceSession; from transformers import AutoConfig, AutoTokenizer
tokenizer, session = AutoTokenizer.from_pretrained({folder}), InferenceSession({onnx})
encoded = tokenizer("a text", truncation=True, max_length={tokens}, return_tensors="np")
logits = session.run(None, {{each.name: encoded[each.name] for each in session.get_inputs()}})[0]
print(AutoConfig.from_pretrained({folder}).id2label[int(logits.argmax())])
```

Give int8 one text at a time: it scales activations by all texts of a batch, so in company an answer can differ.
"""


def write(table: pd.DataFrame, params: Params, about: dict, folder: str) -> str:
    """Return the card in Markdown; `folder` is the name that its code calls the model by."""
    licence, kept = licence_of(params), ", ".join(str(layer + 1) for layer in about["kept"])
    stated = ModelCardData(license=licence or "unknown", base_model=_plain(params.model), pipeline_tag="text-classification")
    head = f"---\n{stated.to_yaml()}\n---\n"
    missing = f"\nONNX is missing: the exporter does not take this model ({escape.markdown(about['onnx_missing'])}).\n"
    code = USE if about["onnx_missing"] else USE + USE_ONNX
    use = code.format(exact=_exact(about["export_differs_by"] or 0.0), folder=json.dumps(folder, ensure_ascii=False), onnx=json.dumps(f"{folder}/onnx/model_int8.onnx", ensure_ascii=False), tokens=params.max_tokens)
    use += missing * bool(about["onnx_missing"])
    cut = _vocabulary(table, about["vocabulary"])
    return f"""{head}
# {escape.markdown(_plain(params.model))}, {len(about["kept"])} of {about["layers"]} layers, for {escape.markdown(params.dataset)}

Layers kept, counted from 1: {kept}. {_how(table, params, about)}

{use}
## Data

{escape.markdown(params.dataset)}: {params.train_size} texts to train, {params.validation_size} to choose, {params.test_size} to test, cut to
{params.max_tokens} tokens; texts that occur twice are used once. Seed {params.seed}.
{cut}
## What it costs and what it keeps

{_table(table)}
Accuracy on the test texts, with Wilson's 95% interval. Milliseconds are medians for one text of {params.max_tokens} tokens on one thread,
forms timed in turn, as many together as the memory held, on: {escape.markdown(about["machine"]["cpu"])}, {about["machine"]["cores"]} cores. The file
`tradeoff.csv` has batches of {" and ".join(str(b) for b in sorted({b for b, _ in settings()}))}, the 95th percentiles and all cores too.
{_remarks(table)}{_controls(table, about)}
{sentence(table)}

![Accuracy against latency, size and memory](tradeoff.png)

## Licence

{f"Of the parent: {escape.markdown(licence)}." if licence else "The parent states none that could be read; ask its authors before passing this model on."}
"""


def licence_of(params: Params) -> str:
    """Return the licence of the parent: as its own card states, or as its publishers do; "" where neither is known."""
    if params.model in LICENCES:
        return LICENCES[params.model]
    if not (folder := pretrained.place(params)):
        return ""
    try:
        stated = metadata_load(folder / "README.md") or {}
    except (OSError, ValueError, YAMLError):
        return ""
    licence = stated.get("license")
    return licence if isinstance(licence, str) else ""


def _exact(difference: float) -> str:
    """Say how near the 32-bit ONNX comes to torch, and whether that is rounding."""
    near = f"on the test texts its logits are those of torch up to {difference:.0e}"
    return f"the exact one: {near}" if difference <= ROUNDING else f"**is not exact, though it should be**: {near}, which is more than rounding"


def _how(table: pd.DataFrame, params: Params, about: dict) -> str:
    distilled = about["distilled"]
    made, trained, chosen = "No layer was removed", "", "The test"
    if distilled:
        before, after, alone = (f"{distilled[f'validation_{when}']:.3f}" for when in ("before", "after", "without_teacher"))
        made = f"Distilled from the original: {before} right on validation before, {after} after, {alone} after the same training without a teacher"
        if not distilled["delivered"]:
            made = f"Distilling the original into it made it no better ({after} on validation; {alone} after the same training without a teacher), so it stayed as it was"
        trained = "; after each removal the rest was fine-tuned"
        chosen = f"The layers come from {about['order']}, chosen on the validation texts; test"
    found = table[table["form"] == "torch fp32"]["validation_accuracy"]
    taught = "taken as it was" if params.fine_tuned else f"fine-tuned for {params.epochs} epoch{'s' * (params.epochs > 1)}"
    return (
        f"Asked for: {escape.markdown(about['wish'])}. The original was {taught}{trained}. {chosen} texts were looked at once, afterwards. {made}. "
        f"On the validation texts {found[YOURS]:.3f} are right, of the original {found[ORIGINAL]:.3f}."
    )


def _vocabulary(table: pd.DataFrame, cut: dict) -> str:
    if not cut:
        return ""
    accuracy = table[table["form"] == "torch fp32"]["accuracy"]
    return (
        f"\nThe vocabulary is cut from {cut['pieces_before']} to {cut['pieces_after']} pieces: those of the training texts, and what spells any "
        f"other word. {100 * cut['share_meeting_cut']:.1f}% of the test texts meet a piece that was cut. Of all test texts "
        f"{accuracy[YOURS]:.3f} are right, and {accuracy[WHOLE]:.3f} with the whole vocabulary.\n"
    )


def _table(table: pd.DataFrame) -> str:
    heads = ["model", "form", "layers", "accuracy", "interval", "ms", "MB", "memory, MB"]
    rows = []
    for name, row in table.iterrows():
        bold = "**" if name == YOURS else ""
        numbers = [f"{row['accuracy']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"]
        costs = [f"{row[ONE_TEXT]:.2f}", f"{row['megabytes']:.1f}", f"{row['memory_mb']:.0f}"]
        numbers += [f"({cost})" for cost in costs] if row["timed_as"] else costs
        rows.append([f"{bold}{name}{bold}", row["form"], str(row["layers"]), *(["–"] * len(numbers) if row["remark"] else numbers)])
    return markdown_table(heads, rows, numbers=set(heads[2:]))


def _remarks(table: pd.DataFrame) -> str:
    """Say in a line each which forms have no numbers, and why."""
    return "".join(f"\n{row['form']} is {row['remark']}.\n" for _, row in table[table["remark"] != ""].iterrows())


def _controls(table: pd.DataFrame, about: dict) -> str:
    """Say what the controls are, and which of their numbers are not of themselves."""
    if not (table["timed_as"] != "").any():
        return ""
    told = [f"*{TOP_LOST}*: layers went from the top, whatever they do, and the rest was fine-tuned after each."] * (TOP_LOST in table.index)
    if TRAINED in table.index:
        times = f"{about['control_rounds']} more time{'s' * (about['control_rounds'] != 1)}"
        teacher = ", without the teacher that yours had at last" * about["distilled"]["delivered"]
        told.append(f"*{TRAINED}*: no layer gone, and fine-tuned {times}, as yours was{teacher}.")
    return f"\nControls, for comparison, are these. {' '.join(told)} Their numbers in brackets are those of a model of the same shape.\n"


def _plain(model: str) -> str:
    """Name a model without the folders of this machine."""
    return Path(model).name if model.startswith("/") else model
