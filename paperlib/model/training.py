"""Fine-tune a model on a subset held as tensors, and evaluate it; the same few lines for every profile."""

import contextlib
import math
import time
from dataclasses import asdict, dataclass

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from paperlib.data.subsets import Batch
from paperlib.model.device import forward_context
from paperlib.model.encoder import first_token_only
from paperlib.params import Params

EVALUATION_CHUNK = 64  # examples: what a processor cache likes; the result does not depend on it


@dataclass(frozen=True)
class Health:
    """What tells whether a fine-tune went well: losses are batch means, the norm is taken before clipping."""

    first_loss: float | None
    last_loss: float | None
    largest_gradient_norm: float | None
    diverged: bool

    def as_dict(self) -> dict[str, float | bool]:
        """Return the fields as a mapping, for the node record."""
        return asdict(self)


@dataclass(frozen=True)
class Training:
    """A finished fine-tune: the loss of every step, its health and the seconds it took."""

    losses: list[float]
    health: Health
    seconds: float


UNTRAINED = Training([], Health(None, None, None, diverged=False), 0.0)  # of a model that is taken as it is


def fine_tune(
    model: PreTrainedModel, train: Batch, params: Params, seed: int, teacher_logits: torch.Tensor | None = None
) -> Training:
    """Fine-tune in place with AdamW for `params.epochs` passes, all randomness drawn from `seed`.

    With `teacher_logits` (examples, classes) the loss is the distillation loss of section 2.3.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)
    model.train()
    order = batches(len(train["labels"]), params)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: decay(step, len(order), params.schedule))
    losses, norms = [], []  # tensors: reading a number would make a GPU wait
    for rows in order:
        with forward_context(params), first_token_only(model):
            logits = model(input_ids=train["input_ids"][rows], attention_mask=train["attention_mask"][rows]).logits
        loss = F.cross_entropy(logits.float(), train["labels"][rows])
        if teacher_logits is not None:
            loss = distillation_loss(loss, logits.float(), teacher_logits[rows], params)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), params.max_grad_norm).detach())
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    model.eval()
    values = torch.stack(losses).tolist()
    health = health_of(values, torch.stack(norms).max().item(), model.config.num_labels)
    return Training(values, health, time.perf_counter() - started)


def distillation_loss(
    cross_entropy: torch.Tensor, logits: torch.Tensor, teacher_logits: torch.Tensor, params: Params
) -> torch.Tensor:
    """Return alpha CE + (1 - alpha) KL(softmax(z_t/T) || softmax(z_s/T)), the batch mean (section 2.3)."""
    temperature = params.kd_temperature
    divergence = F.kl_div(
        F.log_softmax(logits / temperature, dim=-1),
        F.log_softmax(teacher_logits / temperature, dim=-1),
        reduction="batchmean",
        log_target=True,
    )
    factor = temperature**2 if params.kd_t_squared else 1.0
    return params.kd_alpha * cross_entropy + (1 - params.kd_alpha) * factor * divergence


@torch.inference_mode()
def predict(model: PreTrainedModel, batch: Batch, params: Params | None = None) -> torch.Tensor:
    """Return the logits (examples, classes), as float32."""
    model.eval()
    context = forward_context(params) if params else contextlib.nullcontext()
    chunk = EVALUATION_CHUNK if batch["labels"].device.type == "cpu" else len(batch["labels"])
    parts = zip(batch["input_ids"].split(chunk), batch["attention_mask"].split(chunk))
    with context, first_token_only(model):
        return torch.cat([model(input_ids=ids, attention_mask=mask).logits.float() for ids, mask in parts])


def correct(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return, for each example, whether the largest logit is that of its label."""
    return logits.argmax(dim=-1) == batch["labels"]


def batches(n: int, params: Params, generator: torch.Generator | None = None) -> list[torch.Tensor]:
    """Draw the rows of every step: a new permutation for each epoch, the last batch possibly smaller."""
    epochs = [torch.randperm(n, generator=generator) for _ in range(params.epochs)]
    return [rows for epoch in epochs for rows in epoch.split(params.batch_size)]


def decay(step: int, steps: int, schedule: str) -> float:
    """Return the factor of the learning rate at a step, counted from 0."""
    return 1.0 if schedule == "constant" else max(0.0, 1 - step / steps)


def health_of(losses: list[float], largest_norm: float, classes: int) -> Health:
    """Call a fine-tune diverged when a number is not finite or it ends well above the loss of a blind guess."""
    tail = losses[-max(1, len(losses) // 4) :]
    finite = all(map(math.isfinite, losses)) and math.isfinite(largest_norm)
    diverged = not finite or sum(tail) / len(tail) > 1.5 * math.log(classes)
    safe = [value if math.isfinite(value) else None for value in (losses[0], losses[-1], largest_norm)]
    return Health(*safe, diverged=diverged)
