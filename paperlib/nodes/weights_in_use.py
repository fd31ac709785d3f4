"""Folders of weights that several processes share: who has one in use holds it, and only what nobody holds is deleted."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

_held: dict[Path, int] = {}  # folders that this process has in use, with the file descriptor that says so


def hold(folder: Path, make: bool = False) -> None:
    """Let other processes know, until this one ends, that the weights in a folder are in use: `delete_unused` leaves them.

    Raises OSError where there is no such folder, or it cannot be made.
    """
    while folder not in _held or not _is_open(_held[folder], folder):
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        _let_go(folder)
        _held[folder] = os.open(folder, os.O_RDONLY)
        with contextlib.suppress(OSError):  # file systems of clusters may lack locks
            fcntl.flock(_held[folder], fcntl.LOCK_SH)


def delete_unused(folder: Path) -> bool:
    """Delete a folder of weights, unless another process has them in use; say whether it is gone."""
    _let_go(folder)
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return not folder.exists()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def files(folder: Path) -> dict[Path, os.stat_result]:
    """Return the files of weights in a folder; another study of the same models may delete some meanwhile."""
    found = {}
    for path in folder.glob("*.safetensors"):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat()
    return found


def _let_go(folder: Path) -> None:
    if folder in _held:
        os.close(_held.pop(folder))


def _is_open(descriptor: int, folder: Path) -> bool:
    """Say whether a descriptor is of the folder that stands there now, and not of one that was deleted."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except OSError:
        return False
