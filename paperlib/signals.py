"""Measure the paper's twelve layer signals (section 2.2), together, in one forward and one backward pass."""

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

import pandas as pd
import torch
from sklearn.feature_selection import mutual_info_classif
from torch.nn import functional as F
from transformers import PreTrainedModel

from paperlib.data.subsets import Batch
from paperlib.model.encoder import layer_numbers
from paperlib.model.families import caught_ends, caught_outputs, family, layers, own
from paperlib.model.per_example_gradients import one_by_one, squared_gradients
from paperlib.names import SIGNALS
from paperlib.params import Params

OF_WEIGHTS = {"Weight-Norm", "Weight-Sparsity", "Weight-Entropy"}  # they need no pass
OF_GRADIENTS = {"Gradient-Magnitudes", "Gradient-Fisher"}  # they need a backward pass
CHUNK = 32  # examples at a time: bounds the memory of the activations kept for the backward pass
TOKENS_ON_GPU = 4096  # on a GPU as many examples as hold so many, where its memory bears it: every chunk is launched anew
TIE_TOLERANCE = 1e-6  # relative; below it, differences are rounding


def measure(model: PreTrainedModel, batch: Batch, params: Params, wanted: Collection[str] = SIGNALS) -> pd.DataFrame:
    """Return the twelve signals of every remaining layer: index = original layer numbers, columns = SIGNALS.

    `batch` holds input_ids and attention_mask (examples, tokens) and labels (examples,). Definitions are those of
    section 2.2; `pool_padding`, `mi_estimator`, `mi_bins`, `attention_weight` and `sparsity_threshold` settle what
    the paper leaves open. Only the `wanted` signals are returned, in the order of SIGNALS, and passes that none of
    them needs are left out; a signal does not depend on which others are wanted.
    """
    numbers, names = layer_numbers(model), [name for name in SIGNALS if name in wanted]
    if not numbers:
        return pd.DataFrame(columns=names, dtype=float)
    columns = {}
    if OF_WEIGHTS & set(names):
        columns |= _weight_signals(model, params.sparsity_threshold)
    if set(names) - OF_WEIGHTS:
        columns |= _pass_signals(model, batch, params, names)
    return pd.DataFrame(columns, index=pd.Index(numbers, name="layer"), dtype=float)[names]


def _pass_signals(model: PreTrainedModel, batch: Batch, params: Params, wanted: Collection[str]) -> dict[str, list[float]]:
    """Measure what a forward pass tells, and where it is wanted a backward pass."""
    backward = not OF_GRADIENTS.isdisjoint(wanted)
    passes = None
    with contextlib.suppress(torch.OutOfMemoryError):
        passes = _forward_backward(model, batch, params, backward, _at_once(batch))
    if passes is None:  # only now, as the error would hold on to what did not fit
        torch.cuda.empty_cache()
        passes = _forward_backward(model, batch, params, backward, CHUNK)
    columns = {
        **_activation_signals(passes["activations"], passes["tokens"]),
        "Attention-Weight": passes["attention_weight"],
        "Attention-Entropy": passes["attention_entropy"],
    }
    if "Task-Relevance-MI" in wanted:  # these three are dear
        columns["Task-Relevance-MI"] = [_task_mi(a, passes["tokens"], batch["labels"], params) for a in passes["activations"]]
    if "Flow-Relevance-MI" in wanted:
        columns["Flow-Relevance-MI"] = _flow_mi(passes["activations"], passes["logits"], passes["tokens"])
    if backward:
        columns |= _gradient_signals(model, passes["squares"], len(batch["labels"]))
    return columns


@torch.inference_mode()
def block_influence(model: PreTrainedModel, batch: Batch) -> pd.Series:
    """Return 1 - cosine of each layer's input and output, mean over all real tokens, by layer: it needs no labels.

    The lowest goes first (ShortGPT, arXiv 2403.03853).
    """
    numbers, totals = layer_numbers(model), []
    if not numbers:
        return pd.Series(index=pd.Index([], name="layer"), name="block_influence", dtype=float)
    model.eval()
    for ids, mask, _ in _chunks(batch, CHUNK):
        with caught_ends(model) as ends:
            model(input_ids=ids, attention_mask=mask)
        real = [[state[mask.bool()].double() for state in pair] for pair in ends]
        totals.append(torch.stack([(1 - F.cosine_similarity(*pair, dim=-1)).sum() for pair in real]))
    values = (sum(totals) / batch["attention_mask"].sum()).cpu().numpy()
    return pd.Series(values, index=pd.Index(numbers, name="layer"), name="block_influence", dtype=float)


