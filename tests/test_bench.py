"""The benchmark: its arithmetic on made-up numbers, its counts, and that it runs and says what it should; no timing."""

import io
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import padded_batch, smoke_params, tiny_model

from paperlib import __main__ as command_line
from paperlib import ablation, strategies
from paperlib.benchmark import bench, levels, limit, memory, session, study, subsets, table, unit
from paperlib.benchmark.session import Session, cost
from paperlib.benchmark.subject import CLASSES, Subject
from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.evidence import units
from paperlib.model import together
from paperlib.names import SIGNALS, STRATEGIES
from paperlib.nodes.node import label

CPU = torch.device("cpu")


def tiny_subject(tmp_path, **settings):
    """Return a subject of two layers with made-up data."""
    few = {"train_size": 8, "validation_size": 4, "test_size": 4, "batch_size": 4, "epochs": 1, "signal_size": 4}
    return Subject(smoke_params(tmp_path, **few, **settings), "bert-tiny")


# The table


def test_a_row_holds_medians_ranges_and_their_ratio():
    made = table.row("unit", "fine-tune", ours=[1.0, 4.0, 2.0], plain=[3.0, 4.0, 8.0])
    assert (made["ours"], made["ours_low"], made["ours_high"]) == (2.0, 1.0, 4.0)
    assert (made["plain"], made["plain_low"], made["plain_high"]) == (4.0, 3.0, 8.0)
    assert made["ratio"] == 4.0 / 2.0, "of the medians, plain over ours"
    assert (made["ratio_low"], made["ratio_high"]) == (1.0, 4.0), "of neighbours: 3/1, 4/4, 8/2"
    assert made["repeats"] == 3 and made["basis"] == "measured" and set(made) <= set(table.COLUMNS)


def test_a_row_without_a_counterpart_has_no_ratio():
    made = table.row("levels", "a level", ours=[3.0])
    assert "plain" not in made and "ratio" not in made and made["ours"] == 3.0
    assert "ratio" not in table.row("memory", "nothing", ours=[0.0], plain=[1.0])


@pytest.mark.parametrize(
    "value, written",
    [(0.0, "0"), (2.0, "2"), (0.012345, "0.0123"), (12.345, "12.3"), (1234.5, "1234"), (1.3e-7, "1.3e-07")]
    + [(float("nan"), "–")],
)
def test_numbers_have_three_digits(value, written):
    assert table.number(value) == written


def test_a_spread_is_written_where_there_is_one():
    assert table.spread(2.0, 1.0, 4.0) == "2 (1 to 4)"
    assert table.spread(2.0, 2.0, 2.0) == "2"
    assert table.spread(*[float("nan")] * 3) == "–"


def made_frame():
    rows = [
        table.row("unit", "fine-tune", "one | at a time", [1.25, 1.5, 1.75], [3.0, 6.0, 7.0], note="a note"),
        table.row("unit", "evaluate", ours=[0.5], plain=[0.25], difference=0.0),
        table.skipped("levels", "a level", "", "no GPU"),
    ]
    return pd.DataFrame(rows, columns=table.COLUMNS)


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
    order = [part for part in bench.PARTS if part in set(frame["part"])]
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


def test_the_page_shows_the_table(tmp_path):
    frame, quiet = made_frame(), {"load_before": 0.3, "cores": 4, "shapes": ""}
    page = bench.page(frame, smoke_params(tmp_path), quiet, "model")
    agree(frame, page)
    assert "1.5 (1.25 to 1.75)" in page and "4 (2.4 to 4)" in page
    assert page.index("## The unit") < page.index("## The models of a level")
    assert pd.read_csv(io.StringIO(frame.to_csv(index=False)))["ours"].tolist()[:2] == [1.5, 0.5]


def test_a_page_warns_of_a_busy_machine(tmp_path):
    params, frame = smoke_params(tmp_path), made_frame()
    quiet, busy = ({"load_before": load, "cores": 4, "shapes": ""} for load in (0.3, 3.0))
    assert "not idle" not in bench.page(frame, params, quiet, "model")
    page = bench.page(frame, params, busy, "model")
    assert "a load of 3.0 on 4 cores" in page and "SMOKE RUN" in page


