"""How a file or a folder that is written whole takes its place, whatever stood there before."""

import errno
import os
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
