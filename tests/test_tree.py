"""The tree: whoever asks, in whatever order, however often interrupted, a node has the same numbers."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import smoke_params

from paperlib import ablation, names, strategies
from paperlib.common.errors import UserError
from paperlib.evidence import tables
from paperlib.model import training
from paperlib.names import CONTROLS, FAMILIES, RIVALS, SIGNALS, STRATEGIES
from paperlib.nodes import compute, parallel, progress
from paperlib.tree import Study

TINY = {
    "train_size": 32,
    "validation_size": 16,
    "test_size": 24,
    "epochs": 1,
    "signal_size": 16,
    "forest_trees": 5,
    "random_orders": 2,
}
EVERY_PART = {"signals", "block_influence", "validation_correct", "ablation_test", "ablation_validation"}
ORDINARY = [name for name in RIVALS if name not in FAMILIES]
WALKS = [
    "Weight-Norm",
    "Attention-Weight",
    "Random-Forest-Validation",
    "Greedy-Ablation",
    "Equal-Training",
    "Random-Inner-0",
]
CLOCK = ["seconds"]


@pytest.fixture
def tiny(tmp_path):
    return smoke_params(tmp_path, **TINY)


@pytest.fixture
def fine_tunes(monkeypatch):
    """Count the fine-tunes made in this process."""
    made, original = [], training.fine_tune

    def counted(model, *args, **kwargs):
        done = original(model, *args, **kwargs)
        made.append(model.config.num_hidden_layers)
        return done

    monkeypatch.setattr(training, "fine_tune", counted)
    return made


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Return a study in which every strategy and both random tests were walked together, and its number of nodes."""
    study = Study(smoke_params(tmp_path_factory.mktemp("together"), **TINY))
    tests = strategies.random_tests(study.params)
    study.grow([*names.WALKS, *tests["Random-All"], *tests["Random-Inner"]])
    return study


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """Return a study that walked WALKS in one go, with room for all weights."""
    study = Study(smoke_params(tmp_path_factory.mktemp("walked"), **TINY))
    study.grow(WALKS)
    return study


def numbers(study):
    """Return every number of every node but the seconds, as comparable text."""
    return {
        node.record["removed"]: repr(
            {k: v for k, v in sorted(node.record.items()) if k not in ("seconds", "sha256", "fingerprint")}
        )
        for node in study.nodes()
    }


def of_strategy(frame, name):
    return frame[frame["strategy"] == name].drop(columns=CLOCK, errors="ignore").reset_index(drop=True)


