"""The benchmark: its arithmetic on made-up numbers, its counts, and that it runs and says what it should; no timing."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import files_under, padded_batch, smoke_params, tiny_model

from paperlib import __main__ as command_line
from paperlib import ablation, strategies
from paperlib.benchmark import (
    bench,
    growth,
    hardware,
    levels,
    start,
    stored,
    study,
    subsets,
    table,
    timing,
    unit,
    walks,
)
from paperlib.benchmark.session import Costs, Session
from paperlib.benchmark.subject import CLASSES, Subject
from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file
from paperlib.common.places import ROOT
from paperlib.evidence import units
from paperlib.model import together
from paperlib.names import SIGNALS, STRATEGIES

CPU = torch.device("cpu")


def tiny_subject(tmp_path, **settings):
    """Return a subject of two layers with made-up data."""
    few = {
        "train_size": 8,
        "validation_size": 4,
        "test_size": 4,
        "batch_size": 4,
        "epochs": 1,
        "signal_size": 4,
    }
    return Subject(smoke_params(tmp_path, **few, **settings), "bert-tiny")


# The table


def test_a_row_holds_medians_ranges_and_their_ratio():
    made = table.row("unit", "fine-tune", ours=[1.0, 4.0, 2.0], plain=[3.0, 4.0, 8.0])
    assert (made.ours, made.ours_low, made.ours_high) == (2.0, 1.0, 4.0)
    assert (made.plain, made.plain_low, made.plain_high) == (4.0, 3.0, 8.0)
    assert made.ratio == 4.0 / 2.0, "of the medians, plain over ours"
    assert (made.ratio_low, made.ratio_high) == (1.0, 4.0), "of neighbours: 3/1, 4/4, 8/2"
    assert made.repeats == 3 and made.basis == "measured"


def test_a_row_without_a_counterpart_has_no_ratio():
    made = table.row("hardware", "compiling", ours=[3.0])
    assert made.plain is None and made.ratio is None and made.ours == 3.0
    assert table.row("disk", "nothing", ours=[0.0], plain=[1.0]).ratio is None


@pytest.mark.parametrize(
    "value, written",
    [(0.0, "0"), (2.0, "2"), (0.012345, "0.0123"), (12.345, "12.3"), (1234.5, "1234"), (1.3e-7, "1.3e-07")]
    + [(None, "–"), (float("nan"), "–")],
)
def test_numbers_have_three_digits(value, written):
    assert table.number(value) == written


def test_a_spread_is_written_where_there_is_one():
    assert table.spread(2.0, 1.0, 4.0) == "2 (1 to 4)"
    assert table.spread(2.0, 2.0, 2.0) == "2"
    assert table.spread(None, None, None) == "–"


def made_rows():
    return [
        table.row("unit", "fine-tune", "one | at a time", ours=[1.25, 1.5, 1.75], plain=[3.0, 6.0, 7.0], note="a note"),
        table.row("unit", "evaluate", ours=[0.5], plain=[0.25]),
        table.row("results", "accuracy", unit="", ours=[0.5], difference=0.0, basis="compared"),
        table.Row("hardware", "bf16", basis="skipped", note="no bf16"),
    ]  # fmt: skip


def cells_of(markdown):
    """Return the rows of all Markdown tables as mappings from heading to cell."""
    rows, heading = [], None
    for line in markdown.splitlines():
        if not line.startswith("|"):
            heading = None
            continue
        cells = [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if heading is None:
            heading = cells
        elif not set(cells[0]) <= set("-:"):
            assert len(cells) == len(heading)
            rows.append(dict(zip(heading, cells)))
    return rows


def agree(frame, markdown):
    """Check that the tables of a page hold the numbers of the CSV."""
    order = [part for part in bench.TITLES if part in set(frame["part"])]
    sorted_frame = pd.concat([frame[frame["part"] == part] for part in order])
    rows = cells_of(markdown)
    assert len(rows) == len(frame)
    for (_, expected), shown in zip(sorted_frame.iterrows(), rows):
        assert shown["what"] == expected["what"] and shown["basis"] == expected["basis"]
        for column, heading in (("ours", "ours"), ("plain", "plain"), ("ratio", "plain / ours")):
            cell = shown.get(heading, table.EMPTY)
            if pd.isna(expected[column]):
                assert cell == table.EMPTY
                continue
            numbers = [float(word) for word in re.findall(r"[\d.]+(?:e[-+]\d+)?", cell)]
            wanted = [expected[column], expected[f"{column}_low"], expected[f"{column}_high"]]
            assert numbers == pytest.approx(wanted[: len(numbers)], rel=6e-3)
            assert len(numbers) in (1, 3)


def test_csv_and_markdown_agree():
    frame = table.frame(made_rows())
    read = pd.read_csv(io.StringIO(table.to_csv(frame)), keep_default_na=True)
    assert list(read.columns) == table.COLUMNS and read["ours"].tolist()[:2] == [1.5, 0.5]
    markdown = table.to_markdown(frame, bench.TITLES)
    agree(read, markdown)
    assert "1.5 (1.25 to 1.75)" in markdown and "4 (2.4 to 4)" in markdown
    assert (
        markdown.index("## The unit")
        < markdown.index("## Are the results")
        < markdown.index("## What the machine")
    )


def test_a_page_warns_of_a_busy_machine(tmp_path):
    params, frame = smoke_params(tmp_path), table.frame(made_rows())
    quiet, busy = ({"load_before": load, "cores": 4, "shapes": ""} for load in (0.3, 3.0))
    assert "not idle" not in bench.page(frame, params, quiet, "model")
    page = bench.page(frame, params, busy, "model")
    assert "a load of 3.0 on 4 cores" in page and "SMOKE RUN" in page


# Timing


def test_variants_take_turns():
    calls, shares = [], []

    def variant(name):
        def prepare():
            calls.append(f"prepare {name}")
            return lambda: calls.append(name) or name

        return prepare

    timed = timing.side_by_side({"ours": variant("a"), "plain": variant("b")}, 3, CPU, shares.append)
    assert [call for call in calls if len(call) == 1] == ["a", "b", "b", "a", "a", "b"]
    assert calls[:4] == ["prepare a", "a", "prepare b", "b"]
    assert timed.results == {"ours": "a", "plain": "b"} and {len(s) for s in timed.seconds.values()} == {3}
    assert sum(shares) == pytest.approx(1) and min(map(min, timed.seconds.values())) > 0


def test_threads_are_given_back():
    before = torch.get_num_threads()
    assert timing.on(3, torch.get_num_threads)() == 3
    with pytest.raises(RuntimeError), timing.threads(3):
        raise RuntimeError
    assert torch.get_num_threads() == before


# The whole study, worked out


def test_costs_are_interpolated():
    costs = Costs()
    for left in (0, 3, 6):
        costs.note("ours", "short fine-tune", left, 0.1 + 0.2 * left)
    costs.note("ours", "fine-tune", 6, 13.0)
    for left in range(7):
        assert costs.of("ours", "fine-tune", left) == pytest.approx(13.0 * (0.1 + 0.2 * left) / 1.3)
    for left in (2, 4, 8):  # as many passes as layers, each over one layer less
        costs.note("plain", "ablate", left, left * (1.0 + 0.5 * (left - 1)))
    for left in range(2, 9):
        assert costs.of("plain", "ablate", left) == pytest.approx(left * (1.0 + 0.5 * (left - 1)))
    assert costs.has("ours", "fine-tune") and not costs.has("plain", "fine-tune")


def test_walks_are_those_of_the_study(tmp_path):
    subject = tiny_subject(tmp_path)
    paths, basis = walks.of(subject)
    assert (
        len(paths) == 15 + 4 + 20
        and list(paths)[: len(STRATEGIES)] == list(STRATEGIES)
        and basis == walks.DRAWN
    )
    assert paths["Equal-Training"] == (None, None)
    assert paths["Random-All-3"] == tuple(strategies.random_order("Random-All-3", 2, 0))
    assert all(sorted(path) == [0, 1] for name, path in paths.items() if name in STRATEGIES)
    assert all(path == () for name, path in paths.items() if name.startswith("Random-Inner-")), (
        "two layers have no inner ones"
    )


def test_fine_tunes_are_counted():
    paths = [(0, 1, 2), (0, 2, 1), (2, 1, 0), (0, 1, 2)]
    assert walks.distinct(paths) == 1 + 2 + 3 + 3
    assert walks.unshared(paths) == 1 + 12
    assert walks.left((None, 3), 6) == 5


def test_the_study_is_the_sum_of_its_parts(tmp_path, monkeypatch):
    """With every cost 1, seconds are counts; the plain version measures only what each strategy goes by."""
    subject, costs = tiny_subject(tmp_path), Costs()
    paths = {
        "Weight-Norm": (0, 1, 2),
        "Greedy-Ablation": (0, 2, 1),
        "Random": (1, 0, 2),
        "Random-Forest": (0, 1, 2),
    }
    monkeypatch.setattr(Subject, "layers", 3)
    families = list(unit.FAMILY_NAMES.values())
    for what in ("fine-tune", "evaluate", "signals", *families):
        for who in ("ours", "plain"):
            costs.note(who, what, 3, 1.0)
    for who in ("ours", "plain"):
        for left in (2, 3):
            costs.note(who, "ablate", left, 1.0)
    plain = study.plain_seconds(subject, costs, paths)
    assert plain["train"] == pytest.approx(2 * (1 + 4 * 3)), "each of 13 nodes trained and evaluated"
    # Two models of each walk have two layers or more: Weight-Norm one family each, greedy one ablation, forest all and one.
    chosen = (
        2 * 1 + 2 * 1 + 2 * (len(families) + 1)
    )  # at two models of each walk: one family; one ablation; all and one
    assert plain["measure"] == pytest.approx(chosen + 4 * 4), "validation accuracy is shown for every model"
    assert plain["task_relevance"] == pytest.approx(2), "the forest's"
    ours = study.our_seconds(subject, costs, paths)
    assert ours["train"] == pytest.approx(2 * 9), "(), 0, 0-1, 0-1-2, 0-2, 0-2-1, 1, 1-0, 1-0-2"
    assert ours["measure"] == pytest.approx(2 * 2 + 9), (
        "signals and ablation at () and 0; validation accuracy at all"
    )
    assert ours["total"] == ours["train"] + ours["measure"]
    for what in ("fine-tune", "evaluate", "signals", "ablate"):
        costs.note("full", what, 3, 0.25)
    assert study.our_seconds(subject, costs, paths)["total"] == pytest.approx(ours["total"] / 4)
    costs.note("together", "fine-tune", 3, 0.125)
    batched = study.our_seconds(subject, costs, paths, "together")
    assert batched["train"] == pytest.approx(9 * (0.125 + 0.25)) and batched["measure"] == pytest.approx(
        13 / 4
    )


def test_a_plain_strategy_measures_its_own_family(tmp_path):
    params = smoke_params(tmp_path, validation_size=16)
    every = [(name, 1.0) for name in unit.FAMILY_NAMES.values()]
    shown = [("evaluate", 0.5)]  # 16 validation examples, where evaluation is timed on 32 test examples
    assert study.plain_needs("Weight-Entropy", params) == [("weight_signals", 1.0), *shown]
    assert study.plain_needs("Task-Relevance-MI", params) == [("task_relevance", 1.0), *shown]
    assert {study.FAMILY_OF[name] for name in SIGNALS} == set(unit.FAMILY_NAMES.values())
    assert study.plain_needs("Greedy-Ablation", params) == [("ablate", 1.0), *shown]
    assert study.plain_needs("Linear-Regression", params) == [*every, ("ablate", 1.0), *shown]
    assert study.plain_needs("Random-Forest-Validation", params) == [*every, ("ablate", 0.5), *shown]
    assert study.plain_needs("Random", params) == study.plain_needs("Equal-Training", params) == shown
    assert study.plain_needs("Weight-Norm", params, ended=True) == shown
    assert study.plain_needs("Random-All-0", params) == []


def test_points_and_sizes(tmp_path):
    assert growth.points(6, 8, least=0) == [0, 1, 2, 3, 4, 5, 6]
    assert growth.points(12, 3, least=2) == [2, 7, 12]
    assert growth.points(2, 3, least=2) == [2] and growth.points(1, 3, least=2) == [1]
    many = growth.points(24, 8, least=0)
    assert many[0] == 0 and many[-1] == 24 and len(many) == 8
    assert growth.sizes(smoke_params(tmp_path)) == [16, 32]


# What is timed


def test_made_up_data_have_the_shapes(tmp_path):
    subject = tiny_subject(tmp_path)
    ids, used = subject.dataset.train["input_ids"], subject.dataset.token_ids
    assert (
        ids.shape == (8, 16)
        and ids.max() < len(used)
        and used.max() < 30522
        and torch.equal(used, used.unique())
    )
    assert subject.layers == 2 and subject.whole.config.num_labels == CLASSES
    assert len(subject.whole.get_input_embeddings().weight) == 30522
    assert len(subject.cut.get_input_embeddings().weight) == len(used)
    words = torch.tensor(subject.examples["train"]["input_ids"][:])
    assert torch.equal(words, used[ids])
    for model, inputs in ((subject.whole, words), (subject.cut, ids)):
        model.eval()(input_ids=inputs)
    torch.testing.assert_close(subject.whole(input_ids=words).logits, subject.cut(input_ids=ids).logits)


def test_two_copies_of_a_subject_are_apart(tmp_path):
    subject = tiny_subject(tmp_path)
    before = subject.cut.classifier.weight.clone()
    fitted = subject.fitted.classifier.weight
    assert not torch.equal(fitted, before), "it was trained"
    assert torch.equal(subject.cut.classifier.weight, before), "and the pretrained model was not"
    assert torch.equal(subject.fitted_whole.classifier.weight, fitted)
    assert [len(model.bert.encoder.layer) for model in (subject.ours(1), subject.plain(0))] == [1, 0]


def test_subsets_are_drawn_with_their_complements():
    assert sorted(subsets.sample(3, 64, 0)) == sorted(
        [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    )
    drawn = subsets.sample(12, 64, 0)
    assert len(drawn) == len(set(drawn)) == 64 and drawn == subsets.sample(12, 64, 0)
    assert {tuple(sorted(set(range(12)) - set(some))) for some in drawn} == set(drawn)
    assert np.mean([len(some) for some in drawn]) == 6


def test_one_by_one_is_all_subsets():
    model, batch = tiny_model(layers=3), padded_batch()
    before = list(model.bert.encoder.layer)
    every = ablation.all_subsets(model, batch)
    drawn = subsets.sample(3, 64, 0)
    plain = subsets.one_by_one(model, batch, drawn)
    np.testing.assert_allclose(every.loc[list(drawn)], plain, atol=1e-5)
    assert list(model.bert.encoder.layer) == before and every["accuracy"].nunique() > 2


def test_subsets_of_a_deep_model_are_sampled(tmp_path, monkeypatch):
    monkeypatch.setitem(subsets.DEEP, "num_hidden_layers", 7)
    session = Session(tiny_subject(tmp_path), repeats=1)
    own, deep = (job.run(lambda share: None)[0] for job in subsets.jobs(session))
    assert own.setting.startswith("4 subsets: 2 layers") and own.basis == "measured"
    assert (
        deep.setting.startswith("128 subsets")
        and deep.basis == "extrapolated"
        and "64 run one by one" in deep.note
    )
    assert max(own.difference, deep.difference) < 1e-5 and min(own.ratio, deep.ratio) > 0


def test_without_a_compiler(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(hardware.shutil, "which", lambda name: None)
    (made,) = hardware.compiled_layer(tiny_subject(tmp_path))
    assert made.basis == "skipped" and made.note == "no C++ compiler" and made.ours is None


def test_the_models_of_a_level_together(tmp_path):
    """On a processor when asked: as many models as a level has, but no more than `together`."""
    session = Session(tiny_subject(tmp_path, together=2), repeats=2)
    rows = [row for job in levels.jobs(session) for row in job.run(lambda share: None)]
    assert [re.match(r".+? layers?,", row.setting).group() for row in rows] == [
        "2 models of 0 layers,", "2 models of 1 layer,", "1 model of 2 layers,",
    ]  # fmt: skip
    assert [session.costs.of("together", "fine-tune", left) for left in range(3)] == [
        row.ours for row in rows
    ]
    session.costs.note("ours", "short fine-tune", 2, 1.0)
    session.costs.note("ours", "fine-tune", 2, 3.0)
    assert "1 s when trained one after another" in levels.level(session, 2, 1, lambda share: None).note
    assert session.costs.of("together", "fine-tune", 2) > 0


def test_a_level_is_halved_when_memory_runs_out(tmp_path, monkeypatch):
    tried = []

    def together(models, train, params, seeds):
        tried.append(len(models))
        if len(models) > 2:
            raise torch.OutOfMemoryError

    monkeypatch.setattr("paperlib.model.batched_training.fine_tune_together", together)
    made = levels.level(Session(tiny_subject(tmp_path), repeats=1), 1, 7, lambda share: None)
    assert tried == [7, 4, 2] and made.setting.startswith("2 models of 1 layer")


def test_on_a_gpu_steps_are_recorded_too(tmp_path, monkeypatch):
    """Both ways are timed, the study's own way is what its time is projected from, and a refusal is a row."""
    used = []

    def trained(models, train, params, seeds):
        used.append(params.cuda_graphs)
        if params.cuda_graphs:
            raise UserError("cuda_graphs: the step cannot be recorded")

    session = Session(tiny_subject(tmp_path, together=2, device="auto"), repeats=1)
    monkeypatch.setattr(together, "is_recorded", lambda params: params.cuda_graphs)
    monkeypatch.setattr("paperlib.model.batched_training.fine_tune_together", trained)
    rows = [row for job in levels.jobs(session) for row in job.run(lambda share: None)]
    assert used == [False, True] * 3 and session.costs.has("together", "fine-tune")
    assert [row.what for row in rows] == [levels.WHAT, levels.RECORDED] * 3
    assert [row.basis for row in rows] == ["measured", "skipped"] * 3
    assert rows[1].note == "cuda_graphs: the step cannot be recorded" and rows[1].ours is None


