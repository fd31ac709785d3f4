"""Load an encoder classifier, find its layers, remove some, count and save what is left."""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertTokenizerFast,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.data import made, pretrained
from paperlib.params import Params

LAYER_LISTS = ("encoder.layer", "transformer.layer")  # BERT, RoBERTa, ELECTRA, MPNet; DistilBERT
# Where the head reads the first token only: the modules of the last layer whose inputs can be cut to it.
FIRST_TOKEN_CUTS = {
    "bert": ("attention.output",),
    "roberta": ("attention.output",),
    "electra": ("attention.output",),
    "mpnet": ("attention.attn.o", "attention.LayerNorm"),
}

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


def load_tokenizer(params: Params) -> PreTrainedTokenizerBase:
    """Load the tokeniser of `params.model`; raises UserError when it cannot be had."""
    if params.model == "random-bert":
        return BertTokenizerFast(vocab={word: i for i, word in enumerate(made.VOCABULARY)}, do_lower_case=True)
    tokenizer = _from_pretrained(AutoTokenizer, params)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes up when there are no files
        raise UserError(f"model {params.model}: there is no tokeniser beside it")
    if tokenizer.pad_token_id is None:
        raise UserError(f"model {params.model}: its tokeniser has no padding token: not an encoder classifier (BERT family)")
    return tokenizer


