"""Fine-tune several models of one architecture as one batch of models; each learns as if it were alone."""

import functools
import time

import torch
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F
from transformers import PreTrainedModel

from paperlib.common.errors import UserError
from paperlib.data.subsets import Batch
from paperlib.model import together, training
from paperlib.model.device import forward_context
from paperlib.model.families import all_layers, first_token_only
from paperlib.model.given_dropout import Masks, template_of
from paperlib.model.step_graph import RecordedStep
from paperlib.model.training import Training
from paperlib.params import Params


def fine_tune_together(
    models: list[PreTrainedModel], train: Batch, params: Params, seeds: list[int]
) -> list[Training]:
    """Fine-tune models in place as `training.fine_tune` does, all at once; model `i` draws from `seeds[i]` alone.

    The models may differ in weights only. The order of the examples is the one that `training.fine_tune` draws, so
    without dropout the results are the same, up to the rounding of batched matrix products. The dropout masks are
    others: that function draws them from one stream, place by place, which a batch of models cannot do. Here they
    come from a stream of each model's own, so results do not depend on which models share the batch, or how many.
    `seconds` is a model's share of the time. Models change at the end only: when memory runs out they are as before.
    Raises UserError when the architecture cannot be trained so.
    """
    started = time.perf_counter()
    if len({(len(all_layers(model)), str(getattr(model.config, "layer_types", None))) for model in models}) > 1:
        raise UserError(_refusal(models[0]))  # ModernBERT's layers are not all alike
    steps = _rows_of_steps(train["labels"], params, seeds)
    generators = [torch.Generator(train["labels"].device).manual_seed(seed + 1) for seed in seeds]
    masks = Masks()
    logits_of = _stacked_forward(models[0], masks)
    for model in models:
        model.train()
    weights, _ = stack_module_state(models)  # the buffers are constants, the same for all
    _learn_places(models[0], masks, logits_of, train)
    recorded = together.is_recorded(params)
    optimizer, schedule = _optimizer(weights, params, len(steps), recorded)

    def step(input_ids, attention_mask, labels, *kept):
        """Return the losses and the norms of the gradients, each (models,)."""
        with forward_context(params):
            logits = logits_of(weights, input_ids, attention_mask, kept)
        loss = _losses(logits.float(), labels)
        loss.sum().backward()  # a model's weights have no part in another's loss
        norms = clip_each(list(weights.values()), params.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach(), norms

    make = RecordedStep(step) if recorded else step
    made = []  # tensors: reading a number would make a GPU wait
    for rows in steps:
        kept = masks.draw(generators, rows.shape[1])
        made.append(make(*(train[name][rows] for name in ("input_ids", "attention_mask", "labels")), *kept))
        schedule.step()
    losses, norms = zip(*made)
    _hand_back(weights, models)
    return _trainings(models, losses, norms, started)


def clip_each(parameters: list[torch.Tensor], limit: float) -> torch.Tensor:
    """Clip each model's gradients to a norm, as `torch.nn.utils.clip_grad_norm_` does; return the norms (models,)."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    of_parameters = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    norms = torch.linalg.vector_norm(torch.stack(of_parameters), dim=0)
    factors = (limit / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.dim() - 1)))
    return norms


def _rows_of_steps(labels: torch.Tensor, params: Params, seeds: list[int]) -> list[torch.Tensor]:
    """Return, for every step, the rows (models, examples) of each model's own order, on the device."""
    orders = [training.batches(len(labels), params, torch.Generator().manual_seed(seed)) for seed in seeds]
    return [torch.stack(rows).to(labels.device) for rows in zip(*orders, strict=True)]


def _optimizer(weights: dict[str, torch.Tensor], params: Params, steps: int, recorded: bool):
    """Return AdamW over the stacks, which treats every number by itself, and its schedule.

    A recorded step needs its learning rate on the device, in 32 bits.
    """
    device = next(iter(weights.values())).device
    rate = torch.tensor(params.learning_rate, device=device) if recorded else params.learning_rate
    optimizer = torch.optim.AdamW(
        weights.values(), lr=rate, weight_decay=params.weight_decay, fused=True, capturable=recorded
    )
    decay = functools.partial(training.decay, steps=steps, schedule=params.schedule)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, decay)


def _stacked_forward(model: PreTrainedModel, masks: Masks):
    """Return the function from stacked weights, inputs (models, examples, tokens) and dropout masks to logits."""
    template = template_of(model, masks)

    def one(weights, input_ids, attention_mask, kept):
        masks.give(kept)
        inputs = {"input_ids": input_ids, "attention_mask": _additive(attention_mask)}
        with first_token_only(template):
            return functional_call(template, weights, kwargs=inputs).logits

    return vmap(one)  # an operation that draws by itself is an error: masks come from outside


def _additive(attention_mask: torch.Tensor) -> torch.Tensor:
    """Return what is added to the attention scores, (examples, 1, 1, tokens).

    Transformers takes a mask of four dimensions as it is. From one of two it would make it, unless nothing is hidden:
    it would look at the values, which `vmap` cannot.
    """
    hidden = attention_mask[:, None, None, :] == 0
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill(hidden, torch.finfo(torch.float32).min)


@torch.no_grad()
def _learn_places(model: PreTrainedModel, masks: Masks, logits_of, train: Batch) -> None:
    """Learn where dropout is from one example; the batched form must give the logits of the model, or it is refused."""
    ids, mask = train["input_ids"][:1], train["attention_mask"][:1]
    alone = {name: parameter[None] for name, parameter in model.named_parameters()}
    try:
        with masks.learning():
            found = logits_of(alone, ids[None], mask[None], [])[0]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a model's own code may raise anything
        raise UserError(_refusal(model)) from error
    expected = model.eval()(input_ids=ids, attention_mask=mask).logits
    if expected.isfinite().all() and not torch.allclose(found, expected, rtol=1e-2, atol=1e-2):
        raise UserError(_refusal(model))


def _refusal(model: PreTrainedModel) -> str:
    kind = model.config.model_type
    return f"together: models of type {kind} cannot be trained as one batch; use together=1"


def _losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of each model: logits (models, examples, classes), labels (models, examples)."""
    of_examples = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return of_examples.view(labels.shape).mean(dim=1)


@torch.no_grad()
def _hand_back(weights: dict[str, torch.Tensor], models: list[PreTrainedModel]) -> None:
    for number, model in enumerate(models):
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name][number])
        model.eval()


def _trainings(models, losses, norms, started) -> list[Training]:
    values = torch.stack(losses, dim=1).tolist()  # (models, steps)
    largest = torch.stack(norms).amax(dim=0).tolist()
    seconds = (time.perf_counter() - started) / len(models)
    classes = models[0].config.num_labels
    healths = [training.health_of(own, norm, classes) for own, norm in zip(values, largest)]
    return [Training(own, health, seconds) for own, health in zip(values, healths)]
