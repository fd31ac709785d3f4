"""How a file or a folder that is written whole takes its place, whatever stood there before."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

import pytest

from paperlib.common import files


def folder_with(path: Path, name: str) -> Path:
    path.mkdir()
    (path / name).write_text(name)
    return path


@pytest.mark.parametrize("what", ["nothing", "a folder", "a folder of an image", "a file", "a link"])
def test_a_folder_takes_the_place_of_what_stood_there(what, tmp_path, monkeypatch):
    path, new, rename = tmp_path / "kept", folder_with(tmp_path / ".kept.partial", "new"), os.replace

    def refuse(source, target):
        if Path(source) == path:
            raise OSError(errno.EXDEV, "as overlayfs does")
        rename(source, target)

    if what.startswith("a folder"):
        folder_with(path, "old")
    if what == "a folder of an image":
        monkeypatch.setattr(os, "replace", refuse)
    elif what == "a file":
        path.write_text("old")
    elif what == "a link":
        path.symlink_to(folder_with(tmp_path / "elsewhere", "old"))
    folder_with(tmp_path / ".kept.partial-before", "of a killed run")
    files.put(new, path)
    assert [each.name for each in path.iterdir()] == ["new"] and not path.is_symlink()
    assert {each.name for each in tmp_path.iterdir()} == {"kept"} | ({"elsewhere"} if what == "a link" else set())
    assert what != "a link" or (tmp_path / "elsewhere" / "old").read_text() == "old"


@pytest.mark.parametrize("fault", [OSError, KeyboardInterrupt])
def test_what_stood_there_stays_when_it_cannot_be_replaced(fault, tmp_path, monkeypatch):
    path, new = folder_with(tmp_path / "kept", "old"), folder_with(tmp_path / ".kept.partial", "new")
    rename = os.replace

    def refuse(source, target):
        if Path(source) == new:
            raise fault("no")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(fault, match="no"):
        files.put(new, path)
    assert [each.name for each in path.iterdir()] == ["old"]


class Killed(BaseException):
    """Stands in for a kill: nothing that follows is done."""


def killed_at(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process end at the so many-th file that it renames or removes, before that is done; what it does after that is done by nobody."""
    done = []

    def counted(act):
        def acting(*given, **named):
            done.append(given)
            if len(done) >= calls:
                raise Killed
            return act(*given, **named)

        return acting

    for module, name in ((os, "replace"), (shutil, "rmtree")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))


@pytest.mark.parametrize("name", ["kept", "kept.v1.partial", "[a] kept*"])
@pytest.mark.parametrize("calls", range(1, 6))
def test_what_was_whole_comes_back_after_a_kill_at_any_moment(calls, name, tmp_path):
    """The old or the new, at the next sweep, with nothing beside it; a save under a name of its own process likewise."""
    path = folder_with(tmp_path / name, "old")
    for partial in (tmp_path / f".{name}.partial", tmp_path / f".{name}.partial-77"):
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
            killed_at(calls, patch)
            files.put(folder_with(partial, "new"), path)
        before = set(tmp_path.iterdir())
        files.bring_back(path)
        files.bring_back(tmp_path / "another")
        assert [each.name for each in path.iterdir()] in (["old"], ["new"]) and len(set(tmp_path.iterdir())) == len(before)
        files.sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [path] and [each.name for each in path.iterdir()] in (["old"], ["new"])


def test_of_several_that_were_moved_aside_the_last_comes_back(tmp_path):
    for number, kept in enumerate(("older", "newer")):
        folder_with(tmp_path / f".kept.partial-{number}-before", kept)
        os.utime(tmp_path / f".kept.partial-{number}-before", (number, number))
    files.sweep(tmp_path)
    assert [each.name for each in (tmp_path / "kept").iterdir()] == ["newer"] and list(tmp_path.iterdir()) == [tmp_path / "kept"]
