"""Distil the original model into the best pruned one (section 2.3), beside the same training without a teacher."""

import hashlib
import math
import statistics
import time
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

from paperlib.common.errors import UserError, words_of
from paperlib.common.files import atomic_write_json, in_one_piece, sha256_folder
from paperlib.common.records import is_of_commit, read_sealed, seal
from paperlib.model import encoder, training
from paperlib.nodes import compute, parallel
from paperlib.nodes.fingerprint import DISTILLING, of_code, of_study
from paperlib.nodes.node import Node, Removed, label, pack, parse_label, seed_of
from paperlib.params import Params
from paperlib.tree import Study

RECORD = "distillation.json"
STUDENT = "student"
LATENCY_REPEATS = 30


def distil(study: Study, student: Node, place: Path | None = None) -> dict:
    """Return the record of teacher, pruned, distilled and CE-only models, training the last two if need be.

    Both the record and the distilled model are kept in `place`, where none is named in the study's own folder.

    The CE-only control starts from the same pruned weights and takes as many steps with the same batches. The
    distilled model is saved, with its full vocabulary and tokeniser, in the folder `student`.
    """
    place = place or study.params.unit_dir
    path, folder = place / RECORD, place / STUDENT
    fingerprint = _fingerprint(study.params, student.removed)
    record, commit = _read(path), study.node(()).record.get("model_commit", "")
    if record.get("fingerprint") == fingerprint and is_of_commit(record, commit) and record["student_sha256"] == sha256_folder(folder):
        return record
    pruned, root = (study.node(removed, {"validation_correct"}) for removed in (student.removed, ()))
    arguments = [(study.params, student.removed, into) for into in (folder, None)]
    trained = sorted(parallel.run(_train, arguments, study.params), key=lambda row: row["model"] != "distilled")
    models = [_known("teacher", root), _known("pruned", pruned), *trained]
    for row, latency in zip(models, _latencies(study.params, student.removed)):
        row["latency_ms"] = latency
    record = {"fingerprint": fingerprint, "model_commit": commit, "removed": label(student.removed), "models": models}
    record = seal({**record, "student_sha256": sha256_folder(folder)})
    atomic_write_json(path, record)
    return record


def read(params: Params) -> dict:
    """Return the stored record; raises UserError when nothing was distilled yet, or by other parameters."""
    record = _read(params.unit_dir / RECORD)
    if not record or record["fingerprint"] != _fingerprint(params, parse_label(record["removed"])):
        raise UserError("nothing has been distilled for these parameters yet: run notebook 05_distillation")
    return record


def load_student(folder: Path) -> PreTrainedModel:
    """Load a saved student as any user would."""
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True, trust_remote_code=False)


def same_logits(params: Params) -> float:
    """Return the largest difference between the logits of the saved student and those stored when it was trained."""
    bench, stored = compute.bench_of(params), _read(params.unit_dir / RECORD)["models"][2]["first_logits"]
    student, batch = load_student(params.unit_dir / STUDENT), bench.dataset.test
    ids = bench.dataset.token_ids[batch["input_ids"][: len(stored)].cpu()]  # back to the tokeniser's numbers
    with torch.inference_mode():
        logits = student(input_ids=ids, attention_mask=batch["attention_mask"][: len(stored)].cpu()).logits
    return (logits.nan_to_num() - torch.tensor(stored)).abs().max().item()


def _train(params: Params, removed: Removed, into: Path | None) -> dict:
    """Train one copy of the pruned model further: the student, with a teacher, is saved into a folder; none is the control's."""
    bench, with_teacher = compute.bench_of(params), into is not None
    teacher_logits = training.predict(compute.model_of(params, ()), bench.dataset.train, params) if with_teacher else None
    model = compute.model_of(params, removed)
    seed = seed_of(params.seed, params.dataset, removed, "distillation")
    done = training.fine_tune(model, bench.dataset.train, params, seed, teacher_logits)
    row = {"model": "distilled" if with_teacher else "ce_control", "parameters": encoder.count_parameters(model)}
    for split in ("test", "validation"):
        batch = getattr(bench.dataset, split)
        logits = training.predict(model, batch, params)
        row[f"{split}_correct"] = pack(training.correct(logits, batch).cpu().numpy())
    losses = [loss if math.isfinite(loss) else None for loss in done.losses]
    row |= {"losses": losses, "health": done.health.as_dict(), "seconds": done.seconds}
    if with_teacher:
        first = {name: tensor[:8] for name, tensor in bench.dataset.test.items()}
        row["first_logits"] = training.predict(model, first).nan_to_num().tolist()
        save_whole(model, params, into)
    return row


def _known(name: str, node: Node) -> dict:
    fields = ("parameters", "test_correct", "validation_correct", "health")
    return {"model": name, **{field: node.record[field] for field in fields}}


def save_whole(model: PreTrainedModel, params: Params, folder: Path) -> None:
    """Save a study's model with its full vocabulary and the tokeniser, whole or not at all, as a folder of plain transformers.

    Raises UserError when the folder cannot be written or the disk is full; what was there then stays.
    """
    bench, tokenizer = compute.bench_of(params), encoder.load_tokenizer(params)
    original = encoder.load_model(params, bench.dataset.class_names, tokenizer)
    full_table = original.get_input_embeddings().weight.detach()
    whole = encoder.as_plain(encoder.restore_vocabulary(model.cpu(), full_table, bench.dataset.token_ids))
    try:
        with in_one_piece(folder) as partial:
            whole.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    except (OSError, SafetensorError) as error:
        raise UserError(f"the {folder.name} cannot be saved: {words_of(error)}") from error


def _latencies(params: Params, removed: Removed) -> list[float]:
    """Measure the median milliseconds to classify one example: teacher, pruned, and the two of the pruned shape."""
    teacher, pruned = (_latency(compute.model_of(params, each), params) for each in ((), removed))
    return [teacher, pruned, pruned, pruned]


@torch.inference_mode()
def _latency(model: PreTrainedModel, params: Params) -> float:
    one = {name: tensor[:1] for name, tensor in compute.bench_of(params).dataset.test.items()}
    seconds = []
    for _ in range(LATENCY_REPEATS):
        started = time.perf_counter()
        training.predict(model, one).cpu()
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[5:])  # the first few warm the caches up


def _fingerprint(params: Params, removed: Removed) -> str:
    kd = {name: getattr(params, name) for name in sorted(DISTILLING)}
    code = of_code("distillation.py")
    return hashlib.sha256(repr((of_study(params), kd, label(removed), code)).encode()).hexdigest()


def _read(path: Path) -> dict:
    """Return the stored record, {} when there is none or it was changed or cut short."""
    return read_sealed(path) or {}
