"""The three descriptions of the environment agree with each other and with what the code imports."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from paperlib.common.places import ROOT
from paperlib.driver import computer
from paperlib.driver.supplies import LOCK, locked

CONDA_NAMES = {"torch": "pytorch"}  # where conda's name differs


def _declared() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(line.name): line for line in map(Requirement, project["dependencies"])}


def _extra() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {canonicalize_name(line.name): line for line in map(Requirement, project["optional-dependencies"]["cluster"])}


def _conda() -> dict[str, Requirement]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    lines = [line for line in listed if isinstance(line, str)] + [
        line for d in listed if isinstance(d, dict) for line in d["pip"]
    ]
    return {canonicalize_name(line.name): line for line in map(Requirement, lines)}


def _pins() -> dict[str, Version]:
    return {canonicalize_name(name): Version(version) for name, version in locked(LOCK).items()}


def test_the_versions_of_python_are_stated_alike():
    oldest, too_new = (".".join(map(str, version)) for version in (computer.OLDEST_PYTHON, computer.TOO_NEW_PYTHON))
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert stated == f">={oldest},<{too_new}" and str(_conda()["python"].specifier) == str(Requirement(f"python{stated}").specifier)
    newest = f"{computer.TOO_NEW_PYTHON[0]}.{computer.TOO_NEW_PYTHON[1] - 1}"
    assert f"{computer.OLDEST_PYTHON} <= sys.version_info < {computer.TOO_NEW_PYTHON}" in (ROOT / "Makefile").read_text()
    for text in ((ROOT / "Makefile").read_text(), (ROOT / "README.md").read_text(), computer.python((3, 9, 0)).advice):
        assert f"{oldest} to {newest}" in text


def test_lock_pins_every_dependency_inside_its_range():
    pins = _pins()
    outside = {
        name: pins.get(name) for name, line in _declared().items() if pins.get(name) not in line.specifier
    }
    assert not outside


def test_the_cluster_has_a_lock_of_its_own_beside_the_first():
    """Nothing in it is pinned twice, and every package of the extra is inside its range."""
    pins = {canonicalize_name(name): Version(version) for name, version in locked(LOCK.with_name("requirements-cluster.lock")).items()}
    assert not [name for name, line in _extra().items() if pins.get(name) not in line.specifier]
    assert not set(pins) & set(_pins())


def test_lock_has_only_exact_pins_and_no_build_suffix():
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []


def test_conda_environment_has_the_ranges_of_pyproject():
    conda = _conda()
    wanted = {
        canonicalize_name(CONDA_NAMES.get(name, name)): line.specifier for name, line in _declared().items()
    }
    assert {name: conda[name].specifier for name in wanted if name in conda} == wanted
    assert set(conda) - set(wanted) == {"python", "pip", "setuptools"}


def _imports(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


def test_every_import_of_package_and_notebooks_is_declared():
    sources = [path.read_text() for path in (ROOT / "paperlib").rglob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        sources += [
            cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
        ]
    used = set().union(*map(_imports, sources)) - sys.stdlib_module_names - {"paperlib"}
    homes = metadata.packages_distributions()
    undeclared = {
        name
        for name in used
        if not {canonicalize_name(home) for home in homes.get(name, [name])} & (set(_declared()) | set(_extra()))
    }
    assert "torch" in used and not undeclared


def test_package_carries_its_templates_and_published_numbers():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "paperlib"
    ]
    carried = {path for pattern in patterns for path in (ROOT / "paperlib").glob(pattern)}
    wanted = {path for path in (ROOT / "paperlib").rglob("*") if path.suffix not in ("", ".py", ".pyc")}
    assert wanted and wanted <= carried


def _make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run make as a user would."""
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=folder, capture_output=True, text=True, check=False)


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@needs_make
def test_make_without_target_lists_every_target():
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split()
    answer = _make(ROOT).stdout
    assert {line.split()[0] for line in answer.splitlines()[1:]} == set(targets)


