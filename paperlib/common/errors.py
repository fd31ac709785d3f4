"""The one exception whose message is written for the person at the keyboard, and the words of all others."""

import errno

from paperlib.common import escape

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # of an OSError: the disk, a quota, the longest file allowed
LONGEST = 160  # characters of a library's words in a message


def is_full(error: BaseException) -> bool:
    """Say if an error is that there is no room to write."""
    return isinstance(error, OSError) and error.errno in FULL


class UserError(Exception):
    """Something the user can put right, said in one line; the command line exits with status 2."""

    def _render_traceback_(self) -> list[str]:
        """Let a notebook show the line alone: where it arose in our code helps nobody who can put it right."""
        return [f"{type(self).__name__}: {self}"]


def words_of(error: BaseException | str) -> str:
    """Return what a library's error, or a program's output, says, on one line and not at length; its kind where it says nothing."""
    said = escape.one_line(error) or type(error).__name__
    if len(said) <= LONGEST:
        return said
    cut = said[: LONGEST - 2]
    words = cut.rpartition(" ")[0]
    return f"{words if len(words) > LONGEST / 2 else cut} …"  # a word may be as long as a path
