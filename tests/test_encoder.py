"""Counting, removing and saving layers: what is left computes exactly what skipping the layers computes."""

import contextlib
import copy
import json

import pytest
import torch
from conftest import (
    FAMILIES,
    PAD,
    logits_of,
    logits_skipping,
    padded_batch,
    smoke_params,
    tiny_config,
    tiny_model,
)
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    GPT2Config,
    GPT2ForSequenceClassification,
    MPNetConfig,
)

from paperlib.common.errors import UserError
from paperlib.model import encoder, families, training
from paperlib.nodes import contract, node


def test_bert_base_has_the_papers_sizes():
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(BertConfig(num_labels=10))
    assert encoder.count_parameters(model) == 109_489_930
    assert sum(parameter.numel() for parameter in encoder.layers(model)[0].parameters()) == 7_087_872
    assert node.size_gb(109_489_930) == 0.43795972
    with torch.device("meta"):
        smaller = encoder.remove_layers(model, [4])
    assert encoder.count_parameters(model) - encoder.count_parameters(smaller) == 7_087_872


def test_each_of_the_twelve_layers_of_mpnet_is_as_large_as_the_papers():
    """What the published configuration of all-mpnet-base-v2 says, but for the weights."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(MPNetConfig(vocab_size=30527, num_labels=10))
        smaller = encoder.remove_layers(model, list(range(12)))
    sizes = [sum(parameter.numel() for parameter in layer.parameters()) for layer in encoder.layers(model)]
    assert sizes == [7_087_872] * 12
    assert encoder.count_parameters(model) - encoder.count_parameters(smaller) == 12 * 7_087_872


def has_spacer(kind, removed):
    """Say whether the model keeps a first layer of zeros, lest its class build the next one without its norm."""
    return kind == "modernbert" and 0 in removed


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("removed", [[0], [3], [1, 2], [2, 0, 3], [0, 1, 2, 3]])
def test_removing_equals_skipping_bit_for_bit(kind, removed):
    model, batch = tiny_model(kind, layers=4), padded_batch(kind)
    skipped = logits_skipping(model, batch, removed)
    smaller = encoder.remove_layers(model, removed)
    assert torch.equal(logits_of(smaller, batch), skipped)
    assert not torch.equal(skipped, logits_of(model, batch)), "removing a layer must change something"
    assert len(encoder.layers(smaller)) == 4 - len(removed)
    assert encoder.layer_numbers(smaller) == [i for i in range(4) if i not in removed]
    assert smaller.config.num_hidden_layers == 4 - len(removed) + has_spacer(kind, removed)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_original_is_untouched_and_shares_nothing(kind):
    model, batch = tiny_model(kind), padded_batch(kind)
    before = logits_of(model, batch)
    smaller = encoder.remove_layers(model, [1])
    with torch.no_grad():
        for parameter in smaller.parameters():
            parameter.zero_()
    assert torch.equal(logits_of(model, batch), before)
    assert encoder.layer_numbers(model) == [0, 1, 2]
    assert model.config.num_hidden_layers == 3


@pytest.mark.parametrize("kind", FAMILIES)
def test_two_steps_equal_one(kind):
    model, batch = tiny_model(kind, layers=4), padded_batch(kind)
    once = encoder.remove_layers(model, [0, 2])
    twice = encoder.remove_layers(encoder.remove_layers(model, [2]), [0])
    assert torch.equal(logits_of(once, batch), logits_of(twice, batch))
    assert encoder.layer_numbers(once) == encoder.layer_numbers(twice) == [1, 3]
    assert once.config.to_dict() == twice.config.to_dict()


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("removed", [[], [1], [2, 0], [0, 1, 2]])
def test_a_saved_model_is_a_plain_transformers_model(kind, removed, tmp_path):
    batch = padded_batch(kind)
    smaller = encoder.remove_layers(tiny_model(kind), removed)
    if (kind, len(removed)) == ("deberta-v2", 3):
        pytest.skip("transformers cannot run it without a layer: the next test")
    smaller.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(logits_of(loaded, batch), logits_of(smaller, batch))
    written, spacer = json.loads((tmp_path / "config.json").read_text()), has_spacer(kind, removed)
    depth = written["n_layers" if kind == "distilbert" else "num_hidden_layers"]
    assert depth == loaded.config.num_hidden_layers == 3 - len(removed) + spacer
    assert written["original_layers"] == [None] * spacer + [i for i in range(3) if i not in removed]
    assert encoder.layer_numbers(loaded) == [i for i in range(3) if i not in removed]
    spacers = [p.numel() for layer in list(families.all_layers(loaded))[:spacer] for p in layer.parameters()]
    assert encoder.count_parameters(loaded) == encoder.count_parameters(smaller)
    assert sum(p.numel() for p in loaded.parameters()) == encoder.count_parameters(smaller) + sum(spacers)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_model_without_layers_can_be_saved_in_a_plain_form(kind, tmp_path):
    """DeBERTa's class needs a layer: it gets one of zeros and norms, of which two in a row are one up to its constant."""
    batch, empty = padded_batch(kind), encoder.remove_layers(tiny_model(kind), [0, 1, 2])
    encoder.as_plain(empty).save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits_of(loaded, batch), logits_of(empty, batch), rtol=1e-5, atol=1e-5)
    assert encoder.layer_numbers(loaded) == list(encoder.layers(loaded)) == []
    assert encoder.count_parameters(loaded) == encoder.count_parameters(empty)


