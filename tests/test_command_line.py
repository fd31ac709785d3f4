"""The command line: what each command says and leaves behind; test_bad_inputs.py has what people get wrong."""

import errno
import os
import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from conftest import files_under
from nbformat.v4 import new_code_cell, new_notebook
from transformers import AutoModelForSequenceClassification

from paperlib import __main__ as command_line
from paperlib import params as parameters
from paperlib.common import places
from paperlib.common.errors import UserError
from paperlib.common.places import ROOT

pytestmark = pytest.mark.usefixtures("process_as_before")


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


@pytest.mark.parametrize(
    "words", [[], ["reprodce"], ["--profile"], ["reproduce", "--profile"], ["doctor", "--profile", "smoke"]]
)
def test_commands_are_known(words, capsys):
    with pytest.raises(SystemExit) as exit_:
        command_line.main(words)
    said = capsys.readouterr()
    assert exit_.value.code == 2 and said.err.count("\n") == 1 and said.err.startswith("paperlib: ")


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


def test_only_one_driver_writes_a_profile(tmp_path, capsys):
    from paperlib.common.lock import lock

    with lock(tmp_path / "out" / "smoke"):
        assert f"are being written by process {os.getpid()}" in refused(tmp_path, capsys)


def test_a_fault_of_ours_is_one_line_too(tmp_path, capsys, monkeypatch):
    from paperlib.driver import run as driver

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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_no_fault_of_ours(number, tmp_path, capsys, monkeypatch):
    from paperlib.driver import run as driver

    def full(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(driver, "reproduce", full)
    line = f"paperlib: {os.strerror(number)}: make room, then the same command goes on from here\n"
    assert run(tmp_path, capsys) == (2, "", line)


@pytest.mark.parametrize("words", [["data_dir=my data"], ['data_dir="my data"'], ["epochs=1 data_dir='my data'"], ["data_dir=my data", "epochs=1"]])
def test_a_value_may_hold_spaces(words):
    options = command_line._parser().parse_args(["check", "--profile", "smoke", "--set", *words])
    (study,), settings = command_line._studies(options)
    assert study.data_dir == "my data" == parameters.load("smoke", settings=settings).data_dir


def test_one_run_has_one_folder():
    """What SET says may be what the file of one dataset says anyway, and of the other not."""
    parse = command_line._parser().parse_args
    with pytest.raises(UserError, match="SET changes newsgroup and amazon in different parameters, as their own files differ: run them one after another"):
        command_line._studies(parse(["plan", "--datasets", "newsgroup", "amazon", "--set", "text_fields=[text]"]))
    studies, _ = command_line._studies(parse(["plan", "--datasets", "newsgroup", "amazon", "--set", "mi_bins=4"]))
    assert [study.profile_dir.name for study in studies] == ["mi_bins=4"] * 2


@pytest.mark.parametrize(("told", "used"), [("", "cache/ipython"), ("~/own", "home/own"), ("~nobody-of-this-name/own", "cache/ipython"), ("/own", "/own")])
def test_tools_write_where_they_are_told_and_never_to_a_folder_called_tilde(told, used, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", told)
    places.settle_tools(tmp_path / "cache")
    assert os.environ["IPYTHONDIR"] == str(tmp_path / used)


def test_whoever_reads_may_stop_reading(tmp_path):
    """As `make check | head -1` does."""
    words = ["check", "--profile", "smoke", "--set", f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache"]
    with subprocess.Popen([sys.executable, "-m", "paperlib", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)


def test_a_value_with_spaces_reaches_the_notebooks(tmp_path, capsys, monkeypatch):
    """From `--set`, through papermill, to what a notebook's parameters load."""
    from paperlib.driver import run as driver
    from paperlib.evidence import units

    names = ("profile", "dataset", "seed", "settings")
    given = new_code_cell("\n".join(f"{name} = ''" for name in names), metadata={"tags": ["parameters"]})
    used = new_code_cell(f"from paperlib import params\nprint(repr(params.load({', '.join(names)}).data_dir))")
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=[given, used]), tmp_path / "notebooks" / "01_signals.ipynb")
    monkeypatch.setattr(units, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(units, "UNIT_NOTEBOOKS", {"01_signals": ((), 100)})
    monkeypatch.setattr(driver, "_show_results", lambda *args, **kwargs: [])
    assert run(tmp_path, capsys, "--set", f"data_dir={tmp_path}/it's my 'own' data")[0] == 0
    executed = next((tmp_path / "out").rglob("01_signals.ipynb")).read_text()
    assert "it's my 'own' data" in executed


def test_settings_given_in_several_places_come_together(tmp_path, capsys, monkeypatch):
    """`make epochs` adds its own to those of SET, whose value may have spaces."""
    from paperlib.driver import run as driver

    seen = []
    monkeypatch.setattr(driver, "reproduce", lambda studies, settings, scheduler: seen.append(studies[0]) or 0)
    folder = tmp_path / "my data"
    assert run(tmp_path, capsys, "--set", f"data_dir={folder}", "--set", "training_axis=true", "epochs=2")[0] == 0
    assert (seen[0].data_dir, seen[0].training_axis, seen[0].epochs) == (str(folder), True, 2)
    status, _, err = run(tmp_path, capsys, "--set", "epochs=2", "--set", "epochs=3")
    assert status == 2 and "epochs is given twice" in err
    status, _, err = run(tmp_path, capsys, "--scheduler", "tcp://x:1")
    assert status == 2 and "a scheduler is for ENGINE=dask" in err


def test_an_interrupt_is_no_fault(tmp_path, capsys, monkeypatch):
    from paperlib.driver import run as driver

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

    from paperlib.driver.run import check_inputs
    from paperlib.model import encoder

    params = smoke_params(tmp_path)
    model = AutoModelForSequenceClassification.from_config(encoder.load_model(params, list("abcd")).config)
    model.save_pretrained(tmp_path / "model")
    encoder.load_tokenizer(params).save_pretrained(tmp_path / "model")
    user_data(tmp_path, text="some boat {} ", label=lambda i: ["sci.space", "sci.med"][i % 2])
    check_inputs(
        params.replace(model=str(tmp_path / "model"), data_dir=str(tmp_path / "data"), data_source="data_dir")
    )
