"""Each of the twelve signals against an independent formula: loops over numbers, scikit-learn, numpy, brute force."""

import copy
import math
import types

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ARCHITECTURES, FAMILIES, logits_of, padded_batch, smoke_params, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma
from scipy.stats import rankdata
from sklearn.metrics import mutual_info_score
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from paperlib import signals
from paperlib.model import encoder
from paperlib.names import SIGNALS
from paperlib.nodes import compute, fingerprint

EXAMPLES, TOKENS, BINS, THRESHOLD = 37, 9, 4, 0.05  # 37 examples: not a multiple of the chunk of 32


@pytest.fixture(params=(*ARCHITECTURES, "modernbert"))
def kind(request):
    return request.param


def settings(tmp_path, **changes):
    return smoke_params(tmp_path, mi_bins=BINS, sparsity_threshold=THRESHOLD, **changes)


def outputs_of(model, batch):
    """Return activations (layers, examples, tokens, hidden), attention (layers, examples, heads, tokens, tokens), logits."""
    caught = []

    def catch(module, args, output):
        caught.append((output[0] if isinstance(output, tuple) else output).detach())

    hooks = [layer.register_forward_hook(catch) for layer in encoder.layers(model)]
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        out = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_attentions=True
        )
    model.set_attn_implementation(implementation)
    for hook in hooks:
        hook.remove()
    attention = np.array([layer.double().numpy() for layer in out.attentions])
    return np.array([a.double().numpy() for a in caught]), attention, out.logits.double().numpy()


def token_values(activation, mask):
    """List the feature vectors of all tokens that count, by loops."""
    return [activation[e][t] for e in range(len(mask)) for t in range(len(mask[e])) if mask[e][t]]


def pooled_by_loops(activation, mask):
    rows = []
    for e in range(len(mask)):
        counted = [activation[e][t] for t in range(len(mask[e])) if mask[e][t]]
        rows.append([sum(vector[f] for vector in counted) / len(counted) for f in range(activation.shape[2])])
    return np.array(rows)


def mask_of(batch, pool_padding):
    return np.ones_like(batch["attention_mask"].numpy()) if pool_padding else batch["attention_mask"].numpy()


@pytest.mark.parametrize("pool_padding", [False, True])
def test_activation_signals_by_loops(kind, pool_padding, tmp_path):
    model, batch = tiny_model(kind), padded_batch(kind)
    measured = signals.measure(model, batch, settings(tmp_path, pool_padding=pool_padding))
    for layer, activation in enumerate(outputs_of(model, batch)[0]):
        numbers = [
            float(x) for vector in token_values(activation, mask_of(batch, pool_padding)) for x in vector
        ]
        expected = {
            "Activation-Inhibition": math.fsum(numbers) / len(numbers),
            "Activation-Intensity": math.fsum(map(abs, numbers)) / len(numbers),
            "Activation-Energy": math.fsum(x * x for x in numbers) / len(numbers),
        }
        assert dict(measured.loc[layer, list(expected)]) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("pool_padding", [False, True])
