"""Files that are either whole or absent: everything the project writes goes through here."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from paperlib.common.errors import UserError

CHUNK = 1 << 20  # bytes read at a time
ASIDE = re.compile(r"\.(.+)\.partial(-\d+)?-before")  # what `put` calls what stood in a place, for a moment


def atomic_write_bytes(path: Path | str, content: bytes) -> Path:
    """Write bytes to a temporary neighbour, flush them to disk and rename it, creating the folder if needed.

    Raises UserError when the folder cannot be written or the disk is full; the old file is then untouched.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a random name, as two processes may write the same file; the rename decides who is last
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files; ours are for sharing
        put(Path(temporary), path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
    return path


@contextlib.contextmanager
def in_one_piece(path: Path) -> Iterator[Path]:
    """Yield a place beside `path` for others to write a file or a folder to; it takes `path` when the block ends well.

    What stood at `path` is untouched until then. Raises OSError where the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        put(partial, path)
    finally:
        _remove(partial)


def put(partial: Path, path: Path) -> None:
    """Move a file or a folder that is written whole to its place. Everything that is kept comes through here."""
    before = partial.with_name(f"{partial.name}-before")  # a folder cannot be renamed onto another: there is none for a moment, see `bring_back`
    aside = partial.is_dir() and os.path.lexists(path) and _moved(path, before)
    try:
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            if aside:
                os.replace(before, path)
        raise
    _remove(before)  # that of a run that was killed, too


def bring_back(path: Path) -> None:
    """Put back what stood at a path and was moved aside by a process that was killed before the new took its place.

    Call it while no other writes there.
    """
    aside = [each for each in path.parent.glob(".*-before") if (found := ASIDE.fullmatch(each.name)) and found[1] == path.name]
    if aside and not os.path.lexists(path):
        os.replace(max(aside, key=lambda each: each.lstat().st_mtime), path)


def atomic_write_text(path: Path | str, text: str) -> Path:
    """Write UTF-8 text whole or not at all; lines end as given. Raises as `atomic_write_bytes`."""
    return atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: Path | str, record: object) -> Path:
    """Write indented JSON, keys in the order given, whole or not at all; NaN is refused with ValueError."""
    return atomic_write_text(path, json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left half-written under a folder; call it while no other writes there.

    What was whole and had to make room comes back.
    """
    left = list(folder.rglob(".*.partial*"))
    for path in left:
        if found := ASIDE.fullmatch(path.name):
            bring_back(path.with_name(found[1]))
    for path in left:
        _remove(path)


def sha256_folder(folder: Path | str) -> str:
    """Return the SHA-256 of the names and contents of all files below a folder, hidden folders apart; "" when there are none."""
    folder = Path(folder)
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    shown = [path for path in files if not any(part.startswith(".") for part in path.parts[:-1])]
    lines = [f"{path.as_posix()} {sha256_file(folder / path)}\n" for path in shown]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def sha256_file(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _moved(path: Path, aside: Path) -> bool:
    """Move what stands at a path aside, and say so; what came with a container's image cannot be moved, and is removed."""
    _remove(aside)
    try:
        os.replace(path, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _remove(path)
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _umask() -> int:
    """Return the process's umask, which Python can read only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