@pytest.mark.parametrize("name", [*STRATEGIES, *CONTROLS, *ORDINARY, "Random-All-1", "Random-Inner-1"])
def test_one_strategy_alone_gives_the_numbers_of_all_together(name, together, tmp_path):
    alone = Study(
        together.params.replace(output_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    )
    walk = alone.grow([name])[name]
    expected = together.walk(name)
    assert [node.record["removed"] for node in walk.nodes] == [
        node.record["removed"] for node in expected.nodes
    ]
    assert [choice.ties for choice in walk.choices] == [choice.ties for choice in expected.choices]
    shared = numbers(together)
    for node in alone.nodes():
        for part in (
            "test_correct",
            "parameters",
            "health",
            *EVERY_PART & set(node.record),
        ):
            assert node.record[part] == together.store.read(node.removed).record[part], part
    assert len(alone.nodes()) == len(walk.nodes) < len(shared)
    if name in tables.WALKS:
        pd.testing.assert_frame_equal(
            of_strategy(tables.steps(alone, [name]), name),
            of_strategy(tables.steps(together), name),
            check_exact=True,
        )
    if name in tables.FUSER_WALKS:
        for table in (tables.fusion, tables.fusion_fit):
            pd.testing.assert_frame_equal(
                of_strategy(table(alone, [name]), name), of_strategy(table(together), name), check_exact=True
            )


def test_two_workers_give_the_numbers_of_one(tmp_path):
    one, two = (Study(smoke_params(tmp_path / str(n), **TINY, workers=n)) for n in (1, 2))
    for study in (one, two):
        study.grow(WALKS)
    assert numbers(one) == numbers(two) and len(one.nodes()) > 12
    for table in (tables.steps, tables.signals, tables.ablation, tables.fusion, tables.fusion_fit):
        fused = table in (tables.fusion, tables.fusion_fit)
        names = [name for name in WALKS if name in (tables.FUSER_WALKS if fused else tables.WALKS)]
        frames = [table(study, names).drop(columns=CLOCK, errors="ignore") for study in (one, two)]
        pd.testing.assert_frame_equal(*frames, check_exact=True)


def test_each_node_is_trained_once_and_never_again(tiny, fine_tunes):
    study = Study(tiny)
    walks = study.grow(WALKS)
    nodes = {node.record["removed"] for walk in walks.values() for node in walk.nodes}
    assert (
        len(fine_tunes) == len(nodes) == len(study.nodes()) < sum(len(walk.nodes) for walk in walks.values())
    )
    fine_tunes.clear()
    before = numbers(study)
    again = Study(tiny).grow(WALKS)
    for name in WALKS:
        assert [n.record for n in again[name].nodes] == [n.record for n in Study(tiny).walk(name).nodes]
    assert fine_tunes == [] and numbers(study) == before


def test_a_walk_can_be_read_only_after_it_was_grown(tiny, fine_tunes):
    study = Study(tiny)
    with pytest.raises(UserError, match="^Weight-Norm: the original model: not computed yet"):
        study.walk("Weight-Norm")
    study.node(())
    with pytest.raises(UserError, match="^Weight-Norm has not been walked yet"):
        study.walk("Weight-Norm")
    study.node((), {"signals", "validation_correct"})
    with pytest.raises(UserError, match=r"^Weight-Norm: layers \d removed: not computed yet"):
        study.walk("Weight-Norm")
    assert len(fine_tunes) == 1, "reading never trains"


def test_measuring_later_trains_nothing(tiny, fine_tunes):
    study = Study(tiny)
    study.node((2,))
    assert len(fine_tunes) == 2 and not study.store.read((2,)).has({"signals"})
    node = study.node((2,), EVERY_PART)
    assert len(fine_tunes) == 2 and node.has(EVERY_PART)
    assert list(node.signals.index) == [0, 1, 3] and tuple(node.signals.columns) == SIGNALS
    at_once = Study(tiny.replace(output_dir=tiny.output_dir + "2", cache_dir=tiny.cache_dir + "2")).node(
        (2,), EVERY_PART
    )
    assert all(at_once.record[part] == node.record[part] for part in EVERY_PART)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("lost", [False, True], ids=["weights kept", "weights lost"])
def test_all_sets_are_measured_in_shares(tmp_path, workers, lost, fine_tunes):
    params = smoke_params(tmp_path, **TINY, workers=workers).replace(test_size=80)  # two chunks
    study = Study(params)
    before = study.node((2,), {"signals"})
    if lost:
        for path in study.store.weights.folder.glob("*"):
            path.unlink()
    fine_tunes.clear()
    node = study.node((2,), {"subsets_test", "subsets_validation"})
    assert fine_tunes == ([4, 3] if lost else []), "once, here, and not in every process"
    assert node.record["signals"] == before.record["signals"] and node.record["seconds"]["subsets_test"] > 0
    bench, model = compute.bench_of(params), compute.model_of(params, (2,))
    for split in ("test", "validation"):
        expected = ablation.all_subsets(model, getattr(bench.dataset, split))
        pd.testing.assert_frame_equal(node.subsets(split), expected, check_exact=True)
    assert node.subsets("test")["accuracy"][()] == node.accuracy
    written = (study.store.folder / "2.json").stat().st_mtime_ns
    study.node((2,), {"subsets_test"})
    assert (study.store.folder / "2.json").stat().st_mtime_ns == written, "measured once"
    assert not (params.unit_dir / "progress.json").exists()


@pytest.mark.parametrize("diverged", [False, True])
def test_shares_that_are_done_outlive_an_interruption(tmp_path, monkeypatch, diverged):
    params = smoke_params(tmp_path, **TINY).replace(test_size=80 if diverged else 200)
    study, asked, run = Study(params), [], parallel.run
    study.node(())
    if diverged:
        weights = compute.model_of(params, ()).state_dict()
        study.store.weights.save((), {name: tensor * math.nan if "classifier" in name else tensor for name, tensor in weights.items()})

    def interrupted(function, arguments, params):
        if not isinstance(arguments[0][-1], ablation.Share):
            yield from run(function, arguments, params)
            return
        asked.append([share.chunk for *_, share in arguments])
        for number, result in enumerate(run(function, arguments, params)):
            yield result
            if None not in asked and number == len(asked) - 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "run", interrupted)
    for _ in range(1 if diverged else 2):
        with pytest.raises(KeyboardInterrupt):
            study.node((), {"subsets_test"})
    asked.append(None)  # from here on nothing is interrupted
    node = Study(params).node((), {"subsets_test"})
    assert asked == ([[0, 1], None, [1]] if diverged else [[0, 1, 2, 3], [1, 2, 3], None, [3]])
    expected = ablation.all_subsets(compute.model_of(params, ()), compute.bench_of(params).dataset.test)
    pd.testing.assert_frame_equal(node.subsets("test"), expected, check_exact=True)
    assert node.record["shares"] == {"subsets_test": len(asked[0])}
    assert not list(study.store.weights.folder.glob("*.json")), "nothing is left beside the weights"