def test_the_layers_that_are_left_of_a_modernbert_attend_as_they_did():
    """Each third layer attends to the whole text, the others to their neighbours only."""
    model = tiny_model("modernbert", layers=5)
    assert model.config.layer_types == ["full_attention", *2 * ["sliding_attention"], "full_attention", "sliding_attention"]
    smaller = encoder.remove_layers(model, [1, 2])
    assert [layer.attention_type for layer in encoder.layers(smaller)] == smaller.config.layer_types
    assert smaller.config.layer_types == ["full_attention", "full_attention", "sliding_attention"]
    assert encoder.remove_layers(model, [0, 1, 3]).config.layer_types == ["full_attention", "sliding_attention", "sliding_attention"]
    batch = padded_batch("modernbert")
    model.config.layer_types = 5 * ["full_attention"]
    for layer in encoder.layers(model):
        layer.attention_type = "full_attention"
    assert not torch.allclose(logits_of(encoder.remove_layers(model, [1, 2]), batch), logits_of(smaller, batch))


def test_a_spacer_is_not_trained_and_stays_one_in_another_study(tmp_path):
    batch, params = padded_batch("modernbert"), smoke_params(tmp_path, model=str(tmp_path / "model"), epochs=2)
    smaller = encoder.remove_layers(tiny_model("modernbert"), [0])
    training.fine_tune(smaller, batch, params, seed=1)
    assert all((parameter == 0).all() for parameter in families.all_layers(smaller)[0].parameters())
    smaller.save_pretrained(tmp_path / "model")
    loaded = encoder.load_model(params, list("abc"))
    assert encoder.layer_numbers(loaded) == [0, 1] and len(families.all_layers(loaded)) == 3
    assert torch.equal(logits_of(loaded, batch), logits_of(smaller, batch))
    assert not any(parameter.requires_grad for parameter in families.all_layers(loaded)[0].parameters())
    contract.check(loaded, params)


@pytest.mark.parametrize("kind", FAMILIES)
def test_removal_goes_on_after_a_reload_with_the_original_numbers(kind, tmp_path):
    model, batch = tiny_model(kind, layers=4), padded_batch(kind)
    encoder.remove_layers(model, [1]).save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    again = encoder.remove_layers(loaded, [3])
    assert torch.equal(logits_of(again, batch), logits_skipping(model, batch, [1, 3]))


@pytest.mark.parametrize("removed", [[3], [-1], [0, 0], [0, 7]])
def test_a_layer_that_is_not_there_cannot_be_removed(removed):
    with pytest.raises(ValueError, match="cannot remove layers"):
        encoder.remove_layers(tiny_model(), removed)


def test_a_layer_cannot_be_removed_twice():
    with pytest.raises(ValueError, match="cannot remove layers"):
        encoder.remove_layers(encoder.remove_layers(tiny_model(), [1]), [1])


def test_a_decoder_is_refused_in_one_line():
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=16, vocab_size=30, n_positions=16, num_labels=3, pad_token_id=0
    )
    with pytest.raises(UserError, match="GPT2ForSequenceClassification is not an encoder classifier"):
        encoder.layers(GPT2ForSequenceClassification(config))


def test_a_decoder_in_a_folder_is_refused(tmp_path):
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=16, vocab_size=30, n_positions=16, num_labels=3, pad_token_id=0
    )
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path / "gpt2")
    params = smoke_params(tmp_path, model=str(tmp_path / "gpt2"))
    with pytest.raises(UserError, match="not an encoder classifier"):
        encoder.load_model(params, ["a", "b", "c"])


