"""Compress a classifier from end to end: look, walk, export, choose, distil, measure, save."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from paperlib import distillation
from paperlib.common import hardware
from paperlib.common.errors import UserError
from paperlib.common.files import in_one_piece, sha256_folder, sweep
from paperlib.common.lock import lock
from paperlib.common.messages import shown
from paperlib.compression import choose, export, inputs, latency, result, tradeoff
from paperlib.compression import vocabulary as pieces
from paperlib.compression.costs import Costs, about
from paperlib.compression.forms import TORCH, Form
from paperlib.compression.inputs import Inputs
from paperlib.compression.result import Result
from paperlib.compression.wish import Wish, check_keep, wish_of
from paperlib.data import pretrained
from paperlib.model import encoder
from paperlib.nodes import compute
from paperlib.nodes.node import Node, Removed, label, unpack
from paperlib.params import Params
from paperlib.tree import Study

VERSIONS = "versions"  # folder of saved models in the study's
HELD = ".held"  # file in the folder of a saved model that a result holds
PLAIN = "torch fp32"  # the form that every model has


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
    `vocabulary="used"` keeps only the pieces that the texts need. `settings` are overrides of parameters, as for SET;
    `say` is told what each step will cost. Raises UserError, in one line, for what cannot be.

    >>> import paperlib
    >>> made = paperlib.compress("random-bert", "topics.csv", keep=3, vocabulary="used", profile="smoke", settings=settings, say=said.append)
    >>> made.table.loc["yours", "layers"].unique()
    array([3])
    >>> made.save("small").name  # for transformers and ONNX Runtime; made.plot() draws the trade-off
    'small'
    """
    wish = wish_of(keep, latency_ms, max_drop)
    if vocabulary not in ("", "used"):
        raise UserError(f"VOCABULARY: must be used, or nothing, not {vocabulary[:40]!r}")
    if out is not None:
        target = result.check_target(Path(out))
        for what, path in (("MODEL", model), ("DATA", data)):
            result.check_apart(target, path, what)
    found = inputs.inputs_of(model, data, profile, seed, settings)
    if out is not None:
        for what, path in (("the parameter model", pretrained.place(found.params) or ""), ("the parameter data_dir", found.params.data_dir)):
            result.check_apart(target, path, what)
        result.check_same(target, found.params, found.made_of)
    for remark in found.remarks:
        say(remark)
    with lock(found.params.profile_dir):
        made = _compress(found, wish, vocabulary == "used", say)
        if out is not None:
            say(f"saved: {made.save(out)}")
    return made


@dataclass
class Work:
    """A study, the folder in which its models are saved, and who is told of each step."""

    study: Study
    folder: Path
    say: Callable[[str], None]

    @property
    def params(self) -> Params:
        """The parameters of the study."""
        return self.study.params

    @cached_property
    def no_onnx(self) -> str:
        """Why the exporter does not take the original, hence none that is made of its layers; "" when it does."""
        return export.write_template(self.version(()))

    @property
    def kinds(self) -> list[str]:
        """The forms in which a depth is measured."""
        return [PLAIN] if self.no_onnx else list(export.FILES)

    def version(self, removed: Removed) -> Path:
        """Return the folder of a node's model, saved with its full vocabulary."""
        folder = self.folder / (label(removed) or "original")
        if not (folder / "config.json").exists():
            distillation.save_whole(compute.model_of(self.params, removed), self.params, folder)
        return folder

    def write_onnx(self, folders: list[Path]) -> None:
        """Add ONNX files to these models where that can be and they are not there yet."""
        if not self.no_onnx:
            export.add_all(folders, self.version(()), self.params)