def degenerate(signals: pd.DataFrame) -> list[str]:
    """List the signals that cannot rank anything: the same value, up to rounding, in every layer, or a number in none."""
    spread = signals.max() - signals.min()
    return list(signals.columns[~(spread > TIE_TOLERANCE * signals.abs().max())]) if len(signals) > 1 else []


def _forward_backward(model: PreTrainedModel, batch: Batch, params: Params, backward: bool, size: int) -> dict:
    """Run both passes, or the forward one alone, in evaluation mode and float32, `size` examples at a time.

    Leaves the gradient of the mean loss in `.grad`; returns what the signals need: `activations` (one tensor
    (examples, tokens, hidden) per layer), `logits`, `tokens` (the mask of tokens that count), `squares` and attention.
    """
    n = len(batch["labels"])
    kept, attention = defaultdict(list), []
    implementation = model.config._attn_implementation
    model.eval()
    model.zero_grad()
    model.set_attn_implementation("eager")  # the fused kernels never hold the attention weights
    try:
        with _squares(model, batch) if backward else torch.inference_mode() as squares:
            for ids, mask, labels in _chunks(batch, size):
                with caught_outputs(model) as outputs:
                    out = model(input_ids=ids, attention_mask=mask, output_attentions=True)
                if backward:
                    (F.cross_entropy(out.logits, labels, reduction="sum") / n).backward()
                kept["activations"].append([hidden.detach() for hidden in outputs])
                kept["logits"].append(out.logits.detach())
                attention.append(torch.stack([_attention_sums(a.detach(), mask, params) for a in own(model, out.attentions)]))
    finally:
        model.set_attn_implementation(implementation)
    weight, entropy, pairs = sum(attention).T.cpu().numpy()
    return {
        "activations": [torch.cat(parts) for parts in zip(*kept["activations"])],
        "logits": torch.cat(kept["logits"]),
        "tokens": _counted(batch, params),
        "squares": squares,
        "attention_weight": weight / pairs,
        "attention_entropy": entropy / n,
    }


@contextlib.contextmanager
def _squares(model: PreTrainedModel, batch: Batch) -> Iterator[list[torch.Tensor]]:
    """Yield the sums of squared gradients of each layer, complete at the end of the block with the passes over `batch`."""
    if family(model).maps_once:
        with squared_gradients(layers(model)) as sums:
            yield sums
        return
    n = len(batch["labels"])
    losses = (F.cross_entropy(model(input_ids=ids, attention_mask=mask).logits, label) / n for ids, mask, label in _chunks(batch, 1))
    yield one_by_one(layers(model), losses)