@needs_make
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([], "reproduce --profile 'laptop' --datasets 'newsgroup' --seeds '0'"),
        (
            ["SET=train_size=64 seed=3", "SEEDS=0 1"],
            "--profile 'laptop' --datasets 'newsgroup' --seeds '0' '1' --set 'train_size=64 seed=3'",
        ),
        (
            ["PROFILE=paper"],
            "--datasets 'newsgroup' 'dbpedia' 'arxiv' 'yahoo' 'patent' 'yelp' 'agnews' 'imdb' 'amazon' --seeds '0'",
        ),
        (["PROFILE=paper", "DATASETS=imdb"], "--profile 'paper' --datasets 'imdb' --seeds '0'"),
    ],
)
def test_make_reproduce_passes_its_variables_on(variables, expected):
    assert expected in _make(ROOT, "--dry-run", "reproduce", *variables).stdout


@needs_make
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([], "reproduce --profile 'laptop' --datasets 'newsgroup' 'imdb' 'agnews' --seeds '0' --set training_axis=true"),
        (["DATASETS=yelp imdb"], "--datasets 'yelp' 'imdb' --seeds '0'"),
        (["ENGINE=dask", "SET=seed=3"], "--datasets 'newsgroup' 'imdb' 'agnews' --seeds '0' --set 'seed=3' --set training_axis=true --engine 'dask'"),
    ],
)
def test_make_epochs_has_three_datasets_of_its_own(variables, expected):
    assert expected in " ".join(_make(ROOT, "--dry-run", "epochs", *variables).stdout.split())


@needs_make
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("reproduce DATASET=imdb", "reproduce: takes no DATASET=; did you mean DATASETS=?"),
        ("reproduce profile=paper", "reproduce: takes no profile=; did you mean PROFILE=?"),
        ("compress SEED=3", "compress: takes no SEED=; did you mean SEEDS=?"),
        ("compress keep=4", "compress: takes no keep=; did you mean KEEP=?"),
        ("compress LATENCY=4", "compress: takes no LATENCY=; did you mean LATENCY_MS=?"),
        ("compress DATASETS=imdb", "compress: takes no DATASETS=; did you mean DATA=?"),
        ("compress KEPT=4", "compress: takes no KEPT=; it takes DATA= KEEP= LATENCY_MS= MAX_DROP= MODEL= OUT= PROFILE= SEEDS= SET= VOCABULARY= PYTHON= OFFLINE=; "
         'parameters go into SET="name=value"'),
        ("reproduce epochs=3", 'reproduce: takes no epochs=; it takes DATASETS= ENGINE= PROFILE= SCHEDULER= SEEDS= SET= PYTHON= OFFLINE=; '
         'parameters go into SET="name=value"'),
        ("smoke SET=epochs=3", "smoke: takes no SET=; it takes PYTHON= OFFLINE="),
        ("test;x K=4", "test;x: takes no K=; it takes PYTHON= OFFLINE="),
        ("env plan ENGINES=dask", "env plan: takes no ENGINES=; did you mean ENGINE=?"),
        ("check a'b$(id)\\`id`:=4", "check: takes no a'b"),
    ],
)  # fmt: skip
def test_make_refuses_a_variable_that_its_target_does_not_heed(words, said, tmp_path):
    """In one line, and nothing is done: misspelt, in small letters, a parameter, or another target's."""
    _project(tmp_path, "raise SystemExit('called')")
    for more in ([], ["--dry-run"], ["--keep-going", "-j2"]):
        answer = _make(tmp_path, *more, *words.split())
        assert answer.returncode == 2 and answer.stdout == "" and answer.stderr.count("\n") == 1
        assert re.fullmatch(rf"Makefile:\d+: \*\*\* {re.escape(said)}.*\.  Stop\.\n", answer.stderr), answer.stderr


