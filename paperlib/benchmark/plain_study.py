"""The parts of the study as most people would write them: the yardstick of `make bench`, never used for results.

Hugging Face's `Trainer` for every fine-tune and every prediction, with its default data loader and collator; each
family of signals in a pass of its own; one ablation at a time, on a copy of the model without the layer. Data, model,
hyper-parameters and definitions are those of the study, but for three defaults that are left as they come: `Trainer`
spares biases and layer norms from weight decay, computes in float32 unless `precision` is bf16, and the mutual
information with the label is scikit-learn's estimate from nearest neighbours.
"""

import contextlib
import copy
import tempfile
import warnings
from collections.abc import Iterator

import datasets
import numpy as np
import pandas as pd
import torch
from sklearn.feature_selection import mutual_info_classif
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments, default_data_collator

from paperlib.data.subsets import Dataset
from paperlib.model.encoder import layer_numbers, layers
from paperlib.model.families import all_layers
from paperlib.params import Params

Model, Examples, Columns, Arrays = PreTrainedModel, datasets.Dataset, dict[str, list[float]], list[np.ndarray]


def examples_of(dataset: Dataset, split: str) -> Examples:
    """Return a subset of the study's data as a table of tokenised texts, with the tokeniser's own ids."""
    batch = {name: tensor.cpu() for name, tensor in getattr(dataset, split).items()}
    batch["input_ids"] = dataset.token_ids.cpu()[batch["input_ids"]]
    return datasets.Dataset.from_dict({name: tensor.tolist() for name, tensor in batch.items()})


def fine_tune(model: Model, train: Examples, params: Params, seed: int) -> Model:
    """Fine-tune in place with a `Trainer`; return the model."""
    with _trainer(model, params, train_dataset=train, seed=seed) as trainer:
        trainer.train()
    return model.eval()


def predict(model: Model, examples: Examples, params: Params) -> np.ndarray:
    """Return the logits (examples, classes)."""
    with _trainer(model, params) as trainer:
        return trainer.predict(examples).predictions


def accuracy(model: Model, examples: Examples, params: Params) -> float:
    """Return the share of examples that are classified correctly."""
    return float((predict(model, examples, params).argmax(-1) == np.array(examples["labels"])).mean())


def accuracy_drops(model: Model, examples: Examples, params: Params) -> pd.Series:
    """Return the accuracy lost when each remaining layer is deleted, one at a time: index = original layer numbers."""
    original, drops = accuracy(model, examples, params), []
    for position in range(len(layers(model))):
        smaller = copy.deepcopy(model)
        del all_layers(smaller)[position]
        smaller.config.num_hidden_layers -= 1
        drops.append(original - accuracy(smaller, examples, params))
    return pd.Series(drops, index=pd.Index(layer_numbers(model), name="layer"), name="drop")


def activation_signals(model: Model, examples: Examples, params: Params) -> Columns:
    """Mean, mean absolute and mean squared activation (equations 1, 2 and 4)."""
    tokens = _activations(model, examples, params)[0]
    readings = {"Activation-Inhibition": np.asarray, "Activation-Intensity": np.abs, "Activation-Energy": np.square}
    return {name: [read(a).mean() for a in tokens] for name, read in readings.items()}


def task_relevance(model: Model, examples: Examples, params: Params) -> Columns:
    """Mutual information of the label and each pooled feature, from nearest neighbours, averaged over features."""
    pooled, labels = _activations(model, examples, params)[1], np.array(examples["labels"])
    return {"Task-Relevance-MI": [mutual_info_classif(p, labels, random_state=params.seed).mean() for p in pooled]}


def flow_relevance(model: Model, examples: Examples, params: Params) -> Columns:
    """Variance of a layer's activations that least squares on the next layer's explains (equations 7 and 8)."""
    tokens, _, logits = _activations(model, examples, params)
    explained = []
    for here, following in zip(tokens, [*tokens[1:], logits]):
        x = np.column_stack([np.ones(len(following)), following])
        # A layer norm ties the features together; in the direction that is left there is only rounding.
        residual = here - x @ np.linalg.lstsq(x, here, rcond=1e-5)[0]
        explained.append((here.var(axis=0) - residual.var(axis=0)).mean())
    return {"Flow-Relevance-MI": explained}


def gradient_magnitudes(model: Model, examples: Examples, params: Params) -> Columns:
    """Mean absolute gradient of the mean loss (equation 9)."""
    model.eval().zero_grad()
    for batch in _batches(model, examples, params.batch_size):
        (model(**batch).loss * len(batch["labels"]) / len(examples)).backward()
    magnitudes = [gradient.abs().mean().item() for gradient in _layer_gradients(model)]
    model.zero_grad()
    return {"Gradient-Magnitudes": magnitudes}


def fisher(model: Model, examples: Examples, params: Params) -> Columns:
    """Mean squared gradient of the single examples' losses (equation 10): one backward pass per example."""
    model.eval()
    sums = np.zeros(len(layers(model)))
    for example in _batches(model, examples, 1):
        model.zero_grad()
        model(**example).loss.backward()
        sums += [gradient.square().mean().item() for gradient in _layer_gradients(model)]
    model.zero_grad()
    return {"Gradient-Fisher": list(sums / len(examples))}