def test_task_mutual_information_by_scikit_learn(kind, pool_padding, tmp_path):
    model, batch = tiny_model(kind), padded_batch(kind)
    measured = signals.measure(model, batch, settings(tmp_path, pool_padding=pool_padding))[
        "Task-Relevance-MI"
    ]
    for layer, activation in enumerate(outputs_of(model, batch)[0]):
        pooled = pooled_by_loops(activation, mask_of(batch, pool_padding))
        bins = [(rankdata(column).astype(int) - 1) * BINS // EXAMPLES for column in pooled.T]
        expected = np.mean([mutual_info_score(binned, batch["labels"].numpy()) for binned in bins])
        assert measured[layer] == pytest.approx(expected, rel=1e-9)


def knn_mutual_information(x, labels, k=3):
    """Estimate I(x; label) by counting neighbours (Ross 2014): psi(n) + psi(k) - mean psi(n_label) - mean psi(m)."""
    terms = []
    for i in range(len(x)):
        own = sorted(abs(x[i] - x[j]) for j in range(len(x)) if labels[j] == labels[i] and j != i)
        radius = np.nextafter(own[k - 1], 0)
        within = sum(abs(x[i] - x[j]) <= radius for j in range(len(x)))  # itself included
        terms.append(digamma(k) - digamma(len(own) + 1) - digamma(within))
    return max(0.0, digamma(len(x)) + np.mean(terms))


def test_task_mutual_information_by_nearest_neighbours(tmp_path):
    model, batch = tiny_model(), padded_batch()
    measured = signals.measure(model, batch, settings(tmp_path, mi_estimator="knn"))["Task-Relevance-MI"]
    labels = batch["labels"].tolist()
    for layer, activation in enumerate(outputs_of(model, batch)[0]):
        pooled = pooled_by_loops(activation, batch["attention_mask"].numpy())
        pooled /= pooled.std(axis=0, ddof=1)
        expected = np.mean([knn_mutual_information(column, labels) for column in pooled.T])
        assert measured[layer] == pytest.approx(
            expected, rel=0.02, abs=2e-3
        )  # scikit-learn breaks ties by noise


def test_binned_mutual_information_of_known_cases():
    labels = torch.tensor([0, 1] * 40)
    told, mute = (
        labels + 0.001 * torch.arange(80),
        torch.arange(80.0),
    )  # neighbours in rank alternate in label
    for bins in (2, 4, 8):
        assert signals.binned_mutual_information(told[:, None], labels, bins) == pytest.approx(math.log(2))
        assert signals.binned_mutual_information(mute[:, None], labels, bins) == pytest.approx(0.0, abs=1e-12)
    both = torch.stack([told, mute], dim=1)
    assert signals.binned_mutual_information(both, labels, 4) == pytest.approx(math.log(2) / 2)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=2, max_size=40), st.integers(2, 8), st.randoms())
