"""Write a saved classifier as ONNX, in 32-bit floats and with 8-bit integer weights, and run it."""

import contextlib
import inspect
import io
import logging
import shutil
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxscript.optimizer
import torch
from onnx_ir.passes import common
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from paperlib.common.errors import words_of
from paperlib.common.files import in_one_piece
from paperlib.model.encoder import layer_numbers
from paperlib.model.families import all_layers, hidden_of, layers
from paperlib.nodes import fingerprint, parallel
from paperlib.params import Params

FOLDER = "onnx"  # beside the weights, as on the hub
FILES = {"ONNX fp32": f"{FOLDER}/model.onnx", "ONNX int8": f"{FOLDER}/model_int8.onnx"}
TEMPLATE = ".traced.onnx"  # in the folder of the original
WRITERS = ("onnx", "onnx-ir", "onnxscript", "onnxruntime")
OPSET = 20
SAMPLE = ["a text", "another text that is a little longer"]  # what the exporter traces; any size runs afterwards
Rows = dict[str, np.ndarray]  # input_ids, attention_mask and, of some, token_type_ids: (examples, tokens), int64


def write_template(original: Path) -> str:
    """Trace a saved classifier once, for all models that are made of its layers; return why not, "" when it is written.

    A model that the exporter cannot take is no fault: it is used as it is.
    """
    if (original / TEMPLATE).exists():
        return ""
    try:
        with _quiet(), in_one_piece(original / TEMPLATE) as partial:
            _trace(load(original), AutoTokenizer.from_pretrained(original), partial)
    except OSError:
        raise
    except Exception as error:  # whatever the exporter says of a family that it does not know
        return f"{type(error).__name__}: {words_of(error)}"
    return ""


def add_onnx(folder: Path, original: Path) -> None:
    """Add ONNX files to a saved classifier, made of layers of `original`, where they are not there yet."""
    if is_there(folder):
        return
    with _quiet(), in_one_piece(folder / FOLDER) as partial:
        partial.mkdir()
        ir.save(_assembled(original, load(folder)), partial / "model.onnx")
        _quantise(partial / "model.onnx", partial / "model_int8.onnx")


def made_by() -> str:
    """Name what writes the files, with its versions: those that another has written are not taken for its own."""
    return " ".join([fingerprint.of_code("compression/export.py")[:16], *(f"{name} {version(name)}" for name in WRITERS)])


def is_there(folder: Path) -> bool:
    """Say whether a saved classifier has its ONNX files."""
    return all((folder / file).exists() for file in FILES.values())


def forget(folder: Path) -> None:
    """Delete the ONNX files and the trace of a saved classifier: more than half of it, and written again in seconds."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    (folder / TEMPLATE).unlink(missing_ok=True)


def add_all(folders: list[Path], original: Path, params: Params) -> None:
    """Add ONNX files to saved classifiers, side by side."""
    list(parallel.run(add_onnx, [(folder, original) for folder in folders], params))


def load(folder: Path, **kwargs) -> PreTrainedModel:
    """Load a saved classifier as any user would."""
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, **kwargs
    )
    return model.eval()


def inputs_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Name what the tokeniser makes that the model takes: an ONNX session is fed exactly what the tokeniser returns."""
    taken = inspect.signature(model.forward).parameters
    return [name for name in tokenizer.model_input_names if name in taken]


def session(path: Path, threads: int = 0):
    """Open an ONNX file on the processor; 0 threads: all cores."""
    import onnxruntime  # seldom needed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    options.enable_cpu_mem_arena = False  # what a call needed is given back after it: many sessions stand side by side
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would slow others down
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class _Traced(nn.Module):
    """A classifier that also returns what goes into its first layer and what comes out of each: there it is cut later."""

    def __init__(self, model: PreTrainedModel, names: list[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return logits, and the states (examples, tokens, hidden) between layers."""
        states, stack = [], layers(self.model)
        hooks = [stack[0].register_forward_pre_hook(lambda _, a, k: states.append(a[0] if a else k["hidden_states"]), with_kwargs=True)]
        hooks += [layer.register_forward_hook(lambda _, __, out: states.append(hidden_of(out))) for layer in stack]
        try:
            return (self.model(**dict(zip(self.names, inputs))).logits, *states)
        finally:
            for hook in hooks:
                hook.remove()


def _trace(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Write the model as ONNX, weights under their own names, with a batch and a length that stay free."""
    names = inputs_of(model, tokenizer)
    sample = tokenizer(SAMPLE, padding=True, return_tensors="pt")
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    outputs = ["logits", *(f"state_{i}" for i in range(len(layers(model)) + 1))]
    torch.onnx.export(
        _Traced(model, names), tuple(sample[name] for name in names), str(path), input_names=names, output_names=outputs,
        dynamic_shapes=(tuple(free for _ in names),), opset_version=OPSET, dynamo=True, optimize=False, external_data=False, verbose=False,
    )  # fmt: skip


def _assembled(original: Path, model: PreTrainedModel) -> ir.Model:
    """Return the graph of a model that was made of the traced one's layers: others bridged, its own weights put in."""
    traced = ir.load(original / TEMPLATE)
    graph, numbers = traced.graph, layer_numbers(model)
    states = list(graph.outputs)[1:]
    while len(graph.outputs) > 1:  # the logits stay
        graph.outputs.pop()
    for number in range(len(states) - 1):
        if number not in numbers:
            ir.convenience.replace_all_uses_with(states[number + 1], states[number])
            states[number + 1] = states[number]
    for name, tensor in _traced_names(model, AutoConfig.from_pretrained(original)).items():
        if name in graph.initializers:
            value = graph.initializers[name]
            value.const_value = ir.tensor(tensor.numpy(), name=name)
            value.shape = value.const_value.shape
    common.RemoveUnusedNodesPass()(traced)
    return onnxscript.optimizer.optimize(traced)


def _traced_names(model: PreTrainedModel, original: PretrainedConfig) -> dict[str, torch.Tensor]:
    """Return a model's weights under the names that they have in the traced original; a spacer's are left out."""
    stack = next(name for name, module in model.named_modules() if module is all_layers(model))
    place_of = {number: place for place, number in enumerate(_numbers(original)) if number is not None}
    numbers, names = _numbers(model.config), {}
    for name, tensor in model.state_dict().items():
        if name.startswith(f"{stack}."):
            place, _, rest = name.removeprefix(f"{stack}.").partition(".")
            if numbers[int(place)] is None:
                continue
            name = f"{stack}.{place_of[numbers[int(place)]]}.{rest}"
        names[f"model.{name}"] = tensor.detach()
    return names


def _numbers(config: PretrainedConfig) -> list[int | None]:
    """Return the original number of each layer, None for a spacer."""
    return list(getattr(config, "original_layers", None) or range(config.num_hidden_layers))


def _quantise(source: Path, target: Path) -> None:
    """Store weights as 8-bit integers, a scale for each channel; activations are quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own messages, which are for programmers, from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