def weight_signals(model: Model, examples: Examples, params: Params) -> Columns:
    """L2 norm, share of near-zeros and entropy of a layer's weight matrices (equations 11, 13 and 14)."""
    matrices = [[p.detach().flatten() for p in layer.parameters() if p.dim() > 1] for layer in layers(model)]
    weights = [torch.cat(each).double().abs().cpu().numpy() for each in matrices]
    shares = [w[w > 0] / w.sum() for w in weights]  # 0 log 0 is 0
    return {
        "Weight-Norm": [np.linalg.norm(w) for w in weights],
        "Weight-Sparsity": [(w <= params.sparsity_threshold).mean() for w in weights],
        "Weight-Entropy": [-(p * np.log(p)).sum() for p in shares],
    }


def attention_signals(model: Model, examples: Examples, params: Params) -> Columns:
    """Mean attention paid to content tokens, and entropy of attention (equations 15 and 16)."""
    weights, entropies, pairs = np.zeros((3, len(layers(model))))
    implementation = model.config._attn_implementation
    model.eval().set_attn_implementation("eager")  # the default kernels return no attention
    for batch in _batches(model, examples, params.batch_size):
        with torch.no_grad():
            out = model(**batch, output_attentions=True)
        for i, layer in enumerate(out.attentions):
            for attention, mask in zip(layer.double().cpu().numpy(), batch["attention_mask"].cpu().numpy()):
                length = attention.shape[1] if params.pool_padding else mask.sum()
                rows = attention[:, :length]
                paid = attention if params.attention_weight == "literal" else rows[:, :, 1 : mask.sum() - 1]
                weights[i] += paid.sum()
                pairs[i] += paid.size
                entropies[i] -= (rows * np.log(np.where(rows > 0, rows, 1))).sum() / len(attention)
    model.set_attn_implementation(implementation)
    return {"Attention-Weight": list(weights / pairs), "Attention-Entropy": list(entropies / len(examples))}


FAMILIES = {
    activation_signals: ("Activation-Inhibition", "Activation-Intensity", "Activation-Energy"),
    task_relevance: ("Task-Relevance-MI",),
    flow_relevance: ("Flow-Relevance-MI",),
    gradient_magnitudes: ("Gradient-Magnitudes",),
    fisher: ("Gradient-Fisher",),
    weight_signals: ("Weight-Norm", "Weight-Sparsity", "Weight-Entropy"),
    attention_signals: ("Attention-Weight", "Attention-Entropy"),
}  # each measures these signals in a pass of its own


@contextlib.contextmanager
def _trainer(model: Model, params: Params, train_dataset: Examples | None = None, seed: int = 0) -> Iterator[Trainer]:
    """Make a `Trainer` that writes nothing: saving and logging would only make it slower."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")  # it says so at every use of a processor
        arguments = TrainingArguments(
            output_dir=folder, save_strategy="no", report_to="none", disable_tqdm=True,
            use_cpu=model.device.type == "cpu", bf16=params.precision == "bf16", seed=seed % 2**31,
            num_train_epochs=params.epochs, lr_scheduler_type=params.schedule,
            per_device_train_batch_size=params.batch_size, per_device_eval_batch_size=params.batch_size,
            learning_rate=params.learning_rate, weight_decay=params.weight_decay, max_grad_norm=params.max_grad_norm,
        )  # fmt: skip
        trainer = Trainer(model=model, args=arguments, train_dataset=train_dataset)
        trainer.remove_callback(PrinterCallback)
        yield trainer


def _batches(model: Model, examples: Examples, size: int) -> Iterator[dict[str, torch.Tensor]]:
    for batch in DataLoader(examples, batch_size=size, collate_fn=default_data_collator):
        yield {name: tensor.to(model.device) for name, tensor in batch.items()}


def _activations(model: Model, examples: Examples, params: Params) -> tuple[Arrays, Arrays, np.ndarray]:
    """Return each layer's activations of the tokens that count (tokens, hidden) and their means by example.

    The third is the logits, repeated for every token (tokens, classes).
    """
    tokens, pooled, logits = [[] for _ in layers(model)], [[] for _ in layers(model)], []
    model.eval()
    for batch in _batches(model, examples, params.batch_size):
        with torch.no_grad():
            out = model(**batch, output_hidden_states=True)
        mask = torch.ones_like(batch["attention_mask"]) if params.pool_padding else batch["attention_mask"]
        lengths = mask.sum(1).cpu().numpy()
        logits.append(np.repeat(out.logits.double().cpu().numpy(), lengths, axis=0))
        for i, hidden in enumerate(out.hidden_states[1:]):
            tokens[i].append(hidden[mask.bool()].double().cpu().numpy())
            pooled[i].append(((hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)).cpu().numpy())
    return [np.concatenate(t) for t in tokens], [np.concatenate(p) for p in pooled], np.concatenate(logits)


def _layer_gradients(model: Model) -> list[torch.Tensor]:
    return [torch.cat([p.grad.flatten() for p in layer.parameters()]).double() for layer in layers(model)]