# Timing


def test_variants_take_turns():
    calls = []

    def variant(name):
        def prepare():
            calls.append(f"prepare {name}")
            return lambda: calls.append(name) or name

        return prepare

    seconds, results = session.side_by_side({"ours": variant("a"), "plain": variant("b")}, 3, CPU)
    assert [call for call in calls if len(call) == 1] == ["a", "b", "b", "a", "a", "b"]
    assert calls[:4] == ["prepare a", "a", "prepare b", "b"]
    assert results == {"ours": "a", "plain": "b"} and {len(values) for values in seconds.values()} == {3}
    assert min(map(min, seconds.values())) > 0


def test_threads_are_given_back():
    def fails():
        raise RuntimeError

    before = torch.get_num_threads()
    assert session.on(3, torch.get_num_threads)() == 3
    with pytest.raises(RuntimeError):
        session.on(3, fails)()
    assert torch.get_num_threads() == before


# The whole study, worked out


def test_costs_are_interpolated():
    costs = {("ours", "fine-tune"): {left: 1.0 + 2.0 * left for left in (0, 3, 6)}}
    for left in range(7):
        assert cost(costs, "ours", "fine-tune", left) == pytest.approx(1.0 + 2.0 * left)
    # as many passes as layers, each over one layer less
    costs["plain", "ablate"] = {left: left * (1.0 + 0.5 * (left - 1)) for left in (2, 4, 8)}
    for left in range(2, 9):
        assert cost(costs, "plain", "ablate", left) == pytest.approx(left * (1.0 + 0.5 * (left - 1)))


def test_walks_are_those_of_the_study(tmp_path):
    paths, basis = study.walks(tiny_subject(tmp_path))
    assert len(paths) == 15 + len(strategies.CONTROLS) + 20 and basis == study.DRAWN
    assert list(paths)[: len(STRATEGIES)] == list(STRATEGIES)
    assert paths["Equal-Training"] == (None, None)
    assert paths["Random-All-3"] == tuple(strategies.random_order("Random-All-3", 2, tiny_subject(tmp_path).params))
    assert all(sorted(path) == [0, 1] for name, path in paths.items() if name in STRATEGIES)
    inner = [path for name, path in paths.items() if name.startswith("Random-Inner-")]
    assert inner == [()] * 10, "two layers have no inner ones"


def test_fine_tunes_are_counted():
    paths = [(0, 1, 2), (0, 2, 1), (2, 1, 0), (0, 1, 2)]
    assert study.fine_tunes(paths) == {"ours": [1 + 2 + 3 + 3], "plain": [1 + 12]}
    assert study.layers_left((None, 3), 6) == 5


def test_the_study_is_the_sum_of_its_parts(tmp_path, monkeypatch):
    """With every cost 1, seconds are counts; the plain version measures only what each strategy goes by."""
    monkeypatch.setattr(Subject, "layers", 3)
    subject, families = tiny_subject(tmp_path), list(unit.FAMILY_NAMES.values())
    paths = {"Weight-Norm": (0, 1, 2), "Greedy-Ablation": (0, 2, 1), "Random": (1, 0, 2), "Random-Forest": (0, 1, 2)}
    activities = ("fine-tune", "evaluate", "signals", "ablate", *families)
    costs = {(who, what): {2: 1.0, 3: 1.0} for who in ("ours", "plain") for what in activities}
    plain = study.plain_seconds(subject, costs, paths)
    assert plain["train"] == pytest.approx(2 * (1 + 4 * 3)), "each of 13 nodes trained and evaluated"
    # Two models of each walk have two layers or more: Weight-Norm one family each, greedy one ablation, forest all and one.
    chosen = 2 * 1 + 2 * 1 + 2 * (len(families) + 1)
    assert plain["measure"] == pytest.approx(chosen + 4 * 4), "validation accuracy is shown for every model"
    assert plain["task relevance"] == pytest.approx(2), "the forest's"
    ours = study.our_seconds(subject, costs, paths)
    assert ours["train"] == pytest.approx(2 * 9), "(), 0, 0-1, 0-1-2, 0-2, 0-2-1, 1, 1-0, 1-0-2"
    assert ours["measure"] == pytest.approx(2 * 2 + 9), "signals and ablation at () and 0; validation accuracy at all"
    assert ours["total"] == ours["train"] + ours["measure"]
    costs |= {("full", what): {3: 0.25} for what in activities[:4]}
    assert study.our_seconds(subject, costs, paths)["total"] == pytest.approx(ours["total"] / 4)
    costs["together", "fine-tune"] = {3: 0.125}
    batched = study.our_seconds(subject, costs, paths, "together")
    assert batched["train"] == pytest.approx(9 * (0.125 + 0.25)) and batched["measure"] == pytest.approx(13 / 4)