def _heeded() -> dict[str, list[str]]:
    """Return by target what the Makefile says that it heeds, beside what every target does."""
    found = dict(re.findall(r"^HEEDS_(\w+) *:= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    of_a_study = re.search(r"^STUDY_HEEDS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    return {target: names.replace("$(STUDY_HEEDS)", of_a_study).split() for target, names in found.items()}


@needs_make
@pytest.mark.parametrize("target", sorted(_heeded()))
def test_what_a_target_heeds_reaches_what_it_runs(target):
    for name in _heeded()[target]:
        answer = _make(ROOT, "--dry-run", "--always-make", target, f"{name}=dask")
        assert answer.returncode == 0 and answer.stderr == "", name
        assert "dask" in answer.stdout or target == "env" and "requirements-cluster" in answer.stdout or (target, name) == ("help", "SET"), name


@needs_make
def test_make_knows_every_variable_that_its_recipes_read():
    text = (ROOT / "Makefile").read_text()
    recipes = "".join(line for line in text.splitlines(keepends=True) if line.startswith("\t"))
    read = set(re.findall(r"\b(?:call (?:quoted|each),|if |strip )\$?\(?\$?\(?([A-Z_]+)\)", recipes))
    assert {"KEEP", "WITH", "ONLY", "WORKERS"} <= read <= set(sum(_heeded().values(), []))


@needs_make
def test_make_minds_neither_its_own_variables_nor_those_of_a_make_around_it(tmp_path):
    _project(tmp_path, "print('called')")
    (tmp_path / "around.mk").write_text("all:\n\t@$(MAKE) --no-print-directory smoke\n")
    given = [["smoke", f"PYTHON={sys.executable}", "SHELL=/bin/sh"], ["smoke", "MAKEFLAGS=k"], ["-e", "smoke"], ["-f", "around.mk", "V=1", "CFLAGS=-O2"]]
    for words in given:
        answer = _make(tmp_path, *words)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "called\n", ""), words


@needs_make
@pytest.mark.parametrize(
    ("variables", "read"),
    [
        (["SET=data_dir=\"my data\" epochs=2"], ["--set", 'data_dir="my data" epochs=2']),
        (["SET=data_dir='my data'"], ["--set", "data_dir='my data'"]),
        (["SET=data_dir=/home/o'brien/$$(id) `id` \\ ;id"], ["--set", "data_dir=/home/o'brien/$(id) `id` \\ ;id"]),
        (["DATASETS=<script> ../x", "PROFILE=a;b"], ["--profile", "a;b", "--datasets", "<script>", "../x"]),
    ],
)
def test_make_hands_its_variables_to_python_as_they_are(variables, read, tmp_path):
    """Nothing in them is read by the shell. The interpreter stands in for the environment's and prints its arguments."""
    _project(tmp_path, "import json, sys; print(json.dumps(sys.argv[1:]))")
    answer = _make(tmp_path, "reproduce", *variables)
    words = json.loads(answer.stdout)
    assert answer.returncode == 0 and words[:3] == ["-m", "paperlib", "reproduce"]
    assert " ".join(read) in " ".join(words) and set(read) <= set(words)


@needs_make
def test_make_reads_data_from_a_folder_with_spaces(tmp_path):
    """The whole way, to the message of the code that looks for it."""
    _project(tmp_path)
    places = f"output_dir='{tmp_path}/my out' cache_dir='{tmp_path}/my cache'"
    answer = _make(tmp_path, "plan", "PROFILE=smoke", f'SET=data_source=data_dir data_dir="my data" {places}')
    said = [line for line in answer.stderr.splitlines() if "***" not in line]
    assert said == ["paperlib: data_dir: there is no folder newsgroup in my data"] and answer.stdout == ""


def _project(folder: Path, code: str = "") -> None:
    """Lay out a project whose environment is installed: its interpreter is this one, or runs `code` only."""
    _copy_project(folder)
    interpreter = folder / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    inner = f"{shlex.quote(sys.executable)} {'-c ' + shlex.quote(code) if code else ''}"
    interpreter.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {inner} "$@"\n')
    interpreter.chmod(0o755)
    (folder / ".venv" / ".installed").touch()


def _copy_project(folder: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)


@needs_make
def test_make_env_says_in_one_line_that_python_is_missing(tmp_path):
    _copy_project(tmp_path)
    answer = _make(tmp_path, "env", "PYTHON=python-that-is-not-there")
    said = [line for line in answer.stderr.splitlines() if "***" not in line]
    assert answer.returncode == 2 and len(said) == 1 and "Python 3.11" in said[0]
    assert not (tmp_path / ".venv").exists()


# Stands in for python3: it has the version and the modules of its name, makes an environment of itself, and notes what
# pip is asked for; there, "break" in the file `how` makes it fail midway, as an interrupt would.
FAKE_PYTHON = """#!/bin/sh
here=$(dirname "$0"); log={log}; how={how}
case "$*" in
    *version_info*) {version} ;;
    *ensurepip*) {venv} ;;
    *"-m venv"*) rm -rf .venv; mkdir -p .venv/bin; echo venv >> $log
        [ "$(cat $how)" = "break venv" ] && kill -9 $PPID $$
        cp "$0" .venv/bin/python ;;
    *"pip --version"*) exit 0 ;;
    *"--requirement"*) echo install >> $log; [ "$(cat $how)" = "break install" ] && kill -9 $PPID; exit 0 ;;
    *"--editable"*) echo itself >> $log ;;
esac
"""


def _fake_python(folder: Path, version: str = "exit 0", venv: str = "exit 0") -> Path:
    path = folder / "python-in-place"
    path.write_text(FAKE_PYTHON.format(log=folder / "log", how=folder / "how", version=version, venv=venv))
    path.chmod(0o755)
    (folder / "how").write_text("")
    (folder / "log").write_text("")
    return path


@needs_make
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"version": "exit 1"}, "none of Python 3.11 to 3.14, which requirements.lock is for: name another with PYTHON=..."),
        ({"venv": "exit 1"}, "lacks venv or ensurepip: install them (Debian, Ubuntu: the package python3-venv)"),
    ],
)
@pytest.mark.parametrize("target", ["env", "reproduce", "smoke", "test", "lab", "check"])
def test_make_says_in_one_line_that_python_will_not_do(fault, message, target, tmp_path):
    _copy_project(tmp_path)
    answer = _make(tmp_path, target, f"PYTHON={_fake_python(tmp_path, **fault)}")
    said = [line for line in answer.stderr.splitlines() if "***" not in line]
    assert answer.returncode == 2 and len(said) == 1 and message in said[0] and answer.stdout == ""
    assert not (tmp_path / ".venv").exists()


