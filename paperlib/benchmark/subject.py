"""What is timed: one study's data and model, as our code holds them and as the plain version does."""

import copy
from dataclasses import dataclass
from functools import cached_property, lru_cache

import datasets
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, PreTrainedModel

from paperlib.benchmark import plain_study
from paperlib.data import subsets
from paperlib.data.subsets import Batch, Dataset
from paperlib.model import encoder, training
from paperlib.model.device import device_of
from paperlib.nodes.node import seed_of
from paperlib.params import Params

# Random weights and made-up token ids in the shapes of known models: for timing, nothing has to be downloaded.
SHAPES = {
    "bert-base": {},  # what BertConfig says by default: 12 layers, hidden size 768
    "bert-tiny": {"num_hidden_layers": 2, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512},
}
CLASSES = 20  # of made-up data: as many as newsgroup has
PLAIN_THREADS = torch.get_num_threads()  # PyTorch's own choice, read before anything changes it
SHORT_BATCHES = 8  # of a fine-tune where its length does not matter


@dataclass(frozen=True)
class Subject:
    """One study to be timed; whatever is not asked for is not loaded."""

    params: Params
    shapes: str = ""

    @property
    def name(self) -> str:
        """Name the model."""
        return f"{self.shapes} shapes, random weights, made-up token ids" if self.shapes else self.params.model

    @property
    def device(self) -> torch.device:
        """The device that is timed."""
        return device_of(self.params)

    @property
    def layers(self) -> int:
        """L, the number of layers of the original model."""
        return len(encoder.layers(self.whole))

    @cached_property
    def dataset(self) -> Dataset:
        """The subsets as our code holds them: tensors on the device, ids renumbered."""
        made = _made_up(self.params, BertConfig(**SHAPES[self.shapes]).vocab_size) if self.shapes else None
        dataset = made or subsets.load(self.params, encoder.load_tokenizer(self.params))
        for batch in (dataset.train, dataset.validation, dataset.test):
            batch.update({name: tensor.to(self.device) for name, tensor in batch.items()})
        return dataset

    @cached_property
    def whole(self) -> PreTrainedModel:
        """The pretrained model with its full embedding table, which the plain version trains."""
        if not self.shapes:
            tokenizer = encoder.load_tokenizer(self.params)
            return encoder.load_model(self.params, self.dataset.class_names, tokenizer).to(self.device)
        torch.manual_seed(self.params.seed)
        config = BertConfig(**SHAPES[self.shapes], num_labels=CLASSES)
        return AutoModelForSequenceClassification.from_config(config).to(self.device)

    @cached_property
    def cut(self) -> PreTrainedModel:
        """The same model with the table cut to the ids in use, which our code trains."""
        copied = copy.deepcopy(self.whole).cpu()
        return encoder.restrict_vocabulary(copied, self.dataset.token_ids.cpu()).to(self.device)

    @cached_property
    def examples(self) -> dict[str, datasets.Dataset]:
        """The subsets as the plain version holds them."""
        return {split: plain_study.examples_of(self.dataset, split) for split in ("train", "validation", "test")}

    @cached_property
    def fitted(self) -> PreTrainedModel:
        """The original model after its fine-tune by our code, one thread: what is measured both ways."""
        model = self.ours(self.layers)
        training.fine_tune(model, self.dataset.train, self.params, self.seed())
        return model

    @cached_property
    def fitted_whole(self) -> PreTrainedModel:
        """The fine-tuned model with its full embedding table: the same function of the texts."""
        table = self.whole.get_input_embeddings().weight.detach().cpu()
        return encoder.restore_vocabulary(self.fitted, table, self.dataset.token_ids.cpu()).to(self.device)

    def ours(self, left: int) -> PreTrainedModel:
        """Return a new copy for our code with the first `left` layers."""
        return encoder.remove_layers(self.cut, list(range(left, self.layers)))

    def plain(self, left: int) -> PreTrainedModel:
        """Return a new copy for the plain version with the first `left` layers."""
        return encoder.remove_layers(self.whole, list(range(left, self.layers)))

    def seed(self) -> int:
        """Return the seed of the original model's fine-tune."""
        return seed_of(self.params.seed, self.params.dataset, ())

    @property
    def signal_batches(self) -> dict[str, Batch | datasets.Dataset]:
        """The examples on which signals are measured, for our code and for the plain version."""
        split, size = self.params.signal_split, self.params.signal_size
        ours = subsets.subset(getattr(self.dataset, split), size)
        return {"ours": ours, "plain": self.examples[split].select(range(size))}

    def few(self, batches: int) -> Params:
        """Return the parameters of a fine-tune of so many batches and one epoch, of two examples at least."""
        size = min(self.params.train_size, max(batches * self.params.batch_size, 2))
        return self.params.replace(train_size=size, signal_size=min(self.params.signal_size, size), epochs=1)


@lru_cache(maxsize=1)
def subject_of(params_json: str, shapes: str) -> Subject:
    """Return the subject of these parameters, loaded once per process."""
    return Subject(Params.model_validate_json(params_json), shapes)


def _made_up(params: Params, vocabulary: int) -> Dataset:
    """Draw token ids as often as words occur (Zipf's law), so that as many are in use as in real texts."""
    draw = torch.Generator().manual_seed(params.seed)
    sizes = {"train": params.train_size, "validation": params.validation_size, "test": params.test_size}
    weights = 1 / torch.arange(1, vocabulary + 1, dtype=torch.float64)
    total, tokens = sum(sizes.values()), params.max_tokens
    ids = torch.multinomial(weights, total * tokens, replacement=True, generator=draw).reshape(total, tokens)
    token_ids = torch.unique(torch.cat([torch.tensor([0]), ids.flatten()]))  # 0 is the padding
    whole = {"input_ids": torch.searchsorted(token_ids, ids), "attention_mask": torch.ones_like(ids),
             "labels": torch.randint(CLASSES, (total,), generator=draw)}  # fmt: skip
    parts = {name: tensor.split(list(sizes.values())) for name, tensor in whole.items()}
    batches = {split: {name: part[i] for name, part in parts.items()} for i, split in enumerate(sizes)}
    return Dataset("made-up", list(map(str, range(CLASSES))), **batches, token_ids=token_ids, fingerprint="")