def _at_once(batch: Batch) -> int:
    """Return how many examples go through a model at a time."""
    tokens = batch["input_ids"].shape[1]
    return CHUNK if batch["labels"].device.type == "cpu" else max(CHUNK, TOKENS_ON_GPU // tokens)


def _chunks(batch: Batch, size: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield input_ids, attention_mask and labels of so many examples at a time."""
    return zip(*(batch[name].split(size) for name in ("input_ids", "attention_mask", "labels")))


def _counted(batch: Batch, params: Params) -> torch.Tensor:
    """Mark the tokens that count in the activations (examples, tokens): the real ones, or with padding all."""
    mask = batch["attention_mask"]
    return torch.ones_like(mask).bool() if params.pool_padding else mask.bool()


def _activation_signals(activations: list[torch.Tensor], tokens: torch.Tensor) -> dict[str, list[float]]:
    """Mean, mean absolute and mean squared activation over tokens and features (equations 1, 2 and 4)."""
    used = [a[tokens].double() for a in activations]
    return {
        "Activation-Inhibition": _read(a.mean() for a in used),
        "Activation-Intensity": _read(a.abs().mean() for a in used),
        "Activation-Energy": _read(a.square().mean() for a in used),
    }


def _read(values: Iterable[torch.Tensor]) -> list[float]:
    """Read single numbers, all at once: a GPU is waited for once."""
    return torch.stack(list(values)).tolist()


def _task_mi(activation: torch.Tensor, tokens: torch.Tensor, labels: torch.Tensor, params: Params) -> float:
    """Mutual information, in nats, of the label and each mean-pooled feature, averaged over features."""
    weights = tokens.unsqueeze(-1).float()
    pooled = (activation * weights).sum(1) / weights.sum(1)  # (examples, hidden)
    if not pooled.isfinite().all():
        return float("nan")
    if params.mi_estimator == "knn":
        return float(mutual_info_classif(pooled.cpu().numpy(), labels.cpu().numpy(), random_state=params.seed).mean())
    return binned_mutual_information(pooled, labels, params.mi_bins)


def binned_mutual_information(features: torch.Tensor, labels: torch.Tensor, bins: int) -> float:
    """Plug-in estimate of I(feature; label) with equal-frequency bins, in nats, averaged over features.

    `features` is (examples, features). Equal values share a bin, whatever the order of the examples: that of the first
    of them. All joint counts come from one matrix product.
    """
    n, width = features.shape
    by_feature = features.T.contiguous()
    ranks = torch.searchsorted(by_feature.sort().values, by_feature).T  # how many are smaller
    binned = F.one_hot(ranks * bins // n, bins).double().reshape(n, width * bins)
    joint = (binned.T @ F.one_hot(labels).double()).reshape(width, bins, -1) / n
    independent = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    terms = torch.special.xlogy(joint, joint) - torch.special.xlogy(joint, independent)
    return terms.sum(dim=(1, 2)).mean().item()


def _flow_mi(activations: list[torch.Tensor], logits: torch.Tensor, tokens: torch.Tensor) -> list[float]:
    """Var(A_l) - Var(A_l given A_l+1), averaged over features; after the last layer come the logits (equations 7 and 8)."""
    used = [a[tokens].double() for a in activations]
    last = logits.unsqueeze(1).expand(-1, tokens.shape[1], -1)[tokens].double()
    return [explained_variance(a, following) for a, following in zip(used, [*used[1:], last])]


def explained_variance(targets: torch.Tensor, predictors: torch.Tensor) -> float:
    """Variance of `targets` (rows, features) that least squares on `predictors` removes, averaged over features."""
    if not (targets.isfinite().all() and predictors.isfinite().all()):  # of a model whose training diverged
        return float("nan")
    y = targets - targets.mean(0)
    x = predictors - predictors.mean(0)
    # Layer norm makes the features linearly dependent, so the covariance has no inverse.
    inverse = torch.linalg.pinv(x.T @ x / len(x), rtol=1e-10, hermitian=True)
    cross = x.T @ y / len(x)
    return ((cross * (inverse @ cross)).sum() / y.shape[1]).item()


def _gradient_signals(model: PreTrainedModel, squares: list[float], n: int) -> dict[str, list[float]]:
    """Mean absolute gradient of the mean loss, and mean squared gradient of the single losses (equations 9 and 10)."""
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in layers(model)]
    totals = _read(sum(p.grad.abs().sum(dtype=torch.float64) for p in layer.parameters()) for layer in layers(model))
    model.zero_grad()
    return {
        "Gradient-Magnitudes": [total / size for total, size in zip(totals, sizes)],
        # The chunks' losses were divided by n, hence n^2; the mean over n examples divides by n again.
        "Gradient-Fisher": [square * n / size for square, size in zip(_read(squares), sizes)],
    }


def _weight_signals(model: PreTrainedModel, threshold: float) -> dict[str, list[float]]:
    """L2 norm, share of near-zeros and entropy of all weight matrices of a layer (equations 11, 13 and 14)."""
    columns = defaultdict(list)
    for layer in layers(model):
        weights = torch.cat([p.detach().flatten() for p in layer.parameters() if p.dim() >= 2]).abs().double()
        shares = weights / weights.sum()
        columns["Weight-Norm"].append(weights.norm())
        columns["Weight-Sparsity"].append((weights <= threshold).double().mean())
        columns["Weight-Entropy"].append(-torch.special.xlogy(shares, shares).sum())
    return {name: _read(values) for name, values in columns.items()}


def _attention_sums(attention: torch.Tensor, mask: torch.Tensor, params: Params) -> torch.Tensor:
    """Sum attention weights and entropies of a chunk (equations 15 and 16), (3,): weight, entropy, number of pairs.

    `attention` is (examples, heads, tokens, tokens), rows are the tokens that attend.
    """
    heads = attention.shape[1]
    counted = torch.ones_like(mask) if params.pool_padding else mask
    rows = counted[:, None, :, None].double()
    if params.attention_weight == "literal":
        pairs = torch.ones_like(mask[:, None, :, None] * mask[:, None, None, :]).double()
    else:
        pairs = rows * _content(mask)[:, None, None, :].double()
    exact = attention.double()
    entropy = -(torch.special.xlogy(exact, exact) * rows).sum() / heads
    return torch.stack([(exact * pairs).sum(), entropy, pairs.sum() * heads])


def _content(mask: torch.Tensor) -> torch.Tensor:
    """Mark the real tokens between the first, [CLS], and the last, [SEP]; padding is on the right."""
    inner = mask.clone()
    inner[:, 0] = 0
    inner[torch.arange(len(mask), device=mask.device), mask.sum(1) - 1] = 0
    return inner
