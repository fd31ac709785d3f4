"""Load an encoder classifier, find its layers, remove some, count and save what is left."""

import copy

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertTokenizerFast,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import find_adapter_config_file
from transformers.utils import logging as transformers_logging

from paperlib.common.errors import UserError, words_of
from paperlib.data import made, pretrained
from paperlib.model import checkpoint
from paperlib.model.families import HandOn, all_layers, family, first_token_only, layers, with_layers
from paperlib.params import Params

__all__ = [
    "as_plain", "count_parameters", "first_token_only", "layer_numbers", "layers", "load_model", "load_tokenizer",
    "remove_layers", "restore_vocabulary", "restrict_vocabulary", "with_layers",
]  # fmt: skip

# What a checkpoint may say of how it is run; none of it changes a number, and the defaults are what we count on. A model
# in 16 bits is read as the same numbers in 32, and saved so.
PLAIN = {
    "dtype": torch.float32, "return_dict": True, "chunk_size_feed_forward": 0, "output_attentions": False, "output_hidden_states": False,
    "problem_type": "single_label_classification",
}  # fmt: skip

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


def load_tokenizer(params: Params) -> PreTrainedTokenizerBase:
    """Load the tokeniser of `params.model`; raises UserError when it cannot be had.

    It pads and cuts on the right, whatever its files say: heads and shortcuts read the first token.
    """
    if params.model == pretrained.RANDOM:
        return BertTokenizerFast(vocab={word: i for i, word in enumerate(made.VOCABULARY)}, do_lower_case=True)
    tokenizer = _from_pretrained(AutoTokenizer, params)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes up when there are no files
        raise UserError(f"model {params.model}: there is no tokeniser beside it")
    if tokenizer.pad_token_id is None:
        raise UserError(f"model {params.model}: its tokeniser has no padding token: not an encoder classifier (BERT family)")
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    return tokenizer