@pytest.mark.parametrize(
    "spoil", ["no folder", "empty folder", "garbage weights", "truncated weights", "bad config"]
)
def test_a_model_that_cannot_be_loaded_is_said_in_one_line(spoil, tmp_path):
    folder = tmp_path / "model"
    if spoil == "empty folder":
        folder.mkdir()
    elif spoil != "no folder":
        tiny_model().save_pretrained(folder)
        weights = (folder / "model.safetensors").read_bytes()
        damage = {"garbage weights": b"garbage" * 100, "truncated weights": weights[: len(weights) // 2]}
        (folder / "model.safetensors").write_bytes(damage.get(spoil, weights))
        if spoil == "bad config":
            (folder / "config.json").write_text("{not json")
    with pytest.raises(UserError) as fault:
        encoder.load_model(smoke_params(tmp_path, model=str(folder)), ["a", "b", "c"])
    assert "model" in str(fault.value) and "\n" not in str(fault.value)


def test_pickled_weights_are_refused(tmp_path):
    model = tiny_model()
    model.config.save_pretrained(tmp_path / "model")
    torch.save(model.state_dict(), tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(UserError, match="could not be loaded"):
        encoder.load_model(smoke_params(tmp_path, model=str(tmp_path / "model")), ["a", "b", "c"])


def test_the_head_is_drawn_from_the_seed(tmp_path):
    tiny_model().base_model.save_pretrained(tmp_path / "model")
    folder = str(tmp_path / "model")
    heads = [
        encoder.load_model(smoke_params(tmp_path, seed=seed, model=folder), ["a", "b", "c"]).classifier.weight
        for seed in (0, 0, 1)
    ]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_head_of_another_task_gives_way_to_a_new_one(kind, tmp_path):
    saved = tiny_model(kind)
    saved.save_pretrained(tmp_path / "model")
    loaded = encoder.load_model(smoke_params(tmp_path, model=str(tmp_path / "model")), list("abcde"))
    assert logits_of(loaded, padded_batch(kind)).shape == (37, 5)
    for ours, theirs in zip(encoder.layers(loaded).parameters(), encoder.layers(saved).parameters()):
        assert torch.equal(ours, theirs)


def test_weights_that_are_missing_or_do_not_fit_are_refused(tmp_path):
    """Transformers would fill them with random numbers, and only warn."""
    folder = tmp_path / "model"
    model = tiny_model(layers=2)
    model.save_pretrained(folder)
    tiny_model(layers=3).config.save_pretrained(folder)
    with pytest.raises(UserError, match="16 weights are missing or do not fit, such as bert.encoder.layer.2"):
        encoder.load_model(smoke_params(tmp_path, model=str(folder)), list("abc"))
    tiny_model(layers=2, hidden=8).config.save_pretrained(folder)
    with pytest.raises(UserError, match="weights are missing or do not fit"):
        encoder.load_model(smoke_params(tmp_path, model=str(folder)), list("abc"))


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("bare", [False, True], ids=["a classifier", "an encoder alone"])
def test_layers_that_the_configuration_does_not_know_are_refused(kind, bare, tmp_path):
    """Transformers would leave them out, and only warn: what is studied would not be the model of that name."""
    folder = tmp_path / "model"
    saved = tiny_model(kind, layers=3)
    (saved.base_model if bare else saved).save_pretrained(folder)
    tiny_model(kind, layers=2).config.save_pretrained(folder)
    with pytest.raises(UserError, match=r"its configuration says 2 layers, but it holds weights of more, such as .*layers?\.2\."):
        encoder.load_model(smoke_params(tmp_path, model=str(folder)), list("abc"))


def with_weight(name, folder, **settings):
    """Return the parameters of a saved model of two layers that holds one more weight, of this name."""
    tiny_model(layers=2).save_pretrained(folder / "model")
    file = folder / "model" / "model.safetensors"
    save_file({**load_file(file), name: torch.ones(1)}, folder / "new", metadata={"format": "pt"})
    (folder / "new").replace(file)
    return smoke_params(folder, model=str(folder / "model"), **settings)


OTHER_HEADS = ("qa_head.layers.9.weight", "teacher.encoder.layer.9.x", "pre_classifier.weight", "adapters.0.x")
NO_LOSS = ("bert.embeddings.position_ids", "embeddings.position_ids", "cls.predictions.bias", "lm_head.bias", "vocab_transform.weight",
           "discriminator_predictions.dense.weight", "lm_predictions.lm_head.bias", "encoder.rotary.inv_freq")  # fmt: skip
INSIDE = ("bert.encoder.layer.0.attention.self.query.lora_A.default.weight", "bert.encoder.layer.1.output.adapters.x.weight", "encoder.layer.0.new",
          "bert.encoder.layer.1.attention.self.distance_embedding.weight", "bert.embeddings.weight_scale", "bert.pooler.lora_B.weight")  # fmt: skip


@pytest.mark.parametrize("name", [*OTHER_HEADS, *NO_LOSS])
def test_weights_of_other_heads_and_constants_are_left_alone(name, tmp_path):
    loaded = encoder.load_model(with_weight(name, tmp_path), list("abc"))
    assert encoder.layer_numbers(loaded) == [0, 1]
    assert torch.equal(logits_of(loaded, padded_batch()), logits_of(tiny_model(layers=2), padded_batch()))


@pytest.mark.parametrize("fine_tuned", [False, True])
@pytest.mark.parametrize("name", INSIDE)
def test_weights_of_the_encoder_that_have_no_place_are_refused(name, fine_tuned, tmp_path):
    """Transformers would leave them out, and only warn: adapters, positions, quantised weights."""
    with pytest.raises(UserError, match="its encoder holds weights that BertForSequenceClassification has no place for, such as .*: merge adapters"):
        encoder.load_model(with_weight(name, tmp_path, fine_tuned=fine_tuned), list("abc"))


@pytest.mark.parametrize("name", OTHER_HEADS)
def test_a_model_taken_as_it_is_has_no_weights_that_are_left_out(name, tmp_path):
    with pytest.raises(UserError, match="^fine_tuned: model .* holds weights that BertForSequenceClassification has no place for, such as .*; set fine_tuned=false"):
        encoder.load_model(with_weight(name, tmp_path, fine_tuned=True), list("abc"))


@pytest.mark.parametrize("name", NO_LOSS)
def test_a_model_taken_as_it_is_may_hold_the_heads_of_its_pretraining(name, tmp_path):
    encoder.load_model(with_weight(name, tmp_path, fine_tuned=True), list("abc"))


@pytest.mark.parametrize("kind", ["roberta", "mpnet"])
def test_a_pooler_that_no_head_reads_is_left_alone(kind, tmp_path):
    AutoModel.from_config(tiny_config(kind)).save_pretrained(tmp_path / "model")
    assert any("pooler" in name for name in load_file(tmp_path / "model" / "model.safetensors"))
    encoder.load_model(smoke_params(tmp_path, model=str(tmp_path / "model")), list("abc"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, None], ids=["fp16", "bf16", "by name only"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_model_in_16_bits_is_read_and_saved_as_its_numbers_in_32(kind, dtype, tmp_path):
    whole = tiny_model(kind, layers=2)
    copy.deepcopy(whole).to(dtype or torch.float32).save_pretrained(tmp_path / "model")
    whole.load_state_dict({name: weight.to(dtype or torch.float32) for name, weight in whole.state_dict().items()})
    if dtype is None:  # save_pretrained writes what the weights are
        path = tmp_path / "model" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "dtype": "float16"}))
    params = smoke_params(tmp_path, model=str(tmp_path / "model"))
    loaded, expected = encoder.load_model(params, list("abc")), logits_of(whole, padded_batch(kind))
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32} and torch.equal(logits_of(loaded, padded_batch(kind)), expected)
    contract.check(loaded, params)
    loaded.save_pretrained(tmp_path / "again")
    assert torch.equal(logits_of(AutoModelForSequenceClassification.from_pretrained(tmp_path / "again"), padded_batch(kind)), expected)


def test_a_pruned_model_can_be_the_original_of_another_study(tmp_path):
    encoder.remove_layers(tiny_model(layers=4), [0, 2]).save_pretrained(tmp_path / "model")
    loaded = encoder.load_model(smoke_params(tmp_path, model=str(tmp_path / "model")), list("abc"))
    assert encoder.layer_numbers(loaded) == [0, 1]
    assert encoder.layer_numbers(encoder.remove_layers(loaded, [0])) == [1]


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_restricted_vocabulary_gives_the_same_logits(kind):
    model, batch = tiny_model(kind), padded_batch(kind, examples=4)
    wanted, counted = logits_of(model, batch), encoder.count_parameters(model)
    full = model.get_input_embeddings().weight.detach().clone()
    token_ids = torch.unique(batch["input_ids"])
    assert len(token_ids) < 40, "some ids must be absent, or nothing is tested"
    small = {**batch, "input_ids": torch.searchsorted(token_ids, batch["input_ids"])}
    restricted = encoder.restrict_vocabulary(model, token_ids)
    assert restricted.get_input_embeddings().weight.shape == (len(token_ids), full.shape[1])
    assert torch.equal(logits_of(restricted, small), wanted)
    assert encoder.count_parameters(restricted) == counted
    restored = encoder.restore_vocabulary(restricted, full, token_ids)
    assert torch.equal(logits_of(restored, batch), wanted)
    assert sum(p.numel() for p in restored.parameters()) == counted
    assert restored.get_input_embeddings().padding_idx == PAD[kind]


def test_a_tokeniser_with_more_words_than_the_model_is_refused():
    with pytest.raises(UserError, match="^the tokeniser has more words than the model: 40 are known"):
        encoder.restrict_vocabulary(tiny_model(), torch.tensor([0, 2, 40]))


def test_restoring_takes_trained_rows_and_keeps_the_others():
    model, token_ids = tiny_model(), torch.tensor([0, 2, 3, 7])
    full = model.get_input_embeddings().weight.detach().clone()
    restricted = encoder.restrict_vocabulary(model, token_ids)
    with torch.no_grad():
        restricted.get_input_embeddings().weight.add_(1.0)
    restored = encoder.restore_vocabulary(restricted, full, token_ids).get_input_embeddings().weight.detach()
    assert torch.equal(restored[token_ids], full[token_ids] + 1.0)
    others = [i for i in range(40) if i not in token_ids.tolist()]
    assert torch.equal(restored[others], full[others])


def test_the_padding_row_is_not_trained_after_restricting():
    model, batch = tiny_model(), padded_batch(examples=4)
    token_ids = torch.unique(batch["input_ids"])
    encoder.restrict_vocabulary(model, token_ids)
    small = torch.searchsorted(token_ids, batch["input_ids"])
    model(input_ids=small, attention_mask=batch["attention_mask"]).logits.sum().backward()
    gradient = model.get_input_embeddings().weight.grad
    assert gradient[0].abs().max() == 0 and gradient[1].abs().max() > 0


def test_layers_can_be_exchanged_for_a_while():
    model, batch = tiny_model(), padded_batch()
    before = logits_of(model, batch)
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        encoder.with_layers(model, [encoder.layers(model)[0]]),
    ):
        assert torch.equal(logits_of(model, batch), logits_skipping(tiny_model(), batch, [1, 2]))
        raise RuntimeError("on purpose")
    assert torch.equal(logits_of(model, batch), before)


