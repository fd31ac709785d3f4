"""One kernel for several notebooks: they share what was imported and nothing else."""

import json
import os
import signal
import time
from pathlib import Path

import nbformat
import pytest
from conftest import smoke_params

from paperlib.driver.execution import execute
from paperlib.driver.kernel import Kernel
from paperlib.evidence import units

PARAMETERS = nbformat.v4.new_code_cell(
    "profile = \"smoke\"\ndataset = \"newsgroup\"\nseed = 0\nsettings = \"\"", metadata={"tags": ["parameters"]}
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs code as a notebook in the one kernel of this test, and returns what it printed."""
    monkeypatch.setattr(units, "NOTEBOOKS", tmp_path)
    params, kernel = smoke_params(tmp_path), Kernel()

    def run_code(*sources: str):
        cells = [PARAMETERS, *map(nbformat.v4.new_code_cell, sources)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_signals.ipynb")
        fault = execute("01_signals", params, "", kernel)
        if fault:
            return fault
        outputs = json.loads(units.executed("01_signals", params).read_text())["cells"]
        return "".join("".join(out.get("text", "")) for cell in outputs for out in cell.get("outputs", []))

    with kernel:
        yield run_code


def test_a_notebook_sees_no_names_of_the_one_before_but_its_imports_are_there(run) -> None:
    pid = run("import decimal, os, sys\nleft_behind = 1\nprint(os.getpid())")
    assert run("import os, sys\nprint(os.getpid())") == pid, "it is one kernel"
    assert run("import sys\nprint('left_behind' in globals(), 'decimal' in sys.modules)") == "False True\n"


def test_how_tables_are_shown_is_forgotten_too(run) -> None:
    shown = "import pandas as pd\nprint(pd.DataFrame({'x': [1 / 3]}))"
    usual = run(shown)
    assert run("import pandas as pd\npd.set_option('display.precision', 2)\n" + shown) != usual == run(shown)


def test_cells_are_counted_from_one_in_every_notebook(run) -> None:
    run("1", "2", "3")
    assert run("print(len(In))") == run("print(len(In))")


def test_a_failed_notebook_does_not_hand_its_kernel_on(run) -> None:
    pid = run("import os\nprint(os.getpid())")
    fault = run("import os", "1 / 0")
    assert "ZeroDivisionError" in fault.line and not fault.of_user
    assert run("import os\nprint(os.getpid())") != pid


@pytest.mark.parametrize("inside", [True, False], ids=["during a notebook", "between notebooks"])
def test_a_killed_kernel_is_replaced(run, inside: bool) -> None:
    pid = int(run("import os\nprint(os.getpid())"))
    if inside:
        assert "the kernel died" in run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)").line
    else:
        os.kill(pid, signal.SIGKILL)
    assert int(run("import os\nprint(os.getpid())")) != pid


@pytest.mark.parametrize("number", range(3))
def test_a_kernel_that_was_sent_code_answers_when_it_is_done(number: int, tmp_path: Path) -> None:
    """Whichever of its clients connects first: their order is a matter of chance while a kernel starts."""
    done = tmp_path / "done"
    with Kernel() as kernel:
        kernel.send(f"import time; time.sleep({number}); open({str(done)!r}, 'w').close()")
        kernel.send("1 / 0")
        manager, started = kernel.manager, time.monotonic()
        assert kernel.fresh() is manager and done.exists(), "the kernel was replaced, or asked too early"
        assert time.monotonic() - started < 60


def test_a_kernel_that_dies_while_it_is_asked_is_replaced_at_once(tmp_path: Path) -> None:
    with Kernel() as kernel:
        kernel.send("import os, signal, time; time.sleep(3); os.kill(os.getpid(), signal.SIGKILL)")
        manager, started = kernel.manager, time.monotonic()
        assert kernel.fresh() is not manager and time.monotonic() - started < 60
