"""Compress a classifier from end to end: look, walk, export, choose, distil, measure, save."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paperlib import distillation
from paperlib.common import hardware
from paperlib.common.errors import UserError
from paperlib.common.lock import lock
from paperlib.compression import choose, export, inputs, latency, result, tradeoff
from paperlib.compression import vocabulary as pieces
from paperlib.compression.forms import Form
from paperlib.compression.result import Result
from paperlib.compression.wish import Wish, check_keep, wish_of
from paperlib.model import encoder
from paperlib.nodes import compute
from paperlib.nodes.node import Node, Removed, label
from paperlib.params import Params
from paperlib.tree import Study

VERSIONS = "versions"  # folder of saved models in the study's
FAST = ("ONNX int8", "torch fp32")  # the form a latency is asked of: the second where the first cannot be made


def compress(
    model: str | Path = "",
    data: str | Path = "newsgroup",
    keep: int | None = None,
    latency_ms: float | None = None,
    max_drop: float | None = None,
    out: str | Path | None = None,
    vocabulary: str = "",
    profile: str = "laptop",
    seed: int = 0,
    settings: str | dict = "",
    say: Callable[[str], None] = partial(print, flush=True),
) -> Result:
    """Make a classifier smaller, as asked: `keep` layers, `latency_ms` for a text, or at most `max_drop` points lost.

    `model` is a folder or hub id (default: the profile's), `data` a table of texts and labels or a dataset's name. The
    depth is chosen on validation; test texts are looked at once, after that. With `out` the result is saved there.
    `vocabulary="used"` keeps only the pieces that the texts need. Raises UserError, in one line, for what cannot be.

    >>> import paperlib, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> places = {"output_dir": folder + "/out", "cache_dir": folder + "/cache", "max_removed": 1}
    >>> made = paperlib.compress(keep=3, profile="smoke", settings=places, say=lambda line: None)  # doctest: +SKIP
    >>> made.table.loc["yours", "layers"].unique()  # doctest: +SKIP
    array([3])
    """
    wish = wish_of(keep, latency_ms, max_drop)
    if vocabulary not in ("", "used"):
        raise UserError(f"VOCABULARY: must be used, or nothing, not {vocabulary[:40]!r}")
    if out is not None:
        result.check_target(Path(out))
    found = inputs.inputs_of(model, data, profile, seed, settings)
    for remark in found.remarks:
        say(remark)
    with lock(found.params.profile_dir):
        made = _compress(found.params, wish, vocabulary == "used", say)
    if out is not None:
        say(f"saved: {made.save(out)}")
    return made


@dataclass(frozen=True)
class Work:
    """A study and the folder in which its models are saved."""

    params: Params
    folder: Path
    say: Callable[[str], None]

    def version(self, removed: Removed) -> Path:
        """Return the folder of a node's model, saved with its full vocabulary and as ONNX where that can be."""
        folder = self.folder / (label(removed) or "original")
        if not (folder / "config.json").exists():
            distillation.save_whole(compute.model_of(self.params, removed), self.params, folder)
        return folder


def _compress(params: Params, wish: Wish, cut: bool, say: Callable[[str], None]) -> Result:
    started = time.time()
    bench = compute.bench_of(params)
    layers = len(encoder.layers(bench.pretrained))
    check_keep(wish, layers)
    study = Study(params)
    work = Work(params, params.unit_dir / VERSIONS, say)
    _forget_older(work.folder, study.store.fingerprint)
    texts = tradeoff.Texts(bench)
    if cut:
        pieces.check(encoder.load_tokenizer(params))
    _early_look(wish, work, layers, texts)
    say(f"the original: {'taken as it is' if params.fine_tuned else f'fine-tuning {layers} layers on {params.train_size} texts, {params.epochs} times'}")
    deepest = max(layers - 1 if not params.max_removed else min(params.max_removed, layers - 1), layers - (wish.keep or layers))
    depths = choose.walk(study, deepest, wish.keep, say)
    say(f"writing {len(depths)} models as ONNX, fp32 and int8: about {3 * layers + 4 * len(depths)} s of one core or two")
    folders = [work.version(depth.best.removed) for depth in depths]
    why_not = export.write_template(folders[0])
    if not why_not:
        export.add_all(folders, folders[0], params)
    form = FAST[bool(why_not)]
    forms = [Form(_name(depth, layers), form, folder, tuple(depth.best.remaining)) for depth, folder in zip(depths, folders)]
    timed = latency.measure(forms, texts.rows(folders[0], "test"), [(1, 1)])[latency.columns(1, 1)[0]].tolist() if wish.latency_ms else []
    chosen = depths[choose.choose(wish, layers, [depth.best.validation_accuracy for depth in depths], timed, form)]
    say(f"chosen on validation: {len(chosen.best.remaining)} of {layers} layers ({chosen.order})")
    yours, record = _distilled(study, chosen.best, folders[0], say)
    extra = {}
    if cut:
        say("cutting the vocabulary to the pieces that the texts use")
        extra = pieces.cut(yours, params, work.folder / "used-vocabulary")
    if not why_not:
        export.add_all([folder for folder in (yours, extra.get("folder")) if folder], folders[0], params)
    forms = _forms(depths, folders, yours, extra, why_not)
    table = tradeoff.measure(forms, texts, depths, say)
    about = {
        "wish": str(wish), "order": chosen.order, "kept": chosen.best.remaining, "layers": layers, "onnx_missing": why_not,
        "distilled": record, "seconds": round(time.time() - started, 1), "machine": hardware.describe(),
        "export_differs_by": _difference(forms, texts), "vocabulary": {name: value for name, value in extra.items() if name != "folder"},
    }  # fmt: skip
    return Result(extra.get("folder", yours), table, params, about)


def _forms(depths: list[choose.Depth], folders: list[Path], yours: Path, extra: dict, why_not: str) -> list[Form]:
    """List the rows of the trade-off: the original in every form, ONNX of each depth, and what the user gets."""
    layers, kinds = depths[0].best.original_layers, [] if why_not else ["ONNX fp32", "ONNX int8"]
    forms = [Form("original", kind, folders[0], tuple(range(layers))) for kind in ("torch fp32", "torch bf16", *kinds)]
    for depth, folder in zip(depths[1:], folders[1:]):
        kept = tuple(depth.best.remaining)
        forms += [Form(_name(depth, layers), kind, folder, kept) for kind in kinds or ["torch fp32"]]
    kept = tuple(encoder.layer_numbers(export.load(yours)))
    named = [("yours, whole vocabulary" if extra else "yours", yours)] + ([("yours", extra["folder"])] if extra else [])
    return forms + [Form(name, kind, folder, kept) for name, folder in named for kind in ("torch fp32", *kinds)]


def _name(depth: choose.Depth, layers: int) -> str:
    left = len(depth.best.remaining)
    return "original" if left == layers else f"{left} layer{'s' * (left != 1)}"


def _early_look(wish: Wish, work: Work, layers: int, texts: tradeoff.Texts) -> None:
    """Refuse a latency that not even a single untrained layer reaches, before anything is trained."""
    if not wish.latency_ms:
        return
    bench, folder = compute.bench_of(work.params), work.folder / "single-layer"
    if not (folder / "config.json").exists():
        distillation.save_whole(encoder.remove_layers(bench.pretrained, list(range(1, layers))), work.params, folder)
    form = FAST[bool(export.write_template(folder))]
    if form == FAST[0]:
        export.add_onnx(folder, folder)
    took = latency.measure([Form("1 layer", form, folder, (0,))], texts.rows(folder, "test"), [(1, 1)])
    choose.check_reachable(wish, took[latency.columns(1, 1)[0]].min(), f"1 of {layers} layers, {form}")


def _distilled(study: Study, student: Node, original: Path, say: Callable[[str], None]) -> tuple[Path, dict]:
    """Distil the original into the chosen model; where no layer goes, the original is what is delivered."""
    if not student.removed:
        return original, {}
    say("distilling the original into it, beside the same training without a teacher: two fine-tunes")
    record = distillation.distil(study, student)
    known = {row["model"]: row for row in record["models"]}
    folder = study.params.unit_dir / VERSIONS / f"distilled-{record['student_sha256'][:12]}"
    if not (folder / "config.json").exists():
        partial_ = folder.with_name(f".{folder.name}.partial")
        shutil.copytree(study.params.unit_dir / distillation.STUDENT, partial_, dirs_exist_ok=True)
        partial_.replace(folder)
    return folder, {"health": known["distilled"]["health"], "student_sha256": record["student_sha256"]}


def _difference(forms: list[Form], texts: tradeoff.Texts) -> float | None:
    """Return the largest difference between the test logits of what the user gets as torch and as ONNX, both fp32."""
    own = {form.kind: form for form in forms if form.model == tradeoff.YOURS}
    if "ONNX fp32" not in own:
        return None
    torch_, onnx = (own[kind].logits(texts.rows(own[kind].folder, "test")) for kind in ("torch fp32", "ONNX fp32"))
    return float(abs(torch_ - onnx).max())


def _forget_older(folder: Path, fingerprint: str) -> None:
    """Delete what was saved for another study."""
    mark = folder / "study.txt"
    if folder.exists() and (not mark.exists() or mark.read_text() != fingerprint):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(fingerprint)