def test_the_bar_counts_all_sets_of_layers(tiny, monkeypatch):
    said, write = [], progress.Progress._write
    monkeypatch.setattr(progress.Progress, "_write", lambda bar: (write(bar), said.append(progress.read(tiny))))
    Study(tiny).grow(["Exact-Best"])
    sets = progress.cost_of_sets(4, tiny.validation_size, tiny)
    assert sets == (2**4 - 1) * 16 / (3 * 32)
    whole = progress.cost(4)
    assert said[1]["made"] == pytest.approx(whole) and said[2]["made"] == pytest.approx(whole + sets)
    assert said[0]["total"] >= round(whole + sets) and said[-1]["total"] == round(said[-1]["made"])


def test_a_deep_node_brings_its_parents(tiny, fine_tunes):
    study = Study(tiny)
    deep = study.node((3, 0))
    assert fine_tunes == [4, 3, 2]
    walked = Study(tiny.replace(output_dir=tiny.output_dir + "2", cache_dir=tiny.cache_dir + "2"))
    for removed in ((), (3,), (3, 0)):
        node = walked.node(removed)
    assert node.record["test_correct"] == deep.record["test_correct"]
    assert study.node((0, 3)).record["test_correct"] is not None
    assert fine_tunes[6:] == [3, 2], "the other order is another path, from the same root"


@pytest.mark.parametrize("cache_gb", [1e-9, 2.5e-4])
def test_evicted_weights_are_rebuilt_with_the_same_numbers(cache_gb, walked, tmp_path, fine_tunes):
    least = len(walked.nodes())
    tight = Study(smoke_params(tmp_path / "tight", **TINY, cache_gb=cache_gb))
    for name in reversed(WALKS):
        tight.grow([name])
    assert numbers(tight) == numbers(walked)
    assert len(fine_tunes) > least, "something must have been rebuilt"
    held = list(tight.store.weights.folder.glob("*.safetensors"))
    assert sum(path.stat().st_size for path in held) <= max(
        cache_gb * 1e9, max(path.stat().st_size for path in held)
    )
    exact, rebuilt = (compute.model_of(study.params, (0, 1)) for study in (walked, tight) if study.node((0, 1)))
    assert all(torch.equal(p, q) for p, q in zip(exact.parameters(), rebuilt.parameters()))


def test_lost_and_damaged_weights_are_rebuilt(tiny, tmp_path):
    study = Study(tiny)
    study.grow(["Weight-Norm"])
    wanted = numbers(study)
    paths = sorted(study.store.weights.folder.glob("*.safetensors"))
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    paths[2].write_bytes(b"")
    for path in study.store.folder.glob("*.json"):
        if path.name != "original.json":
            path.unlink()
    again = Study(tiny)
    again.grow(["Weight-Norm"])
    assert numbers(again) == wanted


def test_damaged_records_are_computed_again(tiny, fine_tunes):
    study = Study(tiny)
    study.grow(WALKS)
    wanted, made = numbers(study), len(fine_tunes)
    damaged = sorted(path for path in study.store.folder.glob("*.json") if path.name != "study.json")[1:8:3]
    for path in damaged:
        path.write_text(path.read_text()[:-40])
    again = Study(tiny)
    again.grow(WALKS)
    assert numbers(again) == wanted
    assert len(fine_tunes) == made + len(damaged)