def test_equal_features_share_a_bin(examples, bins, random):
    def estimate(pairs):
        values, labels = (torch.tensor(column) for column in zip(*pairs))
        return signals.binned_mutual_information(values.float()[:, None], labels, bins)

    shuffled = random.sample(examples, len(examples))
    assert estimate(shuffled) == pytest.approx(estimate(examples), abs=1e-12), "the order of the examples says nothing"
    assert estimate([(7, label) for _, label in examples]) == pytest.approx(0.0, abs=1e-12), "a constant tells nothing"
    smaller = [sum(other < value for other, _ in examples) * bins // len(examples) for value, _ in examples]
    assert estimate(examples) == pytest.approx(mutual_info_score(smaller, [label for _, label in examples]), abs=1e-12)


@pytest.mark.parametrize("pool_padding", [False, True])
def test_flow_mutual_information_by_least_squares(kind, pool_padding, tmp_path):
    model, batch = tiny_model(kind), padded_batch(kind)
    measured = signals.measure(model, batch, settings(tmp_path, pool_padding=pool_padding))[
        "Flow-Relevance-MI"
    ]
    activations, _, logits = outputs_of(model, batch)
    mask = mask_of(batch, pool_padding)
    following = [*activations[1:], np.repeat(logits[:, None], TOKENS, axis=1)]
    for layer, (here, after) in enumerate(zip(activations, following)):
        y, x = np.array(token_values(here, mask)), np.array(token_values(after, mask))
        x = np.column_stack([np.ones(len(x)), x])
        # Layer norm ties the features together: in that direction there is only float32 rounding, which rcond drops.
        residuals = y - x @ np.linalg.lstsq(x, y, rcond=1e-5)[0]
        expected = np.mean([np.var(y[:, f]) - np.var(residuals[:, f]) for f in range(y.shape[1])])
        assert measured[layer] == pytest.approx(expected, rel=1e-5)
        assert 0 < expected < np.var(y, axis=0).mean() * 0.999, "the oracle must lie between its bounds"


def test_explained_variance_with_dependent_predictors():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    x = np.column_stack([x, x[:, 0] + x[:, 1], np.ones(50)])  # as after a layer norm: no inverse
    y = x[:, :3] @ rng.normal(size=(3, 4)) + rng.normal(size=(50, 4))
    residuals = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    expected = (y.var(axis=0) - residuals.var(axis=0)).mean()
    assert signals.explained_variance(torch.tensor(y), torch.tensor(x)) == pytest.approx(expected, rel=1e-9)


def test_gradient_magnitudes_by_autograd(kind, tmp_path):
    model, batch = tiny_model(kind), padded_batch(kind)
    measured = signals.measure(model, batch, settings(tmp_path))["Gradient-Magnitudes"]
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    loss = F.cross_entropy(logits, batch["labels"])
    for number, layer in enumerate(encoder.layers(model)):
        gradients = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
        values = torch.cat([g.flatten().double() for g in gradients])
        assert measured[number] == pytest.approx(values.abs().mean().item(), rel=1e-4)


@pytest.mark.parametrize("kind", FAMILIES)
def test_fisher_by_one_backward_pass_per_example(kind, tmp_path):
    model, batch = tiny_model(kind), padded_batch(kind)
    measured = signals.measure(model, batch, settings(tmp_path))["Gradient-Fisher"]
    totals, sizes = (
        np.zeros(3),
        [sum(p.numel() for p in layer.parameters()) for layer in encoder.layers(model)],
    )
    for e in range(EXAMPLES):
        one = {name: tensor[e : e + 1] for name, tensor in batch.items()}
        logits = model(input_ids=one["input_ids"], attention_mask=one["attention_mask"]).logits
        loss = F.cross_entropy(logits, one["labels"])
        for number, layer in enumerate(encoder.layers(model)):
            gradients = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
            totals[number] += sum(g.double().square().sum().item() for g in gradients)
    assert measured.to_numpy() == pytest.approx(totals / EXAMPLES / sizes, rel=1e-4)


def test_fisher_by_torch_func(tmp_path):
    model, batch = tiny_model(), padded_batch()
    measured = signals.measure(model, batch, settings(tmp_path))["Gradient-Fisher"]
    model.set_attn_implementation("eager")
    fixed, parameters = (
        dict(model.named_buffers()),
        {name: p.detach() for name, p in model.named_parameters()},
    )

    def loss(parameters, ids, mask, label):
        hidden = torch.finfo(torch.float32).min * (
            1.0 - mask
        )  # as added to the scores: vmap allows no branch on it
        arguments = {"input_ids": ids[None], "attention_mask": hidden.expand(1, 1, TOKENS, TOKENS)}
        return F.cross_entropy(functional_call(model, (parameters, fixed), (), arguments).logits, label[None])

    per_example = vmap(grad(loss), in_dims=(None, 0, 0, 0))(
        parameters, batch["input_ids"], batch["attention_mask"], batch["labels"]
    )
    for layer in range(3):
        own = [g.flatten(1).double() for name, g in per_example.items() if f".layer.{layer}." in name]
        assert measured[layer] == pytest.approx(torch.cat(own, dim=1).square().mean().item(), rel=1e-4)


def test_fisher_is_not_the_square_of_the_mean_gradient(tmp_path):
    model, batch = tiny_model(), padded_batch()
    measured = signals.measure(model, batch, settings(tmp_path))
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    F.cross_entropy(logits, batch["labels"]).backward()
    squared = [
        torch.cat([p.grad.flatten() for p in layer.parameters()]).square().mean().item()
        for layer in encoder.layers(model)
    ]
    assert (measured["Gradient-Fisher"] > 1.5 * np.array(squared)).all()


def test_weight_signals_by_loops(kind, tmp_path):
    model, batch = tiny_model(kind), padded_batch(kind)
    measured = signals.measure(model, batch, settings(tmp_path))
    for number, layer in enumerate(encoder.layers(model)):
        matrices = [p for p in layer.parameters() if p.dim() == 2]
        fused = {"modernbert": 4}  # query, key and value are one matrix there
        assert len(matrices) == fused.get(kind, 6), "query, key, value, output and the two of the feed-forward network"
        sizes = [abs(w) for matrix in matrices for w in matrix.detach().double().flatten().tolist()]
        total = math.fsum(sizes)
        expected = {
            "Weight-Norm": math.sqrt(math.fsum(w * w for w in sizes)),
            "Weight-Sparsity": sum(w <= THRESHOLD for w in sizes) / len(sizes),
            "Weight-Entropy": -math.fsum(w / total * math.log(w / total) for w in sizes if w > 0),
        }
        assert dict(measured.loc[number, list(expected)]) == pytest.approx(expected, rel=1e-9)
        assert 0 < expected["Weight-Sparsity"] < 1


def test_weights_that_are_zero(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        encoder.layers(model)[1].output.dense.weight.zero_()
    measured = signals.measure(model, padded_batch(), settings(tmp_path).replace(sparsity_threshold=0.0))
    total = sum(p.numel() for p in encoder.layers(model)[1].parameters() if p.dim() == 2)
    assert measured["Weight-Sparsity"].tolist() == [0.0, 16 * 24 / total, 0.0]
    assert np.isfinite(measured.to_numpy()).all(), "0 log 0 is 0"


@pytest.mark.parametrize("pool_padding", [False, True])
def test_content_attention_by_loops(kind, pool_padding, tmp_path):
    model, batch = tiny_model(kind), padded_batch(kind)
    measured = signals.measure(model, batch, settings(tmp_path, pool_padding=pool_padding))[
        "Attention-Weight"
    ]
    lengths = batch["attention_mask"].sum(1).tolist()
    for number, attention in enumerate(outputs_of(model, batch)[1]):
        paid = [
            attention[e, head, i, j]
            for e in range(EXAMPLES)
            for head in range(2)
            for i in range(TOKENS if pool_padding else lengths[e])
            for j in range(1, lengths[e] - 1)  # not the first token, not the last real one, not padding
        ]
        assert measured[number] == pytest.approx(math.fsum(paid) / len(paid), rel=1e-6)


@pytest.mark.parametrize("pool_padding", [False, True])
def test_attention_entropy_by_loops(kind, pool_padding, tmp_path):
    model, batch = tiny_model(kind), padded_batch(kind)
    measured = signals.measure(model, batch, settings(tmp_path, pool_padding=pool_padding))[
        "Attention-Entropy"
    ]
    lengths = batch["attention_mask"].sum(1).tolist()
    for number, attention in enumerate(outputs_of(model, batch)[1]):
        total = 0.0
        for e in range(EXAMPLES):
            for head in range(2):
                for i in range(TOKENS if pool_padding else lengths[e]):
                    total -= sum(float(a) * math.log(a) for a in attention[e, head, i] if a > 0) / 2
        assert measured[number] == pytest.approx(total / EXAMPLES, rel=1e-5)


@pytest.mark.parametrize("tokens", [6, 9])
def test_attention_as_printed_is_one_over_n_whatever_the_layer(kind, tokens, tmp_path):
    params = settings(tmp_path, attention_weight="literal")
    measured = signals.measure(tiny_model(kind), padded_batch(kind, tokens=tokens), params)
    assert measured["Attention-Weight"].tolist() == pytest.approx([1 / tokens] * 3, rel=1e-6)
    assert signals.degenerate(measured) == ["Attention-Weight"]


OTHERWISE = {
    "signal_split": "validation", "signal_size": 16, "pool_padding": True, "mi_estimator": "knn", "mi_bins": 3, "attention_weight": "literal",
    "sparsity_threshold": 0.02,
}  # fmt: skip


@hypothesis.settings(max_examples=25)
@given(wanted=st.sets(st.sampled_from(SIGNALS)))
def test_a_signal_does_not_depend_on_which_others_are_wanted(wanted, tmp_path_factory):
    params = settings(tmp_path_factory.getbasetemp())
    measured = signals.measure(tiny_model("bert"), padded_batch("bert"), params, wanted)
    every = signals.measure(tiny_model("bert"), padded_batch("bert"), params)
    assert list(measured) == [name for name in SIGNALS if name in wanted] and measured.equals(every[list(measured)])


@pytest.mark.parametrize("name", fingerprint.MEASURING)
def test_what_each_parameter_of_measuring_changes(name, kind, tmp_path):
    """What `MEASURING` says: the signals it names take other values, all others the very same ones."""
    model, batch, params = tiny_model(kind), padded_batch(kind), settings(tmp_path)
    usual, other = measured_of(model, batch, params), measured_of(model, batch, params.replace(**{name: OTHERWISE[name]}))
    assert {column for column in usual if not usual[column].equals(other[column])} == fingerprint.MEASURING[name]
    here, there = (fingerprint.of_measuring(each) for each in (params, params.replace(**{name: OTHERWISE[name]})))
    assert {signal for signal in here if here[signal] != there[signal]} == fingerprint.MEASURING[name]


def measured_of(model, batch, params):
    """Return the signals and the Block Influence of the texts that the parameters name, of 37 that stand for both splits."""
    dataset = types.SimpleNamespace(train=batch, validation={part: values.flip(0) for part, values in batch.items()})
    used = compute.signal_batch(params.replace(signal_size=min(params.signal_size, 20)), dataset)
    return signals.measure(model, used, params).assign(block_influence=signals.block_influence(model, used))


def test_degenerate_signals_are_found(tmp_path):
    measured = signals.measure(tiny_model(), padded_batch(), settings(tmp_path))
    assert signals.degenerate(measured) == []
    literal = settings(tmp_path, attention_weight="literal").replace(sparsity_threshold=0.0)
    assert signals.degenerate(signals.measure(tiny_model(), padded_batch(), literal)) == [
        "Weight-Sparsity",
        "Attention-Weight",
    ]
    assert signals.degenerate(measured.iloc[:1]) == [], "one layer needs no ranking"
    close = pd.DataFrame({"a": [1.0, 1.0 + 1e-9], "b": [1.0, 1.001], "c": [-5.0, -5.0]})
    assert signals.degenerate(close) == ["a", "c"]
    assert signals.degenerate(close.assign(a=math.nan, b=[1.0, math.nan])) == ["a", "b", "c"], "no number, no ranking"


@pytest.mark.parametrize("chunk", [1, 5, 37, 1000])
def test_the_chunk_does_not_matter(chunk, tmp_path, monkeypatch):
    params = settings(tmp_path)
    wanted = signals.measure(tiny_model(), padded_batch(), params)
    monkeypatch.setattr(signals, "CHUNK", chunk)
    pd.testing.assert_frame_equal(
        signals.measure(tiny_model(), padded_batch(), params), wanted, rtol=1e-5, atol=1e-9
    )


def test_a_gpu_takes_more_texts_at_a_time_the_fewer_tokens_they_have():
    """`meta` tensors stand for those of a GPU: what counts is that they are not on the processor."""
    def at_once(tokens, device="meta"):
        return signals._at_once({name: torch.empty(256, tokens, device=device) for name in ("input_ids", "labels")})

    assert [at_once(tokens) for tokens in (16, 32, 128, 512)] == [256, 128, 32, signals.CHUNK]
    assert at_once(16, "cpu") == at_once(512, "cpu") == signals.CHUNK


class Reads(TorchDispatchMode):
    """Counts the numbers that are read: a GPU is waited for each time."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function.overloadpacket.__name__ in ("_local_scalar_dense", "item")  # the latter in inference mode
        return function(*args, **(kwargs or {}))


def test_nothing_is_read_before_the_passes_are_over(kind, tmp_path, monkeypatch):
    """However many chunks and parameters a layer has, no more numbers are waited for, but those that transformers itself reads."""
    model, batch, params = tiny_model(kind), padded_batch(kind), settings(tmp_path)
    asked = {
        "both passes": (True, lambda: signals.measure(model, batch, params)),
        "the forward pass": (False, lambda: signals.measure(model, batch, params, ["Activation-Energy", "Attention-Weight", "Flow-Relevance-MI"])),
        "block influence": (False, lambda: signals.block_influence(model, batch)),
    }
    for what, (backward, measure) in asked.items():
        with torch.inference_mode(not backward), Reads() as own:
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        counts = []
        for chunk in (7, 37):
            monkeypatch.setattr(signals, "CHUNK", chunk)
            with Reads() as reads:
                measure()
            counts.append(reads.count - own.count * -(-EXAMPLES // chunk))
        assert counts[0] == counts[1] <= 12 + 5 * 3, f"{what}: some for each signal, and of each layer's information"


def test_where_memory_runs_out_fewer_texts_are_taken_at_a_time(tmp_path, monkeypatch):
    model, batch, params, sizes = tiny_model(), padded_batch(), settings(tmp_path), []
    expected, whole = signals.measure(model, batch, params), signals._forward_backward

    def short_of_memory(*arguments):
        sizes.append(arguments[-1])
        if arguments[-1] > signals.CHUNK:
            raise torch.OutOfMemoryError("no room")
        return whole(*arguments)

    monkeypatch.setattr(signals, "_forward_backward", short_of_memory)
    monkeypatch.setattr(signals, "_at_once", lambda batch: 4 * signals.CHUNK)
    pd.testing.assert_frame_equal(signals.measure(model, batch, params), expected, check_exact=True)
    assert sizes == [4 * signals.CHUNK, signals.CHUNK]


def test_wider_padding_does_not_matter(tmp_path):
    """Three more columns of padding leave every signal that is read over real tokens as it was."""
    batch, params = padded_batch(), settings(tmp_path)
    longer = {**batch, **{name: F.pad(batch[name], (0, 3)) for name in ("input_ids", "attention_mask")}}
    pd.testing.assert_frame_equal(
        signals.measure(tiny_model(), longer, params),
        signals.measure(tiny_model(), batch, params),
        rtol=1e-4,
        atol=1e-7,
    )
    padding = params.replace(pool_padding=True)
    changed = (
        signals.measure(tiny_model(), longer, padding) / signals.measure(tiny_model(), batch, padding) - 1
    )
    moved = changed.abs().max() > 1e-3
    read_over_tokens = [
        name for name in SIGNALS if name.startswith(("Activation", "Task", "Flow", "Attention"))
    ]
    assert moved[read_over_tokens].all() and not moved.drop(read_over_tokens).any()


def test_measuring_leaves_the_model_as_it_was(kind, tmp_path):
    model, batch = tiny_model(kind), padded_batch(kind)
    before, logits = {n: p.clone() for n, p in model.named_parameters()}, logits_of(model, batch)
    implementation = model.config._attn_implementation
    first = signals.measure(model, batch, settings(tmp_path))
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert all(p.grad is None for p in model.parameters())
    assert model.config._attn_implementation == implementation
    assert torch.equal(logits_of(model, batch), logits)
    pd.testing.assert_frame_equal(
        signals.measure(model.train(), batch, settings(tmp_path)), first, check_exact=True
    )
    hooks = [type(hook).__name__ for module in model.modules() for hook in module._forward_hooks.values()]
    assert "_Watcher" not in hooks


def test_a_pruned_model_keeps_its_numbers(tmp_path):
    smaller = encoder.remove_layers(tiny_model(layers=4), [1])
    measured = signals.measure(smaller, padded_batch(), settings(tmp_path))
    assert list(measured.index) == [0, 2, 3] and measured.index.name == "layer"
    assert tuple(measured.columns) == SIGNALS and len(SIGNALS) == 12
    smaller.config.original_layers = None  # the same layers, now called 0, 1, 2
    again = signals.measure(smaller, padded_batch(), settings(tmp_path))
    assert list(again.index) == [0, 1, 2]
    assert np.array_equal(again.to_numpy(), measured.to_numpy())


def test_no_layers_no_rows(tmp_path):
    empty = encoder.remove_layers(tiny_model(), [0, 1, 2])
    measured = signals.measure(empty, padded_batch(), settings(tmp_path))
    assert measured.shape == (0, 12) and tuple(measured.columns) == SIGNALS


@pytest.mark.parametrize("kind", FAMILIES)
def test_signals_without_the_first_layer_are_those_of_the_model_when_it_is_read_again(kind, tmp_path):
    """Where a spacer stands in for it, too, which must run as the other layers do."""
    smaller, batch = encoder.remove_layers(tiny_model(kind), [0]), padded_batch(kind)
    plain = encoder.as_plain(smaller)
    read = type(plain).from_pretrained(None, config=copy.deepcopy(plain.config), state_dict=plain.state_dict()).eval()
    found, again = (signals.measure(model, batch, settings(tmp_path)) for model in (smaller, read))
    assert list(found.index) == [1, 2] and np.isfinite(found.to_numpy()).all()
    np.testing.assert_allclose(found.to_numpy(), again.to_numpy(), rtol=1e-5)