@needs_make
def test_make_env_twice_installs_once(tmp_path):
    _copy_project(tmp_path)
    python = _fake_python(tmp_path)
    for _ in range(2):
        assert _make(tmp_path, "env", f"PYTHON={python}").returncode == 0
    assert (tmp_path / "log").read_text().split() == ["venv", "install", "itself"]
    os.utime(tmp_path / "requirements.lock", (time.time() + 9,) * 2)  # another lock: install again, into the same environment
    assert _make(tmp_path, "env", f"PYTHON={python}").returncode == 0
    assert (tmp_path / "log").read_text().split() == ["venv", "install", "itself", "install", "itself"]


@needs_make
@pytest.mark.parametrize(
    ("broken", "then"),
    [("break venv", ["venv", "venv", "install", "itself"]), ("break install", ["venv", "install", "install", "itself"])],
)
def test_make_env_takes_an_interrupted_installation_up_again(broken, then, tmp_path):
    """make is killed while it makes the environment, or while pip installs; the next one ends it."""
    _copy_project(tmp_path)
    python = _fake_python(tmp_path)
    (tmp_path / "how").write_text(broken)
    assert _make(tmp_path, "env", f"PYTHON={python}").returncode != 0
    assert not (tmp_path / ".venv" / ".installed").exists()
    (tmp_path / "how").write_text("")
    for _ in range(2):
        assert _make(tmp_path, "env", f"PYTHON={python}").returncode == 0
    assert (tmp_path / "log").read_text().split() == then


@needs_make
def test_a_damaged_environment_is_made_anew(tmp_path):
    _copy_project(tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    assert _make(tmp_path, "env", f"PYTHON={_fake_python(tmp_path)}").returncode == 0
    assert (tmp_path / "log").read_text().split() == ["venv", "install", "itself"]


@needs_make
def test_jupyterlab_is_opened_by_the_driver():
    command = _make(ROOT, "--dry-run", "--always-make", "lab").stdout.splitlines()[-1]
    assert command.endswith("python -m paperlib.driver.lab")