@pytest.mark.parametrize("after", [0, 1, 4, 9])
def test_an_interrupted_growth_goes_on_where_it_was(after, walked, tiny, monkeypatch, fine_tunes):
    counted = training.fine_tune

    def interrupted(model, *args, **kwargs):
        if len(fine_tunes) == after:
            with torch.no_grad():
                next(model.parameters()).fill_(9.0)  # half-trained weights must be lost
            raise KeyboardInterrupt
        return counted(model, *args, **kwargs)

    monkeypatch.setattr(training, "fine_tune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Study(tiny).grow(WALKS)
    monkeypatch.setattr(training, "fine_tune", counted)
    study = Study(tiny)
    study.grow(WALKS)
    assert numbers(study) == numbers(walked)
    assert len(fine_tunes) == len(walked.nodes()), "only the fine-tune in flight was lost"
    assert not (tiny.unit_dir / "progress.json").exists()


def test_interrupted_between_weights_and_record(tiny, tmp_path, monkeypatch):
    whole = Study(smoke_params(tmp_path / "whole", **TINY))
    whole.grow(["Weight-Norm"])
    writes, original = [], compute.Store.write

    def interrupted(store, record):
        writes.append(record["removed"])
        if len(writes) == 3:
            raise KeyboardInterrupt
        return original(store, record)

    monkeypatch.setattr(compute.Store, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Study(tiny).grow(["Weight-Norm"])
    monkeypatch.setattr(compute.Store, "write", original)
    study = Study(tiny)
    study.grow(["Weight-Norm"])
    assert numbers(study) == numbers(whole)


def test_equal_training_removes_nothing_and_trains_on(together):
    walk = together.walk("Equal-Training")
    assert [node.record["removed"] for node in walk.nodes] == [
        "",
        "none",
        "none-none",
        "none-none-none",
        "none-none-none-none",
    ]
    assert {node.record["parameters"] for node in walk.nodes} == {walk.nodes[0].record["parameters"]}
    assert all(len(node.remaining) == 4 for node in walk.nodes)
    weights = [compute.model_of(together.params, node.removed).classifier.weight for node in walk.nodes]
    assert all(not torch.equal(a, b) for a, b in zip(weights, weights[1:]))


def test_every_walk_removes_what_it_says(together):
    layer = 4 * (32 * 32 + 32) + 2 * 32 * 64 + 64 + 32 + 4 * 32  # attention, feed-forward, two layer norms
    for name in (*STRATEGIES, *CONTROLS[1:], *ORDINARY):
        walk = together.walk(name)
        assert len(walk.nodes) == 5 and sorted(walk.nodes[-1].removed) == [0, 1, 2, 3]
        for step, (node, choice) in enumerate(zip(walk.nodes[1:], walk.choices), start=1):
            assert node.removed == (*walk.nodes[step - 1].removed, choice.layer)
            assert node.record["parameters"] == walk.nodes[0].record["parameters"] - step * layer
        assert walk.best.accuracy == max(node.accuracy for node in walk.nodes[1:])
        same = [node for node in walk.nodes[1:] if node.accuracy == walk.best.accuracy]
        assert walk.best.removed == same[-1].removed, "of equals the smallest"
    inner = together.walk("Random-Inner-0")
    assert sorted(inner.nodes[-1].removed) == [1, 2] and len(inner.nodes) == 3


def test_signals_decide_as_they_were_measured(together):
    for name in SIGNALS:
        for node, choice in zip(together.walk(name).nodes[:-2], together.walk(name).choices):
            column = node.signals[name]
            best = column.max() if name in strategies.HIGHEST_FIRST else column.min()
            assert column[choice.layer] == pytest.approx(best, rel=1e-5)


def test_fewer_removals_make_a_shorter_tree(tiny):
    walk = Study(tiny.replace(max_removed=2)).grow(["Weight-Norm"])["Weight-Norm"]
    assert len(walk.nodes) == 3
    assert not walk.nodes[-1].has({"signals"}), "nothing is measured where nothing follows"


def test_settings_that_only_choose_reuse_the_nodes(tiny, fine_tunes):
    Study(tiny).grow(["Linear-Regression"])
    made = len(fine_tunes)
    Study(tiny.replace(fusion_rows="path")).grow(["Linear-Regression"])
    assert len(fine_tunes) < 2 * made, "the original model, at least, is shared"
    Study(tiny.replace(kd_alpha=0.1, workers=1, cache_gb=3.0)).grow(["Linear-Regression"])
    assert len(fine_tunes) < 2 * made


def test_another_setting_is_another_study(tiny, fine_tunes):
    first = Study(tiny).node(())
    other = Study(tiny.replace(learning_rate=1.0e-3)).node(())
    assert len(fine_tunes) == 2 and first.record["fingerprint"] != other.record["fingerprint"]
    assert Study(tiny).node(()).record == first.record and len(fine_tunes) == 2


def test_a_training_that_gives_no_numbers_goes_through_and_says_so(tiny, monkeypatch):
    from paperlib import distillation

    original = training.fine_tune

    def diverging(model, *args, **kwargs):
        with torch.no_grad():
            model.classifier.weight.fill_(float("nan"))
        return original(model, *args, **kwargs)

    monkeypatch.setattr(training, "fine_tune", diverging)
    study = Study(tiny)
    walked = [*names.WALKS, "Random-All-0", "Random-All-1", "Random-Inner-0", "Random-Inner-1"]
    walks = study.grow(walked)
    assert all(node.record["health"]["diverged"] for node in study.nodes())
    assert walks["Gradient-Fisher"].choices[0].ties == 4, "no number, no ranking"
    distillation.distil(study, walks["Random-Forest"].best)
    study.node((), {"subsets_test"})
    frames = tables.write(study, *tables.UNIT_TABLES.keys() - {"epochs"})
    assert frames["steps"]["diverged"].all() and frames["steps"]["first_loss"].isna().all()
    assert np.isnan(frames["signals"]["Gradient-Fisher"]).all()
    for name, frame in frames.items():
        assert len(tables.read(tiny.unit_dir, name)) == len(frame) > 0
