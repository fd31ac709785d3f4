"""Check what was loaded before anything is computed: its weights, its length, its classes, and whether the tokeniser belongs to it."""

import contextlib
import re
from collections.abc import Iterable, Iterator

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from paperlib.common.errors import UserError, words_of
from paperlib.model.families import LAYER_LISTS, all_layers, layers
from paperlib.params import Params

UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls a class without a name
# Weights that a class may leave out and compute the same: constants that it makes itself, and a pooler where its head has none.
HARMLESS = re.compile(r"(^|\.)(position_ids|token_type_ids|(original_)?inv_freq|pooler\.dense\.(weight|bias))$")
PRETRAINING = re.compile(r"(cls|lm_head|vocab_\w+|\w+_predictions|generator_lm_head|decoder)\.")  # heads that guess words, of any family


def classes_of(config: PretrainedConfig) -> list[str]:
    """Return the names of the classes of a checkpoint's head, in its order, stripped as those of labels are; [] where it has none."""
    if not any("ForSequenceClassification" in name for name in config.architectures or []):
        return []
    return [str(config.id2label.get(number, f"LABEL_{number}")).strip() for number in range(config.num_labels)]


def is_named(classes: list[str]) -> bool:
    """Say whether a head says which classes its outputs are."""
    return bool(classes) and not all(map(UNNAMED.fullmatch, classes))


def is_of_one_label(config: PretrainedConfig) -> bool:
    """Say whether a head gives a text one of its classes, and not any number of them, or a measure."""
    return getattr(config, "problem_type", None) in (None, "single_label_classification")


def check_classes(own: list[str], class_names: list[str], params: Params) -> None:
    """Raise UserError when a model that is taken as it is has the data's classes in another order, or others."""
    if params.fine_tuned and is_named(own) and own != class_names:
        raise UserError(
            f"fine_tuned: the classes of model {params.model} are {', '.join(own[:4])}, in this order, and not {', '.join(class_names[:4])}: "
            "set class_names to them"
        )


def check_settings(config: PretrainedConfig, params: Params) -> None:
    """Raise UserError when a configuration asks for what is not done here: it would be left out without a word."""
    if params.fine_tuned and not is_of_one_label(config):
        raise UserError(
            f"fine_tuned: the head of model {params.model} is for {config.problem_type}, and here a text has one label: "
            "set fine_tuned=false, and it is trained for that"
        )
    asked = {
        "pruned_heads": bool(getattr(config, "pruned_heads", None)),
        "quantization_config": bool(getattr(config, "quantization_config", None)),
        # Only some kinds still choose their positions: those whose configuration names it.
        "position_embedding_type": not hasattr(type(config), "position_embedding_type")
        and getattr(config, "position_embedding_type", None) not in (None, "absolute"),
    }
    for name in (name for name, is_asked in asked.items() if is_asked):
        raise UserError(
            f"model {params.model}: its configuration asks for {name}={str(getattr(config, name))[:60]}, which is not read: "
            "what runs would be another model; save it without"
        )


def check(model: PreTrainedModel, report: dict, params: Params) -> None:
    """Raise UserError when this is no encoder with layers, or its weights are not whole; `report` is of its loading."""
    numbers, count = getattr(model.config, "original_layers", None) or [], len(all_layers(model))
    if numbers and not (isinstance(numbers, list) and len(numbers) == count):
        said = f"its configuration says original_layers={str(numbers)[:60]}, and it has {count} layers"
        raise UserError(f"model {params.model}: {said}: remove that line")
    layers(model)
    for said in ("is_decoder", "add_cross_attention", "is_encoder_decoder"):
        if getattr(model.config, said, False):
            raise UserError(f"model {params.model}: its configuration says {said}: a decoder is not an encoder classifier (BERT family)")
    _check_keys(model, report, params)
    _check_numbers(model, params)
    _check_length(model, params)


def align_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: Params) -> None:
    """Let the model pad with what the tokeniser pads with; raises UserError where that would move the positions.

    The number of the padding matters in two places: its embedding is not trained, and RoBERTa and its kin count
    positions from it, which nothing but their weights can answer for.
    """
    padding, table = tokenizer.pad_token_id, model.get_input_embeddings()
    counted = _counted_from(model)
    if counted not in (None, padding):
        raise UserError(
            f"model {params.model}: its tokeniser pads with token {padding}, but it counts positions from token {counted}: "
            "they do not belong together"
        )
    if padding >= table.num_embeddings:
        raise UserError(f"the tokeniser has more words than the model: {table.num_embeddings} are known to it")
    model.config.pad_token_id = table.padding_idx = padding