def test_a_plain_strategy_measures_its_own_family(tmp_path):
    params = smoke_params(tmp_path, validation_size=16)
    every = [(name, 1.0) for name in unit.FAMILY_NAMES.values()]
    shown = [("evaluate", 0.5)]  # 16 validation examples, where evaluation is timed on 32 test examples
    assert study.plain_needs("Weight-Entropy", params) == [("weight signals", 1.0), *shown]
    assert study.plain_needs("Task-Relevance-MI", params) == [("task relevance", 1.0), *shown]
    assert {study.FAMILY_OF[name] for name in SIGNALS} == set(unit.FAMILY_NAMES.values())
    assert study.plain_needs("Greedy-Ablation", params) == [("ablate", 1.0), *shown]
    assert study.plain_needs("Linear-Regression", params) == [*every, ("ablate", 1.0), *shown]
    assert study.plain_needs("Random-Forest-Validation", params) == [*every, ("ablate", 0.5), *shown]
    assert study.plain_needs("Random", params) == study.plain_needs("Equal-Training", params) == shown
    assert study.plain_needs("Weight-Norm", params, ended=True) == shown
    assert study.plain_needs("Random-All-0", params) == []


def test_points():
    assert unit.points(6, 0) == [6, 3, 0] and unit.points(6, 2) == [6, 3, 2]
    assert unit.points(2, 2) == [2] and unit.points(1, 2) == [1] and unit.points(4, 2) == [4, 2]


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


def test_one_by_one_is_all_subsets():
    model, batch = tiny_model(layers=3), padded_batch()
    before = list(model.bert.encoder.layer)
    every = ablation.all_subsets(model, batch)
    pd.testing.assert_frame_equal(every, subsets.one_by_one(model, batch), atol=1e-5)
    assert list(model.bert.encoder.layer) == before and every["accuracy"].nunique() > 2


def test_subsets_are_timed(tmp_path, monkeypatch):
    session = Session(tiny_subject(tmp_path), repeats=1)
    (made,) = subsets.rows(session)
    assert made["setting"] == "4 subsets, 4 examples" and made["basis"] == "measured"
    assert made["difference"] < 1e-5 and made["ratio"] > 0
    monkeypatch.setattr(subsets, "MOST_LAYERS_ON_A_PROCESSOR", 1)
    (made,) = subsets.rows(session)
    assert made["basis"] == "skipped" and made["note"] == "2^2 passes take too long on a processor"


def test_results_are_compared():
    ours, plain = np.array([1, 2, 2]), np.array([1, 2, 0])
    assert unit.differences("evaluate", ours, plain)[0] == 1
    assert unit.differences("ablate", pd.Series([0.1, 0.2]), pd.Series([0.1, 0.25]))[0] == pytest.approx(0.05)
    found = pd.DataFrame(2.0, index=[0, 3], columns=list(SIGNALS))
    expected = {name: [2.0, 2.0] for name in SIGNALS} | {"Weight-Norm": [2.0, 1.0], "Task-Relevance-MI": [9.0, 9.0]}
    difference, note = unit.differences("signals", found, (expected, {}))
    assert difference == pytest.approx(1.0) and note.endswith("of 11 signals (Weight-Norm)")
    assert unit.differences("fine-tune", None, None) == (None, "")