def test_levels_are_left_out_where_models_are_trained_one_by_one(tmp_path):
    (job,) = levels.jobs(Session(tiny_subject(tmp_path), repeats=1))
    assert job.run(lambda share: None)[0].basis == "skipped"


# The whole


def test_the_command(tmp_path):
    """As a person runs it, but for the parts that take minutes; PyTorch on one thread, lest it waits for busy cores."""
    words = ["--profile", "smoke", "--repeats", "1", "--parts", "unit", "growth", "study"]
    sizes = ["train_size=32", "validation_size=8", "test_size=16", "epochs=1", "signal_size=16", "workers=2"]
    places = [f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache", "device=cpu"]
    command = [sys.executable, "-m", "paperlib", "bench", *words, "--set", *places, *sizes]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no warnings"
    folder = tmp_path / "out" / "smoke" / "bench"
    assert f"bench: {folder}/bench.md" in done.stdout.splitlines()[-1]
    check_written(folder)
    record = json.loads((folder / "provenance.json").read_text())
    assert record["repeats"] == 1 and record["shapes"] == "" and record["parameters"]["train_size"] == 32


def check_written(folder: Path):
    frame = pd.read_csv(folder / "bench.csv")
    page = (folder / "bench.md").read_text()
    agree(frame, page)
    assert "SMOKE RUN" in page and (folder / "bench.png").stat().st_size > 1000
    timed = frame[frame["ratio"].notna()]
    assert timed["ratio"].to_numpy() == pytest.approx((timed["plain"] / timed["ours"]).to_numpy())
    rows = {(row["part"], row["what"]): row for _, row in frame.iterrows()}
    unit_rows = frame[frame["part"] == "unit"].groupby("what").size().to_dict()
    families = {f"signals: {name.replace('_', ' ')}": 1 for name in unit.FAMILY_NAMES.values()}
    assert unit_rows == dict.fromkeys([*unit.ACTIVITIES, "the whole unit"], 2) | families, (
        "alone, and the machine full"
    )
    same = frame[frame["part"] == "results"].set_index(["what", "setting"])["difference"]
    assert same["test accuracy", "fp32, one fine-tuned model"] == 0
    assert same["accuracy drops of single ablations", "fp32, one fine-tuned model"] == 0
    assert same["signals of the same definition", "one fine-tuned model"] < 1e-3
    counted = rows["study", "fine-tunes"]
    walks_of_four = 15 + 4 + 10, 10  # four layers, and two inner ones
    assert counted["plain"] == 1 + 4 * walks_of_four[0] + 2 * walks_of_four[1]
    assert counted["ours"] < counted["plain"]
    grid = rows["study", "9 datasets like this one"]
    one = rows["study", "the whole study of one dataset"]
    assert grid["ours"] == pytest.approx(9 * one["ours"] / 3600) and grid["basis"] == "extrapolated"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--parts", "unit", "units"], "unknown part 'units'; there are: unit, growth"),
        (["--parts", "study"], "the part study needs unit and growth"),
        (["--repeats", "0"], "repeats must be at least 1"),
        (["--repeats", "few"], "repeats 'few' is not a whole number"),
        (["--shapes", "gpt-4"], "unknown shapes 'gpt-4'; there are: bert-base, bert-tiny"),
        (["--datasets", "imdb", "yelp"], "bench takes one dataset and one seed"),
        (["--seeds", "0", "1"], "bench takes one dataset and one seed"),
    ],
)
def test_bad_words(words, message, tmp_path, capsys):
    status = command_line.main(["bench", "--profile", "smoke", *words, "--set", f"output_dir={tmp_path}"])
    said = capsys.readouterr()
    assert status == 2 and said.out == "" and said.err.count("\n") == 1 and message in said.err
    assert list(tmp_path.iterdir()) == []


