"""JupyterLab as `make lab` starts it: on this computer, without news, on copies of the notebooks."""

import json
import os
import runpy
import sys

import pytest
from jupyterlab.labapp import LabApp
from jupyterlab_server.config import get_page_config

from paperlib.common.errors import UserError
from paperlib.common.places import ROOT
from paperlib.driver import lab


@pytest.fixture
def places(tmp_path):
    """Two notebooks, and the folder of their copies."""
    source = tmp_path / "notebooks"
    source.mkdir()
    for name in ("01_a", "02_b"):
        (source / f"{name}.ipynb").write_text(name)
    return source, tmp_path / "lab"


def test_it_listens_on_this_computer_and_keeps_its_token():
    options = lab.options(ROOT / "outputs" / "lab")
    assert "--ip=127.0.0.1" in options and f"--ServerApp.root_dir={ROOT}" in options
    assert not any(word in option for option in options for word in ("token", "password", "allow_origin", "xsrf"))


def test_copies_outside_of_the_project_are_in_reach(tmp_path):
    assert f"--ServerApp.root_dir={tmp_path}" in lab.options(tmp_path)


def test_a_fault_of_a_persons_is_said_in_a_line(tmp_path, monkeypatch, capsys, process_as_before):
    def faulty():
        raise UserError("profiles/laptop.yaml: epochs: must be\na number")

    monkeypatch.setattr("paperlib.params.load", faulty)
    monkeypatch.delitem(sys.modules, "paperlib.driver.lab")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("paperlib.driver.lab", run_name="__main__")
    assert ended.value.code == 2 and capsys.readouterr().err == "paperlib: profiles/laptop.yaml: epochs: must be a number\n"


@pytest.mark.parametrize("user, allowed", [(0, True), (1000, False)])
def test_it_starts_in_a_container_too(monkeypatch, user, allowed):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert ("--allow-root" in lab.options(ROOT / "outputs" / "lab")) == allowed


def test_jupyterlab_knows_these_options():
    names = {option.split("=")[0].removeprefix("--") for option in lab.options(ROOT)} - {"allow-root"}
    known = {f"{cls.__name__}.{name}" for cls in LabApp().classes + [LabApp] for name in cls.class_traits(config=True)}
    known |= {"ip", "ServerApp.root_dir"}
    assert names <= known


def test_it_asks_nobody_to_subscribe_to_news(tmp_path, monkeypatch):
    folder = lab.quiet(tmp_path / "jupyter")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(folder))
    settings = tmp_path / "settings"
    settings.mkdir()
    assert "@jupyterlab/apputils-extension:announcements" in get_page_config([], settings)["disabledExtensions"]


def test_copies_follow_the_notebooks_until_they_are_worked_on(places):
    source, folder = places
    assert lab.copy_notebooks(source, folder) == []
    assert (folder / "01_a.ipynb").read_text() == "01_a"
    (source / "01_a.ipynb").write_text("01_a, revised")
    assert lab.copy_notebooks(source, folder) == [] and (folder / "01_a.ipynb").read_text() == "01_a, revised"
    (folder / "01_a.ipynb").write_text("mine")
    assert lab.copy_notebooks(source, folder) == [], "mine, of the present notebook"
    (source / "01_a.ipynb").write_text("01_a, revised again")
    (said,) = lab.copy_notebooks(source, folder)
    assert "01_a.ipynb: yours, of an older notebook" in said and (folder / "01_a.ipynb").read_text() == "mine"
    (folder / "01_a.ipynb").unlink()
    assert lab.copy_notebooks(source, folder) == [] and (folder / "01_a.ipynb").read_text() == "01_a, revised again"


def test_a_lost_list_of_copies_overwrites_nothing(places):
    source, folder = places
    lab.copy_notebooks(source, folder)
    (folder / "01_a.ipynb").write_text("mine")
    (folder / lab.COPIED).write_text("{")
    lab.copy_notebooks(source, folder)
    assert (folder / "01_a.ipynb").read_text() == "mine"
    assert json.loads((folder / lab.COPIED).read_text()) == {}


def test_a_wrong_setting_is_said_without_a_traceback():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shown = []
    shell._showtraceback = lambda kind, value, lines: shown.extend(lines)
    shell.run_cell("from paperlib import params as P\nP.load('laptop', 'newsgroup', 0, 'epochs=none')")
    InteractiveShell.clear_instance()
    assert shown == ["UserError: command line: epochs: must be a valid integer, not 'none'"]
    assert issubclass(UserError, Exception)
