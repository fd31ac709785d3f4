"""JupyterLab in a Chromium, from the keyboard alone: 11_explore opens, its form answers, Run gives a second curve."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from browser import CHROMIUM, PATIENCE, SHIFT, Browser, until
from conftest import EVERY_PROCESS
from smoke_study import in_a_new_home

from paperlib.common.places import ROOT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium")
PARAMETERS = 'profile, dataset, seed, settings = "smoke", "newsgroup", 0, ""'
COMMAND = 'make reproduce PROFILE=smoke DATASETS=newsgroup SEEDS="0" SET="attention_weight=literal"'
CELLS = "document.querySelectorAll('.jp-Notebook .jp-Cell')"
IDLE = "document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'"
PICTURES = "[...document.querySelectorAll('.jp-OutputArea img')].map(picture => picture.alt)"
SAID = "[...document.querySelectorAll('.widget-html-content')].map(part => part.innerText.trim())"
FOREIGN = """performance.getEntriesByType("resource").map(each => each.name)
.filter(name => !name.startsWith(location.origin) && !/^(data|blob):/.test(name))"""


@pytest.fixture
def project(reproduced, tmp_path):
    """A copy of the project with a finished smoke study in it."""
    for name in ("paperlib", "params", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / "project" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(reproduced[0], tmp_path / "project" / "outputs" / "smoke")
    return tmp_path / "project"


@pytest.fixture
def server(project, tmp_path):
    """JupyterLab as `make lab` starts it, but for the window; its address and token."""
    path = os.pathsep.join([str(project), EVERY_PROCESS])
    environment = in_a_new_home(tmp_path) | {"PYTHONPATH": path, "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    command = [sys.executable, "-m", "paperlib.driver.lab", "--no-browser"]
    with (tmp_path / "lab.log").open("w") as log:
        process = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log)
    try:
        yield until(lambda: _address(tmp_path / "runtime"), PATIENCE, "JupyterLab starts")
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture
def page(server, tmp_path):
    """11_explore, open, with the smoke profile written into its parameters, and run as far as the panel."""
    with Browser(tmp_path / "chromium") as browser:
        browser.look(1280, height=1500)
        browser.open(f"{server['url']}lab/tree/outputs/lab/11_explore.ipynb?token={server['token']}")
        browser.wait(f"{CELLS}.length > 6 && {IDLE} && {CELLS}[0].contains(document.activeElement)")
        browser.press("Enter", SHIFT)
        browser.wait(_active(1))
        browser.press("Enter")
        browser.wait("document.activeElement.matches('.cm-content')")
        browser.type(PARAMETERS)
        for cell in range(2, 8):
            browser.press("Enter", SHIFT)
            browser.wait(_active(cell))
        browser.wait(f"{PICTURES}.length > 1")
        try:
            yield browser
        finally:
            browser.picture(tmp_path / "last-seen.png")


def test_a_change_and_run_give_a_second_curve_from_the_keyboard(page, project):
    study = {path: path.read_bytes() for path in (project / "outputs" / "smoke").rglob("*.*") if path.is_file()}
    (curves, *_) = page.value(PICTURES)
    assert "default: at most" in curves and "attention_weight" not in curves
    find(page, "attention_weight")
    page.tab_to("it.textContent === 'literal'")
    page.press(" ")
    page.wait(f"{SAID}.some(part => part.startsWith('Differs: attention_weight=literal') && part.includes('models at hand'))")
    page.wait(f"{SAID}.includes({json.dumps(COMMAND)})")
    page.tab_to("it.textContent === 'Run'")
    page.press("Enter")
    page.wait(f"{SAID}.includes('done') && {PICTURES}[0].includes('attention_weight=literal: at most')")
    assert "default: at most" in page.value(PICTURES)[0]
    assert [*(project / "outputs/experiments/smoke/attention_weight=literal/newsgroup/seed-0/nodes").glob("*.json")]
    assert study == {path: path.read_bytes() for path in study}, "nothing of the default study is touched"
    look_at_the_next_model(page)
    refuse_a_learning_rate(page)
    assert page.value(FOREIGN) == []


def look_at_the_next_model(page):
    page.tab_to("it.textContent === 'Next model'")
    page.press("Enter")
    page.wait("[...document.querySelectorAll('h4')].some(head => head.textContent.startsWith('layers removed: '))")


def refuse_a_learning_rate(page):
    find(page, "learning_rate")
    page.tab_to("it.labels?.[0]?.textContent === 'learning_rate'")
    page.type("2")
    page.press("Tab")
    page.wait(f"{SAID}.filter(part => part === 'command line: learning_rate: must be less than 1, not 2').length === 2")
    page.wait("[...document.querySelectorAll('button')].find(each => each.textContent === 'Run').disabled")


def find(page, name):
    """Search for a parameter; return when its row is there."""
    page.tab_to("it.labels?.[0]?.textContent === 'search'")
    page.type(name)
    page.wait(f"[...document.querySelectorAll('label')].some(it => it.textContent === '{name}' && it.offsetParent)")


def _active(cell):
    return f"{CELLS}[{cell}].classList.contains('jp-mod-active')"


def _address(folder):
    for path in folder.glob("jpserver-*.json"):
        try:
            return json.loads(path.read_text())
        except ValueError:  # being written
            return None
    return None