def check_first_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: Params) -> None:
    """Raise UserError when the head reads the first token, as all do that do not say otherwise, and that is a word of the text."""
    if getattr(model.config, "classifier_pooling", "cls") not in ("cls", "bos"):
        return
    if not tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"][0]:
        raise UserError(
            f"model {params.model}: its tokeniser puts no token such as [CLS] before a text, and its head reads the first: they do not belong together"
        )


def number_anew(model: PreTrainedModel) -> None:
    """Count the layers of a model that was pruned before anew; its spacer stays one (see `encoder.remove_layers`)."""
    numbers = getattr(model.config, "original_layers", None) or []
    model.config.original_layers = None
    if numbers[:1] == [None]:
        model.config.original_layers = [None, *range(len(numbers) - 1)]
        all_layers(model)[0].requires_grad_(False)


@contextlib.contextmanager
def said(what: str, model: PreTrainedModel, params: Params) -> Iterator[None]:
    """Turn whatever goes wrong inside the block into one line, a UserError: a model's code may raise anything."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"model {params.model} ({type(model).__name__}) cannot be studied: {what} fails ({words_of(error)})") from error


def _check_keys(model: PreTrainedModel, report: dict, params: Params) -> None:
    """Raise UserError when weights that count are absent or of another shape, hence random, or are there and have no place."""
    absent = [*report.get("missing_keys", ()), *(name for name, *_ in report.get("mismatched_keys", ()))]
    if params.fine_tuned and absent:
        raise UserError(f"fine_tuned: model {params.model} is no classifier of these classes: {absent[0]} is missing or does not fit")
    lost = sorted(name for name in absent if name.startswith(model.base_model_prefix) and "pooler" not in name)
    if lost:
        raise UserError(f"model {params.model}: {len(lost)} weights are missing or do not fit, such as {lost[0]}")
    count, unexpected = len(all_layers(model)), sorted(name for name in report.get("unexpected_keys", ()) if not HARMLESS.search(name))
    if surplus := _beyond(count, unexpected, model.base_model_prefix):
        told = f"its configuration says {count} layer{'s' * (count != 1)}, but it holds weights of more"
        raise UserError(f"model {params.model}: {told}, such as {surplus[0]}")
    homeless = f"weights that {type(model).__name__} has no place for"
    if inside := [name for name in unexpected if _is_of_encoder(name, model)]:
        raise UserError(f"model {params.model}: its encoder holds {homeless}, such as {inside[0]}: merge adapters into it, or take a model without")
    if params.fine_tuned and (others := [name for name in unexpected if not PRETRAINING.match(name)]):
        raise UserError(f"fine_tuned: model {params.model} holds {homeless}, such as {others[0]}: what runs would be another; set fine_tuned=false")


def _is_of_encoder(name: str, model: PreTrainedModel) -> bool:
    """Say whether a weight is of the encoder, saved alone or with a head."""
    first = name.partition(".")[0]
    return first == model.base_model_prefix or first in dict(model.base_model.named_children())


def _beyond(count: int, names: Iterable[str], prefix: str) -> list[str]:
    """Return those names of weights that are of layers beyond so many."""
    lists = "|".join(map(re.escape, LAYER_LISTS))
    of_a_layer = re.compile(rf"(?:{re.escape(prefix)}\.)?(?:{lists})\.(\d+)\.")
    return [name for name in names if (found := of_a_layer.match(name)) and int(found.group(1)) >= count]


def _check_numbers(model: PreTrainedModel, params: Params) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise UserError(f"model {params.model}: its weights hold NaN or infinity, such as {name}")


def _check_length(model: PreTrainedModel, params: Params) -> None:
    """Raise UserError when texts of `max_tokens` tokens have more positions than the model knows."""
    table = _positions(model)
    if table is None:
        return
    first = 0 if table.padding_idx is None else table.padding_idx + 1  # RoBERTa counts positions from there
    if params.max_tokens > table.num_embeddings - first:
        raise UserError(f"max_tokens: must be at most {table.num_embeddings - first} for {params.model}")


def _counted_from(model: PreTrainedModel) -> int | None:
    """Return the token whose number positions are counted from, None where they are counted from 0."""
    table = _positions(model)
    return None if table is None else table.padding_idx


def _positions(model: PreTrainedModel) -> nn.Embedding | None:
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    return table if isinstance(table, nn.Embedding) else None
