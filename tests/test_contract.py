"""What a model must be able to do to be studied: held by the families we support, and whatever fails it is refused."""

import copy
import json
import math

import pytest
import torch
from conftest import FAMILIES, PAD, logits_of, padded_batch, smoke_params, tiny_model
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from paperlib.common.errors import UserError
from paperlib.model import checkpoint, encoder, families
from paperlib.nodes import compute, contract

SUPPORTED = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "mpnet", "deberta", "deberta-v2", "modernbert")
IN_16_BITS = ("roberta", "mpnet", "deberta-v2", "modernbert")  # each of these makes its mask, or adds to it, in its own way
SIZES = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, "num_labels": 3, "pad_token_id": 1, "initializer_range": 0.3,
}  # fmt: skip
RELATIVE_POSITIONS = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 8}
MORE = {
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24},
    "deberta": RELATIVE_POSITIONS,
    "deberta-v2": {**RELATIVE_POSITIONS, "position_buckets": 4, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    "modernbert": {"local_attention": 4},
}
SLOW = ("longformer", "luke")  # they take seconds to make or to run whatever their size


def small(kind, **more):
    """Return a random classifier of three layers; wide weights, so that a mistake shows."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **{**SIZES, **MORE.get(kind, {}), **more})).eval()


def with_a_list_of_layers():
    """Name the architectures that transformers offers whose classifier has a list of layers where we look for one."""
    found = []
    for kind in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        if hasattr(CONFIG_MAPPING[kind], "num_key_value_heads"):  # but for the decoders' kin, which take long to make
            continue
        try:
            with torch.device("meta"):
                families.layers(AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **SIZES)))
            found.append(kind)
        except Exception:  # of another kind, or not to be made in these sizes
            continue
    return found


@pytest.mark.parametrize("precision, kind", [("fp32", kind) for kind in SUPPORTED] + [("bf16", kind) for kind in IN_16_BITS])
def test_a_supported_family_holds_it(precision, kind, tmp_path):
    model, params = small(kind), smoke_params(tmp_path, precision=precision)
    state = torch.random.get_rng_state()
    before = copy.deepcopy(model.state_dict())
    checkpoint.check(model, {}, params)
    contract.check(model, params)
    assert torch.equal(torch.random.get_rng_state(), state), "no draw may be missing later"
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert model.get_input_embeddings().num_embeddings == 60 and len(encoder.layers(model)) == 3


def test_every_architecture_holds_it_or_is_refused_in_one_line(tmp_path):
    """By the door that a study uses; what is let in is then the model that was saved, whole."""
    tokenizer, kinds = encoder.load_tokenizer(smoke_params(tmp_path)), with_a_list_of_layers()
    assert set(SUPPORTED) <= set(kinds) and len(kinds) > 25
    refused = set()
    for kind in set(kinds) - {*SUPPORTED, *SLOW}:
        try:
            model = small(kind, vocab_size=len(tokenizer), num_hidden_layers=4, num_labels=4, pad_token_id=0)
        except Exception:  # not to be made in these sizes
            continue
        model.save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
        try:
            bench = compute.bench_of(smoke_params(tmp_path, model=str(tmp_path / kind)))
        except UserError as refusal:
            refused.add(kind)
            assert "\n" not in str(refusal) and len(str(refusal)) < 300
            continue
        batch = {name: tensor[:2] for name, tensor in bench.dataset.test.items()}
        asked = batch | {"input_ids": bench.dataset.token_ids[batch["input_ids"]]}
        torch.testing.assert_close(logits_of(bench.pretrained, batch), logits_of(model, asked))
    assert {"fnet", "ibert", "canine"} <= refused, "no attention; quantised; no table of words"
    assert not {"megatron-bert", "big_bird"} & refused


def test_a_mask_that_overflows_in_16_bits_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(UserError, match="a forward pass fails .*overflow.*; try precision=fp32$"):
        contract.check(small("deberta"), smoke_params(tmp_path, precision="bf16"))


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "modernbert"])
def test_two_layers_are_enough(kind, tmp_path):
    contract.check(small(kind, num_hidden_layers=2), smoke_params(tmp_path))


@pytest.mark.parametrize("left", [0, 1])
def test_where_there_is_nothing_to_choose_there_is_no_study(left, tmp_path):
    with pytest.raises(UserError, match=f"a study chooses among layers, and the model has {left} of them"):
        contract.check(encoder.remove_layers(small("bert"), list(range(left, 3))), smoke_params(tmp_path))


def test_albert_is_refused_with_the_reason():
    config = AutoConfig.for_model("albert", **SIZES, embedding_size=8)
    with pytest.raises(UserError, match="AlbertForSequenceClassification has one layer that it runs through again and again"):
        encoder.layers(AutoModelForSequenceClassification.from_config(config))


def test_what_fails_is_named(tmp_path, monkeypatch):
    params = smoke_params(tmp_path)
    convolved = small("deberta-v2", conv_kernel_size=3)  # a convolution follows the first layer, whichever that is
    with pytest.raises(UserError, match="cannot be studied: removing layers as if they were skipped fails .results differ by"):
        contract.check(convolved, params)
    monkeypatch.setattr(families, "reads_first_token", lambda model: True)
    with pytest.raises(UserError, match="the shortcut for heads that read the first token fails"):
        contract.check(small("modernbert", classifier_pooling="mean"), params)


def test_a_head_that_reads_all_tokens_is_ablated_whole(tmp_path):
    model = small("modernbert", classifier_pooling="mean")
    assert not families.reads_first_token(model) and families.reads_first_token(small("modernbert"))
    contract.check(model, smoke_params(tmp_path))


def saved(folder, kind="bert", **configuration):
    """Save a small model whose configuration says other things than it was made with; return its folder."""
    tiny_model(kind).save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **configuration}))
    return str(folder)


@pytest.mark.parametrize("said", [{"return_dict": False}, {"chunk_size_feed_forward": 5}, {"output_hidden_states": True}, {"torchscript": True}], ids=str)
def test_what_a_configuration_says_of_running_it_does_not_matter(said, tmp_path):
    params = smoke_params(tmp_path, model=saved(tmp_path / "model", **said))
    loaded = encoder.load_model(params, list("abc"))
    assert torch.equal(logits_of(loaded, padded_batch()), logits_of(tiny_model(), padded_batch()))
    contract.check(loaded, params)


@pytest.mark.parametrize("said", ["is_decoder", "add_cross_attention"])
def test_a_decoder_of_the_family_is_refused(said, tmp_path):
    both = {"is_decoder": True, "add_cross_attention": said == "add_cross_attention"}
    params = smoke_params(tmp_path, model=saved(tmp_path / "model", **both))
    with pytest.raises(UserError, match="is_decoder|weights are missing"):
        encoder.load_model(params, list("abc"))


@pytest.mark.parametrize("said", [
    {"position_embedding_type": "relative_key"}, {"position_embedding_type": "relative_key_query"}, {"pruned_heads": {"0": [1]}},
    {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_a_setting_that_its_class_does_not_read_is_refused(kind, said, tmp_path):
    params = smoke_params(tmp_path, model=saved(tmp_path / "model", kind, **said))
    with pytest.raises(UserError, match=f"^model .* its configuration asks for {[*said][0]}=.*, which is not read: what runs would be another model; save it without$"):
        encoder.load_model(params, list("abc"))


@pytest.mark.parametrize("said", [{"position_embedding_type": "absolute"}, {"position_embedding_type": None}, {"pruned_heads": {}}], ids=str)
def test_a_setting_that_asks_for_what_is_so_anyway_does_not_matter(said, tmp_path):
    encoder.load_model(smoke_params(tmp_path, model=saved(tmp_path / "model", **said)), list("abc"))


def test_code_of_a_models_own_is_not_left_out(tmp_path):
    """As of a BERT whose positions its own class counts in another way: plain BERT would be another model."""
    path = tmp_path / "model"
    params = smoke_params(tmp_path, model=saved(path))
    said = json.loads((path / "config.json").read_text())
    for asked in ({"AutoModel": "modeling.BertModel"}, {"AutoConfig": "own.OwnConfig"}, {}):  # what transformers has by now under that name
        (path / "config.json").write_text(json.dumps(said | {"auto_map": asked}))
        contract.check(encoder.load_model(params, list("abc")), params)
    (path / "config.json").write_text(json.dumps(said | {"auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "some/repository--modeling.OwnBert"}}))
    with pytest.raises(UserError, match=r"^model .*: its config.json \(auto_map\) asks for OwnBert, .* BertForSequenceClassification may be another model"):
        contract.check(encoder.load_model(params, list("abc")), params)


def test_a_family_that_has_the_option_is_let_in(tmp_path):
    AutoModelForSequenceClassification.from_config(AutoConfig.for_model("esm", **SIZES, position_embedding_type="rotary")).save_pretrained(tmp_path / "model")
    encoder.load_model(smoke_params(tmp_path, model=str(tmp_path / "model")), list("abc"))


@pytest.mark.parametrize("numbers", [[0, 2], "x", "abc", 3, [None, 0, 1, 2], {"0": 1}], ids=str)
def test_numbers_of_layers_that_do_not_fit_them_are_refused(numbers, tmp_path):
    params = smoke_params(tmp_path, model=saved(tmp_path / "model", original_layers=numbers))
    with pytest.raises(UserError, match="^model .* its configuration says original_layers=.*, and it has 3 layers: remove that line$"):
        encoder.load_model(params, list("abc"))


def test_whatever_a_model_throws_while_it_is_loaded_is_one_line(tmp_path, monkeypatch):
    def thrown(*_):
        raise AttributeError("no such\nthing")

    monkeypatch.setattr(checkpoint, "number_anew", thrown)
    with pytest.raises(UserError, match=r"cannot be studied: loading fails \(no such thing\)$"):
        encoder.load_model(smoke_params(tmp_path), list("abc"))


def test_the_check_leaves_the_model_as_it_was(tmp_path):
    """BigBird sets the kind of all its layers anew when it runs: with only two of them in, the others would not follow."""
    model, params = small("big_bird", num_hidden_layers=4), smoke_params(tmp_path)
    contract.check(model, params)
    assert {layer.attention.attention_type for layer in encoder.layers(model)} == {"block_sparse"}


def test_a_model_that_runs_otherwise_after_another_length_is_refused(tmp_path):
    """A BigBird of small blocks: after a short text it attends to all of a long one."""
    blocks = {"block_size": 2, "num_random_blocks": 1, "max_position_embeddings": 64}
    with pytest.raises(UserError, match="cannot be studied: texts of any length fails"):
        contract.check(small("big_bird", **blocks), smoke_params(tmp_path, max_tokens=40))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_weight_that_is_no_number_is_refused(value, tmp_path):
    model = tiny_model()
    with torch.no_grad():
        encoder.layers(model)[1].output.dense.weight[3, 2] = value
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match="weights hold NaN or infinity, such as bert.encoder.layer.1.output.dense.weight"):
        encoder.load_model(smoke_params(tmp_path, model=str(tmp_path / "model")), list("abc"))


def test_a_student_of_a_model_of_several_labels_has_one(tmp_path):
    params = smoke_params(tmp_path, model=saved(tmp_path / "model", problem_type="multi_label_classification"))
    assert encoder.load_model(params, list("abc")).config.problem_type == "single_label_classification"
    assert encoder.load_model(smoke_params(tmp_path), list("abc")).config.problem_type == "single_label_classification"


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_a_head_that_does_not_choose_one_label_is_not_taken_as_it_is(problem, tmp_path):
    params = smoke_params(tmp_path, fine_tuned=True, model=saved(tmp_path / "model", problem_type=problem))
    with pytest.raises(UserError, match=f"^fine_tuned: the head of model .* is for {problem}, and here a text has one label: set fine_tuned=false"):
        encoder.load_model(params, list("abc"))


class Padding:
    """As much of a tokeniser as is asked for: what it pads with, and whether it puts a token before a text."""

    def __init__(self, pad_token_id, first=1):
        self.pad_token_id, self.first = pad_token_id, first

    def __call__(self, text, return_special_tokens_mask):
        return {"special_tokens_mask": [self.first, 0, 1]}


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_head_that_reads_the_first_token_needs_one_before_the_text(kind, tmp_path):
    params = smoke_params(tmp_path, model=saved(tmp_path / "model", kind))
    with pytest.raises(UserError, match="its tokeniser puts no token such as .CLS. before a text, and its head reads the first: they do not belong together$"):
        encoder.load_model(params, list("abc"), Padding(PAD[kind], first=0))


def test_a_head_that_reads_all_tokens_needs_none_before_the_text(tmp_path):
    params = smoke_params(tmp_path, model=saved(tmp_path / "model", "modernbert", classifier_pooling="mean"))
    encoder.load_model(params, list("abc"), Padding(0, first=0))


def test_the_model_pads_with_what_its_tokeniser_pads_with(tmp_path):
    """Token 7 is a word: it must be trained, and mean the same after the vocabulary is cut."""
    params = smoke_params(tmp_path, model=saved(tmp_path / "model", pad_token_id=7))
    model, batch = encoder.load_model(params, list("abc"), Padding(0)), padded_batch()
    assert model.config.pad_token_id == model.get_input_embeddings().padding_idx == 0
    assert torch.equal(logits_of(model, batch), logits_of(tiny_model(), batch))
    model(input_ids=torch.tensor([[2, 7, 3]])).logits.sum().backward()
    assert model.get_input_embeddings().weight.grad[7].abs().max() > 0


@pytest.mark.parametrize("kind", ["roberta", "mpnet"])
def test_positions_that_are_counted_from_another_padding_are_refused(kind, tmp_path):
    params = smoke_params(tmp_path, model=saved(tmp_path / "model", kind))
    encoder.load_model(params, list("abc"), Padding(1))
    with pytest.raises(UserError, match="its tokeniser pads with token 0, but it counts positions from token 1: they do not belong together"):
        encoder.load_model(params, list("abc"), Padding(0))


def test_a_tokeniser_pads_and_cuts_on_the_right_whatever_its_files_say(tmp_path):
    left = encoder.load_tokenizer(smoke_params(tmp_path))
    left.padding_side = left.truncation_side = "left"
    left.save_pretrained(tmp_path / "model")
    right = encoder.load_tokenizer(smoke_params(tmp_path, model=str(tmp_path / "model")))
    words = [word for word in right.get_vocab() if word.isalpha()][:6]
    options = {"truncation": True, "padding": "max_length", "max_length": 6}
    short, long = right([" ".join(words[:2]), " ".join(words)], **options)["input_ids"]
    assert short[0] == long[0] == right.cls_token_id and short[-1] == right.pad_token_id
    assert long[1:-1] == right.convert_tokens_to_ids(words[:4])