def _compress(found: Inputs, wish: Wish, cut: bool, say: Callable[[str], None]) -> Result:
    started, params = time.time(), found.params
    bench = compute.bench_of(params)
    for remark in bench.dataset.remarks:
        if remark not in found.remarks:
            say(remark)
    layers = bench.layers
    check_keep(wish, layers)
    if cut:
        pieces.check(encoder.load_tokenizer(params), params)
    study, texts = Study(params), tradeoff.Texts(bench)
    work = Work(study, params.unit_dir / VERSIONS, say)
    _forget_older(work.folder, f"{study.store.fingerprint} {export.made_by()}")
    if wish.latency_ms:
        _early_look(wish, work, layers, texts)
    costs = Costs(params)
    _check_disk(work.folder, costs.disk(choose.deepest_of(params, layers, wish.keep)), say)
    accuracy = choose.original(study, costs, say).validation_accuracy
    if found.taken:
        choose.check_head(accuracy, bench.dataset.validation["labels"].cpu().numpy())
    depths = choose.walk(study, wish.keep, found.fuser, costs, say)
    forms = _exported(work, depths)
    chosen, kind = _chosen(wish, depths, forms, work.kinds, texts)
    say(f"chosen on validation: {len(chosen.best.remaining)} of {layers} layers ({chosen.order})" + f", as {kind}" * bool(kind))
    whole, record = _distilled(work, chosen.best, costs)
    yours, lost = whole, {}
    if cut:
        yours = work.folder / f"{whole.name}-used-vocabulary"
        lost = pieces.cut(whole, params, yours)
    work.write_onnx([*{whole, yours}])
    forms = _forms(work, forms, {tradeoff.WHOLE: whole, tradeoff.YOURS: yours} if cut else {tradeoff.YOURS: yours})
    controls = [(tradeoff.TOP_LOST, depth.by_order[choose.TOP]) for depth in depths[1:]]
    rounds = len(chosen.best.removed) + record.get("delivered", False)
    controls += [(tradeoff.TRAINED, _trained_as_often(work, rounds, costs))] if rounds else []
    table = tradeoff.measure(forms, texts, controls, say)
    how = {
        "wish": f"{wish}, as {kind}" if kind else str(wish), "order": chosen.order, "kept": chosen.best.remaining, "layers": layers, "onnx_missing": work.no_onnx,
        "distilled": record, "control_rounds": rounds, "seconds": round(time.time() - started, 1), "machine": hardware.describe(),
        "export_differs_by": _difference(forms, texts), "vocabulary": lost, "made_of": found.made_of,
    }  # fmt: skip
    (yours / HELD).touch()
    for folder in work.folder.iterdir():
        if folder.is_dir() and not (folder / HELD).exists():
            export.forget(folder)
    return Result(yours, sha256_folder(yours), table, params, how)


def _check_disk(folder: Path, needed: float, say: Callable[[str], None]) -> None:
    """Say what the saved models of a study will take; raise UserError when the disk has less than they still need."""
    needed -= sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if needed > (free := shutil.disk_usage(folder).free):
        room = f"take up to {needed / 1e9:.1f} GB in {shown(folder)}, and {free / 1e9:.1f} GB are free"
        raise UserError(f'models of every depth, as torch and ONNX, {room}: SET="output_dir=..." names another place')
    if needed >= 0.1e9:
        say(f"models of every depth are saved on the way, as torch and ONNX: up to {needed / 1e9:.1f} GB in {shown(folder)}, about half of it in the end")


def _exported(work: Work, depths: list[choose.Depth]) -> list[Form]:
    """Save the best model of each depth, as ONNX too; return them in the first form of those that are measured."""
    folders, layers = [work.version(depth.best.removed) for depth in depths], depths[0].best.original_layers
    missing = sum(not export.is_there(folder) for folder in folders)
    if missing and not work.no_onnx:
        work.say(f"writing {missing} models as ONNX, fp32 and int8: about {3 * layers + 4 * missing} s of one core")
    work.write_onnx(folders)
    return [Form(_name(depth, layers), work.kinds[0], folder, tuple(depth.best.remaining)) for depth, folder in zip(depths, folders)]


def _chosen(wish: Wish, depths: list[choose.Depth], forms: list[Form], kinds: list[str], texts: tradeoff.Texts) -> tuple[choose.Depth, str]:
    """Return the depth that fulfils the wish, by validation accuracy and, where it is asked, latency; then also its form."""
    accuracy, fastest = [depth.best.validation_accuracy for depth in depths], [(0.0, "")] * len(depths)
    if wish.latency_ms:
        fastest = _fastest(forms, kinds, texts)
    depth = choose.choose(wish, len(forms[0].kept), accuracy, [ms for ms, _ in fastest], min(fastest)[1])
    return depths[depth], fastest[depth][1]


def _fastest(forms: list[Form], kinds: list[str], texts: tradeoff.Texts) -> list[tuple[float, str]]:
    """Return for each model how long its fastest form takes for one text on one thread (ms), and which that is."""
    every = [replace(form, kind=kind) for form in forms for kind in kinds]  # in turn: a slow moment hits all alike
    took = latency.measure(latency.groups(every), texts.test_rows, [(1, 1)])[tradeoff.ONE_TEXT].to_numpy().reshape(len(forms), len(kinds))
    return [min(zip(row.tolist(), kinds)) for row in took]