@pytest.mark.parametrize("kind, most", [("bert", 32), ("deberta-v2", 32), ("distilbert", 32), ("electra", 32), ("roberta", 30), ("mpnet", 30)])
def test_texts_longer_than_the_model_reads_are_refused(kind, most, tmp_path):
    """The first position of RoBERTa and MPNet has number 2, so two of its 32 rows are never reached."""
    model, batch = tiny_model(kind), padded_batch(kind, examples=2, tokens=most)
    assert logits_of(model, batch).isfinite().all()
    model.save_pretrained(tmp_path / "model")
    folder = str(tmp_path / "model")
    encoder.load_model(smoke_params(tmp_path, model=folder, max_tokens=most), ["a", "b", "c"])
    with pytest.raises(UserError, match=f"^max_tokens: must be at most {most} for "):
        encoder.load_model(smoke_params(tmp_path, model=folder, max_tokens=most + 1), ["a", "b", "c"])


@pytest.mark.parametrize("kind", FAMILIES)
def test_first_token_only_leaves_logits_and_gradients(kind):
    model, batch = tiny_model(kind), padded_batch(kind)
    results = []
    for context in (contextlib.nullcontext(), encoder.first_token_only(model)):
        model.zero_grad()
        with context:
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        torch.nn.functional.cross_entropy(logits, batch["labels"]).backward()
        results.append((logits, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (whole, whole_gradients), (cut, cut_gradients) = results
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-6)
    assert len(cut_gradients) == len(whole_gradients)
    for one, other in zip(cut_gradients, whole_gradients):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_first_token_only_saves_the_last_layers_work():
    model, batch = tiny_model("bert"), padded_batch("bert")
    seen = []
    encoder.layers(model)[-1].intermediate.register_forward_hook(
        lambda module, given, output: seen.append(output.shape)
    )
    with encoder.first_token_only(model):
        logits_of(model, batch)
    logits_of(model, batch)
    examples, tokens = batch["input_ids"].shape
    assert seen == [(examples, 1, 24), (examples, tokens, 24)]