def test_linear_maps_of_a_step_are_counted(tmp_path):
    subject = tiny_subject(tmp_path, max_tokens=8)
    batch = {name: tensor[:3] for name, tensor in subject.dataset.train.items()}
    attending = 4 + 3  # queries, keys, values and the output of the first layer; of the last, only its first token goes on
    expected = {(24, 128, 128): attending, (24, 128, 512): 1, (24, 512, 128): 1,
                (3, 128, 128): 2, (3, 128, 512): 1, (3, 512, 128): 1, (3, 128, CLASSES): 1}  # fmt: skip
    assert limit.maps_of(subject.cut, batch) == expected


def test_the_limit_of_a_fine_tune(tmp_path, monkeypatch):
    monkeypatch.setattr(limit, "_process", lambda kept: ThreadPoolExecutor(1))
    subject = tiny_subject(tmp_path)
    kept, products = limit.rows(Session(subject, repeats=2))
    assert kept["repeats"] == 2 and kept["ratio"] > 0 and "2 layers" in kept["setting"]
    timed = []
    monkeypatch.setattr(limit, "_seconds_of", lambda kind, subject: timed.append(kind) or 0.5)
    seconds, operations = limit._products(subject.params.model_dump_json(), subject.shapes)
    steps = [limit.maps_of(subject.cut, {name: tensor[:4] for name, tensor in subject.dataset.train.items()})] * 2  # of 8 texts
    assert seconds == 0.5 * sum(step.total() for step in steps) and len(timed) == len(steps[0])
    assert operations == sum(number * 6 * rows * width * out for step in steps for (rows, width, out), number in step.items())
    assert products["ours"] > 0 and "TFLOP/s" in products["note"]


def test_memory_of_both_ways(tmp_path, monkeypatch):
    """In this process here: what is measured of a process of its own is left to the command."""
    few = lambda subject, who: memory.peak_gb(subject.few(1).model_dump_json(), subject.shapes, who)
    monkeypatch.setattr(memory, "_in_a_child", few)
    threads = torch.get_num_threads()
    (made,) = memory.rows(Session(tiny_subject(tmp_path), repeats=1))
    torch.set_num_threads(threads)
    assert made["ours"] > 0.1 and made["plain"] >= made["ours"] and made["unit"] == "GB", "a peak only grows"


def test_the_models_of_a_level_together(tmp_path):
    """On a processor when asked: as many models as a level has, but no more than `together`."""
    session = Session(tiny_subject(tmp_path, together=2), repeats=2)
    session.costs["ours", "fine-tune"].update({0: 1.0, 2: 3.0})
    rows = levels.rows(session)
    assert [row["setting"] for row in rows] == ["2 models of 0 layers", "2 models of 1 layer", "1 model of 2 layers"]
    assert [session.costs["together", "fine-tune"][left] for left in range(3)] == [row["ours"] for row in rows]
    assert [row["note"] for row in rows] == [f"{seconds} s when trained one after another" for seconds in (1, 2, 3)]


def test_levels_that_no_walk_reaches_are_not_timed(tmp_path, monkeypatch):
    session = Session(tiny_subject(tmp_path, together=2), repeats=1)
    monkeypatch.setattr(levels.study, "walks", lambda subject: ({"x": (1,)}, ""))
    assert [row["setting"] for row in levels.rows(session)] == ["1 model of 1 layer", "1 model of 2 layers"]