def _forms(work: Work, depths: list[Form], own: dict[str, Path]) -> list[Form]:
    """List the rows of the trade-off: the original in every form, ONNX of each depth, and what the user gets."""
    original, *others = depths
    forms = [replace(original, kind=kind) for kind in dict.fromkeys([*TORCH, *work.kinds])]
    forms += [replace(form, kind=kind) for form in others for kind in work.kinds]
    kept = tuple(encoder.layer_numbers(export.load(own[tradeoff.YOURS])))
    return forms + [Form(name, kind, folder, kept) for name, folder in own.items() for kind in dict.fromkeys([PLAIN, *work.kinds])]


def _name(depth: choose.Depth, layers: int) -> str:
    left = len(depth.best.remaining)
    return tradeoff.ORIGINAL if left == layers else f"{left} layer{'s' * (left != 1)}"


def _early_look(wish: Wish, work: Work, layers: int, texts: tradeoff.Texts) -> None:
    """Refuse a latency that not even a single untrained layer reaches, before anything is trained."""
    folder = work.folder / "single-layer"
    if not (folder / "config.json").exists():
        one = encoder.remove_layers(compute.bench_of(work.params).pretrained, list(range(1, layers)))
        distillation.save_whole(one, work.params, folder)
    kinds = [PLAIN] if export.write_template(folder) else list(export.FILES)
    if kinds != [PLAIN]:
        export.add_onnx(folder, folder)
    [(ms, kind)] = _fastest([Form("1 layer", PLAIN, folder, (0,))], kinds, texts)
    choose.check_reachable(wish, ms, f"1 of {layers} layers, {kind}")


def _distilled(work: Work, student: Node, costs: Costs) -> tuple[Path, dict]:
    """Distil the original into the chosen model; return the folder of what is delivered, and what came of it.

    That is the original where no layer goes, and the chosen model as it was where the teacher made it worse on validation.
    """
    if not student.removed:
        return work.version(()), {}
    length = about(costs.fine_tunes([len(student.remaining)] * 2))
    work.say(f"distilling the original into it, beside the same training without a teacher: {length}")
    record = distillation.distil(work.study, student, work.folder)  # a study of `make reproduce` may have one of its own
    rows = {row["model"]: row for row in record["models"]}
    before, (after, alone) = student.validation_accuracy, [float(unpack(rows[name]["validation_correct"]).mean()) for name in ("distilled", "ce_control")]
    found = {
        "delivered": after >= before, "validation_before": before, "validation_after": after, "validation_without_teacher": alone,
        "health": rows["distilled"]["health"],
    }  # fmt: skip
    if not found["delivered"]:
        return work.version(student.removed), found
    folder = work.folder / f"distilled-{record['student_sha256'][:12]}"
    if not (folder / "config.json").exists():
        with in_one_piece(folder) as partial:
            shutil.copytree(work.folder / distillation.STUDENT, partial, dirs_exist_ok=True)
    return folder, found


def _trained_as_often(work: Work, rounds: int, costs: Costs) -> Node:
    """Return the original after as many more fine-tunes as the model that is delivered had: what the training alone does."""
    models = [(None,) * done for done in range(1, rounds + 1)]
    missing = [removed for removed in models if work.study.store.read(removed) is None]
    if missing:
        work.say(f"training the original as often, with all its layers: {len(missing)} fine-tune{'s' * (len(missing) != 1)}, {about(costs.fine_tunes([costs.layers] * len(missing)))}")
    return [work.study.node(removed, {"validation_correct"}) for removed in models][-1]


def _difference(forms: list[Form], texts: tradeoff.Texts) -> float | None:
    """Return the largest difference between the test logits of what the user gets as torch and as ONNX, both fp32."""
    own = {form.kind: form for form in forms if form.model == tradeoff.YOURS}
    if "ONNX fp32" not in own:
        return None
    torch_, onnx = (own[kind].logits(texts.test_rows(own[kind].folder)) for kind in ("torch fp32", "ONNX fp32"))
    return float(abs(torch_ - onnx).max())


def _forget_older(folder: Path, fingerprint: str) -> None:
    """Delete what was saved for another study, by another exporter, or half saved."""
    mark = folder / "study.txt"
    if folder.exists() and (not mark.exists() or mark.read_text() != fingerprint):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    mark.write_text(fingerprint)