def load_model(
    params: Params, class_names: list[str], tokenizer: PreTrainedTokenizerBase | None = None
) -> PreTrainedModel:
    """Load the pretrained encoder with a classification head, drawn from `params.seed` unless a fitting one is there.

    A head whose own classes have other names, or another order, does not fit. Safetensors only, no remote code. Padding
    is what `tokenizer` pads with. Raises UserError when the model cannot be had, is not an encoder classifier, is taken as
    it is and has other classes, or does not belong to the tokeniser.
    """
    labels = {"id2label": dict(enumerate(class_names)), "label2id": {name: i for i, name in enumerate(class_names)}}
    torch.manual_seed(params.seed)
    if params.model == pretrained.RANDOM:
        model, report, own = AutoModelForSequenceClassification.from_config(_tiny_config(labels)), {}, []
    else:
        # Label names can repeat in a user's data; then numbers must do.
        kwargs = labels if len(labels["label2id"]) == len(class_names) else {"num_labels": len(class_names)}
        # The head of another task gives way to a new one; only then may shapes differ.
        kwargs |= {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
        config = own_config(params)
        own = checkpoint.classes_of(config)
        checkpoint.check_settings(config, params)
        checkpoint.check_classes(own, class_names, params)
        model, report = _from_pretrained(AutoModelForSequenceClassification, params, **kwargs, **PLAIN)
    with checkpoint.said("loading", model, params):
        if checkpoint.is_named(own) and own != class_names:
            _draw_head(model, params.seed)
        checkpoint.check(model, report, params)
        if tokenizer is not None:
            checkpoint.align_padding(model, tokenizer, params)
            checkpoint.check_first_token(model, tokenizer, params)
        checkpoint.number_anew(model)
    return model


def own_config(params: Params) -> PretrainedConfig:
    """Return the configuration that a model comes with; an empty one for ours, which are known, lest they are fetched for it."""
    return PretrainedConfig() if params.model in pretrained.OURS else _from_pretrained(AutoConfig, params)


def layer_numbers(model: PreTrainedModel) -> list[int]:
    """Return the numbers, from 0, that the remaining layers had in the original model."""
    numbers = getattr(model.config, "original_layers", None) or range(len(all_layers(model)))
    return [number for number in numbers if number is not None]


def remove_layers(model: PreTrainedModel, removed: list[int]) -> PreTrainedModel:
    """Return a copy without the layers of these original numbers: it computes exactly what skipping them computes.

    The configuration follows, so that `save_pretrained` and a plain `from_pretrained` give the same model back. For
    that a ModernBERT without its first layer keeps a spacer, a first layer of zeros that adds nothing: its class builds
    the first without the norm that the others begin with, and cannot be configured without any. A spacer is none of
    `layers`, is not trained and not counted. (The one exception is a DeBERTa without any layer, which its class cannot
    run: `as_plain` makes one that it can.)
    Raises ValueError when a number is not among the remaining layers.
    """
    numbers = layer_numbers(model)
    if not set(removed) <= set(numbers) or len(set(removed)) < len(removed):
        raise ValueError(f"cannot remove layers {list(removed)} of {numbers}")
    before = getattr(model.config, "original_layers", None) or numbers
    kept = [position for position, number in enumerate(before) if number is not None and number not in removed]
    modules, of_kept = [all_layers(model)[position] for position in kept], [before[position] for position in kept]
    if kept[:1] != [0] and family(model).bare_first:
        spacer = copy.deepcopy(all_layers(model)[0], {id(model.config): model.config})  # one configuration for all, lest it runs otherwise
        kept, modules, of_kept = [0, *kept], [_zeroed(spacer), *modules], [None, *of_kept]
    if not kept and family(model).needs_a_layer:
        modules, of_kept = [HandOn()], [None]
    with with_layers(model, modules):
        smaller = copy.deepcopy(model)
    smaller.config.num_hidden_layers = len(kept)
    smaller.config.original_layers = of_kept
    if getattr(model.config, "layer_types", None) is not None:  # ModernBERT: which layers attend to the whole text
        smaller.config.layer_types = [model.config.layer_types[position] for position in kept]
    return smaller


@torch.no_grad()
def as_plain(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model in a form that transformers can load and run: itself, unless it is a DeBERTa without layers.

    That one gets a spacer. Its layers end with a norm, and two norms in a row are one, but for the small constant in
    them: the norm of the embeddings moves to the end of a layer of zeros, and a bare one stays in its place.
    """
    if len(all_layers(model)) != 1 or not isinstance(all_layers(model)[0], HandOn):
        return model
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = 1
    plain = type(model)(config).eval()
    plain.set_input_embeddings(copy.deepcopy(model.get_input_embeddings()))
    plain.load_state_dict(model.state_dict(), strict=False)
    spacer, norm = _zeroed(all_layers(plain)[0]), plain.base_model.embeddings.LayerNorm
    spacer.output.LayerNorm.load_state_dict(norm.state_dict())
    for bare in (norm, spacer.attention.output.LayerNorm):
        bare.weight.fill_(1.0)
        bare.bias.zero_()
    return plain


@torch.no_grad()
def _zeroed(layer: nn.Module) -> nn.Module:
    """Set all weights of a layer to zero, not to be trained: one that adds its result to its input then changes nothing."""
    for parameter in layer.requires_grad_(False).parameters():
        parameter.zero_()
    return layer


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
    """Count the model's parameters as for its full vocabulary, whatever table it holds now, and without a spacer."""
    table = model.get_input_embeddings().weight
    held = sum(parameter.numel() for parameter in model.parameters())
    spacers = set(all_layers(model)) - set(layers(model))
    held -= sum(parameter.numel() for spacer in spacers for parameter in spacer.parameters())
    return held + (model.config.vocab_size - table.shape[0]) * table.shape[1]


def _from_pretrained(auto_class, params: Params, **kwargs):
    name, revision = params.model, pretrained.revision(params)
    if name in pretrained.MODELS:
        pretrained.folder(name, params.cache_path)
    if folder := pretrained.place(params):
        name, revision = folder, "main"
    elif name.startswith((".", "/")):
        raise UserError(f"model: there is no folder {name}")
    try:
        loaded = auto_class.from_pretrained(name, revision=revision, trust_remote_code=False, **kwargs)
        if find_adapter_config_file(str(name), revision=revision):  # which is left out without a word, or not, as a package is there or not
            raise UserError(f"model {params.model}: there is an adapter beside it, adapter_config.json: merge it into the weights first")
        return loaded
    except UserError:
        raise
    except Exception as error:  # OSError, ValueError, hub and safetensors errors: all mean that there is no model
        advice = "without a network give a folder, or use PROFILE=laptop"
        raise UserError(f"model {params.model} could not be loaded: {words_of(error)}; {advice}") from None


def _draw_head(model: PreTrainedModel, seed: int) -> None:
    """Put a new head, drawn from the seed, in place of one that was trained for other classes."""
    torch.manual_seed(seed)
    drawn = type(model)(model.config).state_dict()
    inside = f"{model.base_model_prefix}."
    model.load_state_dict({name: tensor for name, tensor in drawn.items() if not name.startswith(inside)}, strict=False)


def _tiny_config(labels: dict) -> BertConfig:
    """Return the smoke profile's encoder: 4 layers, 4 heads, hidden size 32."""
    return BertConfig(
        vocab_size=len(made.VOCABULARY),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        **labels,
        problem_type=PLAIN["problem_type"],
    )
