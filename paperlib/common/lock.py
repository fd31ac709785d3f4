"""Let one driver at a time write a profile's folder."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from paperlib.common.errors import UserError

LOCK = ".lock"


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a profile's folder for one driver at a time; the system frees the lock when its holder dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # never through a link, whose target would lose its content
        stream = os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+")
    except OSError as error:
        raise UserError(f"{folder.name}: the output folder cannot be written ({error.strerror})") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise UserError(f"outputs of {folder.name} are being written by {stream.read().strip()}") from None
        except OSError as error:  # of some file systems of clusters
            raise UserError(f"{folder.name}: the output folder cannot be locked ({error.strerror})") from None
        stream.seek(0)
        stream.truncate()
        stream.write(f"process {os.getpid()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}")
        stream.flush()
        os.fsync(stream.fileno())  # workers on other computers read it
        yield