def test_a_level_that_fails_is_a_row(tmp_path, monkeypatch):
    def together(models, train, params, seeds):
        raise torch.OutOfMemoryError("out of\nmemory")

    monkeypatch.setattr("paperlib.model.batched_training.fine_tune_together", together)
    session = Session(tiny_subject(tmp_path), repeats=1)
    made = levels.level(session, 1, 7)
    assert made["basis"] == "skipped" and made["note"] == "out of memory" and made["setting"] == "7 models of 1 layer"
    assert ("together", "fine-tune") not in session.costs


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
    rows = levels.rows(session)
    assert used == [False, True] * 3 and set(session.costs["together", "fine-tune"]) == {0, 1, 2}
    assert [row["what"] for row in rows] == [levels.WHAT, levels.RECORDED] * 3
    assert [row["basis"] for row in rows] == ["measured", "skipped"] * 3
    assert rows[1]["note"] == "cuda_graphs: the step cannot be recorded" and "ours" not in rows[1]


def test_levels_are_left_out_where_models_are_trained_one_by_one(tmp_path):
    (made,) = levels.rows(Session(tiny_subject(tmp_path), repeats=1))
    assert made["basis"] == "skipped"


# The whole


def test_the_command(tmp_path):
    """As a person runs it, but for the parts that take minutes; PyTorch on one thread, lest it waits for busy cores."""
    words = ["--profile", "smoke", "--repeats", "1", "--parts", "unit", "study"]
    sizes = ["train_size=32", "validation_size=8", "test_size=16", "epochs=1", "signal_size=16", "workers=2"]
    places = [f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache", "device=cpu", "precision=fp32"]
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
    frame, page = pd.read_csv(folder / "bench.csv"), (folder / "bench.md").read_text()
    agree(frame, page)
    assert "SMOKE RUN" in page
    timed = frame[frame["ratio"].notna()]
    assert timed["ratio"].to_numpy() == pytest.approx((timed["plain"] / timed["ours"]).to_numpy())
    counted = frame[frame["part"] == "unit"].groupby("what").size().to_dict()
    families = {f"signals: {name}": 1 for name in unit.FAMILY_NAMES.values()}
    grown = {"fine-tune": 4, "evaluate": 4, "signals": 3, "ablate": 3}  # 4, 2 and 0 layers, and the machine full
    assert counted == grown | families | {"the whole unit": 2}
    same = frame[frame["difference"].notna()].set_index("what")["difference"]
    assert same["evaluate"] == 0 and same["ablate"] < 1e-12 and same["signals"] < 1e-3
    rows = {(row["part"], row["what"]): row for _, row in frame.iterrows()}
    counted = rows["study", "fine-tunes"]
    walks_of_four = 15 + len(strategies.CONTROLS) + 10, 10  # four layers, and two inner ones
    assert counted["plain"] == 1 + 4 * walks_of_four[0] + 2 * walks_of_four[1]
    assert counted["ours"] < counted["plain"]
    whole = rows["study", "the whole study of one dataset"]
    assert whole["plain"] == pytest.approx(
        rows["study", "fine-tuning and evaluating"]["plain"] + rows["study", "measuring"]["plain"])
    assert whole["basis"] == "extrapolated"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--parts", "unit", "units"], "unknown part 'units'; there are: unit, limit"),
        (["--parts", "study"], "the part study needs unit"),
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
    keep = lambda path, modified: hashed.append(path.relative_to(ROOT).as_posix()) or read(path, modified)
    monkeypatch.setattr(units.fingerprint, "_statements", keep)
    monkeypatch.setattr(units.fingerprint, "_digest", units.fingerprint._digest.__wrapped__)  # which may be known already
    units._library.__wrapped__()
    assert {"paperlib/model/training.py", "paperlib/figures/paper.py"} < set(hashed)
    assert not [path for path in hashed if "bench" in path or "plain_study" in path or "driver" in path]


# The finished study


def test_walks_of_a_finished_study(reproduced):
    from paperlib import params

    _, words, _, _ = reproduced
    own = params.load("smoke", settings=" ".join(words[words.index("--set") + 1 :]))
    paths, basis = study.walks(Subject(own))
    assert basis == study.STORED
    counted = {label(node) or "original" for path in paths.values() for node in study.nodes(path)}
    stored = {path.stem for path in (own.unit_dir / "nodes").glob("*.json")} - {"study"}
    assert study.fine_tunes(paths.values())["ours"] == [len(counted)] and counted < stored, "those of the rivals are left out"