def load_model(params: Params, class_names: list[str]) -> PreTrainedModel:
    """Load the pretrained encoder with a classification head, drawn from `params.seed` unless a fitting one is there.

    Safetensors only, no remote code. Raises UserError when it cannot be had or is not an encoder classifier.
    """
    labels = {"id2label": dict(enumerate(class_names)), "label2id": {name: i for i, name in enumerate(class_names)}}
    torch.manual_seed(params.seed)
    if params.model == "random-bert":
        model = AutoModelForSequenceClassification.from_config(_tiny_config(len(class_names), labels))
    else:
        # Label names can repeat in a user's data; then numbers must do.
        kwargs = labels if len(labels["label2id"]) == len(class_names) else {"num_labels": len(class_names)}
        # The head of another task gives way to a new one; only then may shapes differ.
        kwargs |= {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
        model, report = _from_pretrained(AutoModelForSequenceClassification, params, **kwargs)
        _check_weights(model, report, params)
    layers(model)
    _check_length(model, params)
    model.config.original_layers = None  # a model that was pruned before has its layers counted anew
    return model.float()


def layers(model: PreTrainedModel) -> nn.ModuleList:
    """Return the model's encoder layers, in order; raises UserError when it has none that we know."""
    parent, name = _layer_list(model)
    return getattr(parent, name)


def layer_numbers(model: PreTrainedModel) -> list[int]:
    """Return the numbers, from 0, that the remaining layers had in the original model."""
    return list(getattr(model.config, "original_layers", None) or range(len(layers(model))))


def remove_layers(model: PreTrainedModel, removed: list[int]) -> PreTrainedModel:
    """Return a copy without the layers of these original numbers: it computes exactly what skipping them computes.

    The configuration follows, so that `save_pretrained` and a plain `from_pretrained` give the same model back.
    Raises ValueError when a number is not among the remaining layers.
    """
    numbers = layer_numbers(model)
    if not set(removed) <= set(numbers) or len(set(removed)) < len(removed):
        raise ValueError(f"cannot remove layers {list(removed)} of {numbers}")
    kept = [position for position, number in enumerate(numbers) if number not in removed]
    with with_layers(model, [layers(model)[position] for position in kept]):
        smaller = copy.deepcopy(model)
    smaller.config.num_hidden_layers = len(kept)
    smaller.config.original_layers = [numbers[position] for position in kept]
    return smaller


@contextlib.contextmanager
def with_layers(model: PreTrainedModel, modules: list[nn.Module]) -> Iterator[None]:
    """Let the model run through these modules in place of its layers, inside the block."""
    parent, name = _layer_list(model)
    original = getattr(parent, name)
    setattr(parent, name, nn.ModuleList(modules))
    try:
        yield
    finally:
        setattr(parent, name, original)


@contextlib.contextmanager
def first_token_only(model: PreTrainedModel) -> Iterator[None]:
    """Compute, inside the block, only the first token of the last layer after its attention: the head reads no other.

    The logits and gradients are those of the whole computation up to rounding, and three quarters of a layer are
    saved. The last hidden state is then (examples, 1, hidden). Models whose head or layer is built otherwise run whole.
    """
    cuts = FIRST_TOKEN_CUTS.get(model.config.model_type, ())
    modules = [layer.get_submodule(name) for layer in layers(model)[-1:] for name in cuts]
    handles = [module.register_forward_pre_hook(_keep_first_token) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep_first_token(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Cut what goes into the module, such as the attention's output and the residual, to the first token."""
    return tuple(tensor[:, :1] for tensor in inputs)


def restrict_vocabulary(model: PreTrainedModel, token_ids: torch.Tensor) -> PreTrainedModel:
    """Cut the embedding table, in place, to the rows `token_ids`; inputs must be renumbered accordingly.

    Raises UserError when the tokeniser has ids that the model lacks.
    """
    table = model.get_input_embeddings()
    if token_ids.max() >= table.num_embeddings:
        raise UserError(f"the tokeniser has more words than the model: {table.num_embeddings} are known to it")
    padding = (token_ids == table.padding_idx).nonzero() if table.padding_idx is not None else []
    smaller = nn.Embedding.from_pretrained(
        table.weight.detach()[token_ids].clone(), freeze=False, padding_idx=int(padding[0]) if len(padding) else None
    )
    model.set_input_embeddings(smaller)
    return model


def restore_vocabulary(model: PreTrainedModel, full_table: torch.Tensor, token_ids: torch.Tensor) -> PreTrainedModel:
    """Return a copy with the full embedding table `full_table`, its rows `token_ids` taken from the model."""
    whole = copy.deepcopy(model)
    table = full_table.clone()
    table[token_ids] = whole.get_input_embeddings().weight.detach().cpu()
    padding_idx = getattr(model.config, "pad_token_id", None)
    whole.set_input_embeddings(nn.Embedding.from_pretrained(table, freeze=False, padding_idx=padding_idx))
    return whole


def count_parameters(model: PreTrainedModel) -> int:
    """Count the model's parameters as for its full vocabulary, whatever table it holds now."""
    table = model.get_input_embeddings().weight
    held = sum(parameter.numel() for parameter in model.parameters())
    return held + (model.config.vocab_size - table.shape[0]) * table.shape[1]


def _layer_list(model: PreTrainedModel) -> tuple[nn.Module, str]:
    """Return the module that holds the list of layers, and the list's name in it."""
    base = getattr(model, "base_model", model)
    for path in LAYER_LISTS:
        holder, name = path.split(".")
        parent = getattr(base, holder, None)
        if isinstance(getattr(parent, name, None), nn.ModuleList) and hasattr(model, "classifier"):
            return parent, name
    raise UserError(f"{type(model).__name__} is not an encoder classifier whose layers are known (BERT family)")


def _check_weights(model: PreTrainedModel, report: dict, params: Params) -> None:
    """Raise UserError when weights of the encoder are absent or of another shape: they would be random."""
    absent = [*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])]
    lost = sorted(name for name in absent if name.startswith(model.base_model_prefix) and "pooler" not in name)
    if lost:
        raise UserError(f"model {params.model}: {len(lost)} weights are missing or do not fit, such as {lost[0]}")


def _check_length(model: PreTrainedModel, params: Params) -> None:
    """Raise UserError when texts of `max_tokens` tokens have more positions than the model knows."""
    table = getattr(model.base_model.embeddings, "position_embeddings", None)
    if not isinstance(table, nn.Embedding):
        return
    first = 0 if table.padding_idx is None else table.padding_idx + 1  # RoBERTa counts positions from there
    if params.max_tokens > table.num_embeddings - first:
        raise UserError(f"max_tokens: must be at most {table.num_embeddings - first} for {params.model}")


def _from_pretrained(auto_class, params: Params, **kwargs):
    name, revision = params.model, params.model_revision
    if name in pretrained.MODELS:
        name, revision = pretrained.folder(name, params.cache_path), "main"
    elif (ROOT / Path(name).expanduser()).is_dir():
        name, revision = ROOT / Path(name).expanduser(), "main"
    elif name.startswith((".", "/", "~")):
        raise UserError(f"model: there is no folder {name}")
    try:
        return auto_class.from_pretrained(name, revision=revision, trust_remote_code=False, **kwargs)
    except UserError:
        raise
    except Exception as error:  # OSError, ValueError, hub and safetensors errors: all mean that there is no model
        said = " ".join(str(error).split())[:160] or type(error).__name__
        advice = "without a network give a folder, or use PROFILE=laptop"
        raise UserError(f"model {params.model} could not be loaded: {said}; {advice}") from None


def _tiny_config(num_labels: int, labels: dict) -> BertConfig:
    """Return the smoke profile's encoder: 4 layers, 4 heads, hidden size 32."""
    return BertConfig(
        vocab_size=len(made.VOCABULARY),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        **labels,
    )
