"""Estimate the memory that fine-tuning a model takes, and so how many can be fine-tuned at a time; keep what is freed."""

import contextlib
import ctypes
from functools import lru_cache

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from paperlib.data import pretrained as wheels
from paperlib.model import encoder, together
from paperlib.params import Params

WEIGHT_BYTES = 4
# The model itself, its row of the stack, gradient, two moments of AdamW, 16-bit copies; its parent while it is loaded.
WEIGHT_COPIES = 7
# Kept for the backward pass, per layer and token: for each hidden unit, and for each head and token attended to.
# (Korthikanti et al. 2022, arXiv 2205.05198, section 4.1, has 34 and 5 bytes in 16 bits; ours are partly 32-bit.)
BYTES_PER_UNIT, BYTES_PER_SCORE = 80, 20
# Of mallopt, from glibc's malloc.h: pieces mapped one by one, free memory kept at the end of the heap, growth of the heap.
MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2
USED_SHARE = 0.8  # of the free memory: the rest is for fragments and for the largest temporary tensors
# Of a process on a processor's core: the libraries; the model, its parent, its gradient and two moments (measured: 2.9 GB
# for twelve layers in bf16, where this says 3.2; 1.07 for six, where it says 1.14).
LIBRARIES_BYTES, CORE_COPIES = 0.55e9, 5
BESIDE_BYTES = 1.2e9  # the driver, 0.8 GB, and what a kernel holds beside its model: figures, tables, ONNX
LOADED_COPIES = 2  # with the file's own while it is read
CORES_SHARE = 0.9  # of all memory


def models_at_a_time(pretrained: PreTrainedModel, layers: int, params: Params, free: float) -> int:
    """Return how many models of so many layers to train at a time: `together`, or what fits into `free` bytes."""
    return params.together or max(1, int(USED_SHARE * free / bytes_of(pretrained, layers, params)))


def processes_at_a_time(params: Params, memory: float) -> int | None:
    """Return how many processes that each fine-tune a model of this study fit into so many bytes, beside driver and kernel.

    The kernel trains a model too. At least one: the kernel itself. None where the model's configuration is not at hand;
    nothing is fetched for it.
    """
    try:
        each = _bytes_of_process(str(wheels.place(params) or params.model), params.model_dump_json())
    except Exception:  # whatever is wrong with a model is said by those who load it
        return None
    return max(1, int((CORES_SHARE * memory - BESIDE_BYTES) / each) - 1)


@lru_cache
def _bytes_of_process(name: str, params_json: str) -> float:
    """Estimate the bytes of a process that trains: its table holds at most the tokens in use, once the whole one was read."""
    params = Params.model_validate_json(params_json)
    config = AutoConfig.from_pretrained(name, revision=wheels.revision(params), local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    whole, (ids, width) = sum(p.numel() for p in model.parameters()), model.get_input_embeddings().weight.shape
    in_use = (params.train_size + params.validation_size + params.test_size) * params.max_tokens
    trained = whole - max(0, ids - in_use) * width
    kept = kept_bytes(model, len(encoder.layers(model)), params)
    return LIBRARIES_BYTES + max(LOADED_COPIES * WEIGHT_BYTES * whole, CORE_COPIES * WEIGHT_BYTES * trained + kept)


def bytes_of(pretrained: PreTrainedModel, layers: int, params: Params) -> int:
    """Estimate the bytes that training one model of so many layers takes."""
    copies, steps = WEIGHT_COPIES, 1
    if together.is_recorded(params):  # a recording has gradients and activations of its own, beside those of other steps
        copies, steps = copies + 1, 2
    weights = copies * WEIGHT_BYTES * _parameters(pretrained, layers)
    return weights + steps * kept_bytes(pretrained, layers, params)


def kept_bytes(pretrained: PreTrainedModel, layers: int, params: Params) -> int:
    """Estimate the bytes that one step of one model keeps for its backward pass."""
    config = pretrained.config
    per_token = (
        BYTES_PER_UNIT * config.hidden_size + BYTES_PER_SCORE * config.num_attention_heads * params.max_tokens
    )
    return (
        params.batch_size * params.max_tokens * (layers + 1) * per_token
    )  # one more for embeddings and head


def free_bytes(device: torch.device) -> float:
    """Return the bytes that new tensors can have, with those that PyTorch holds in reserve; unlimited without a GPU."""
    if device.type != "cuda":
        return float("inf")
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _parameters(pretrained: PreTrainedModel, layers: int) -> int:
    in_layers = sum(parameter.numel() for parameter in encoder.layers(pretrained).parameters())
    outside = sum(parameter.numel() for parameter in pretrained.parameters()) - in_layers
    return outside + layers * in_layers // max(1, len(encoder.layers(pretrained)))


def give_back() -> None:
    """Return what this process has freed: to the system, where its C library is glibc, and a GPU's to the other processes."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed() -> None:
    """Let this process keep the memory that it frees, where its C library is glibc; elsewhere do nothing.

    Every training step asks for the same gradients and activations, hundreds of megabytes. Given back each time, they
    would come again page by page, each filled with zeros first. No number depends on it.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no such function, or no library to ask
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)  # never trim
        mallopt(TOP_PAD, 64 << 20)