def test_the_make_target():
    words = ["bench", "DEVICE=cuda", "PROFILE=paper", "SHAPES=bert-base", "SET=epochs=1", "SEEDS=3 4"]
    done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True)
    line = " ".join(done.stdout.replace("\\\n", " ").split())
    wanted = "bench --profile 'paper' --datasets 'newsgroup' --seeds '3' --set 'epochs=1 device=cuda' --shapes 'bert-base'"
    assert done.returncode == 0 and wanted in line


def test_a_change_of_the_benchmark_leaves_studies_fresh(monkeypatch):
    hashed, read = [], units.fingerprint._statements
    monkeypatch.setattr(
        units.fingerprint, "_statements", lambda path, modified: hashed.append(path.relative_to(ROOT).as_posix()) or read(path, modified)
    )
    units._library.__wrapped__()
    assert {"paperlib/model/training.py", "paperlib/figures/paper.py"} < set(hashed)
    assert not [path for path in hashed if "bench" in path or "plain_study" in path or "driver" in path]


# The finished study


def test_a_study_that_is_not_there(tmp_path):
    params = smoke_params(tmp_path)
    assert not stored.finished(params) and stored.run_of(params) is None
    assert [job.title for job in start.jobs(Session(Subject(params), 1), "")] == ["start: smoke study"]


def test_waiting_times_of_a_finished_study(reproduced):
    from paperlib import params

    folder, words, _, seconds = reproduced
    settings = " ".join(words[words.index("--set") + 1 :])
    own = params.load("smoke", settings=settings)
    before = {path: sha256_file(folder / path) for path in files_under(folder)}
    rows = {row.what: row for row in start.rows(own, settings, 1, "here")}
    assert 0 < rows["time to first result"].ours <= rows["the whole study"].ours <= seconds + 1
    assert 0 < rows["share of wall time outside training"].ours < 1
    assert rows["fresh re-run"].basis == "measured" and rows["fresh re-run"].ours > 0
    assert {path: sha256_file(folder / path) for path in files_under(folder)} == before, (
        "a re-run of what is fresh changes nothing"
    )
    paths, basis = walks.of(Subject(own))
    assert basis == walks.STORED
    nodes = {node for path in paths.values() for node in walks.nodes(path)}
    assert len(nodes) == len(list((own.unit_dir / "nodes").glob("*.json"))) - 1, (
        "all but the file that names the study"
    )
