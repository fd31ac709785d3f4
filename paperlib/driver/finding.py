"""What a check of this computer found, in one line."""

from __future__ import annotations  # an older Python must get as far as being told that it is too old

from typing import NamedTuple


class Finding(NamedTuple):
    """The result of one check: status (OK, NOTE or FAIL), what was found, and what to do about it."""

    status: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.status:<5} {self.what}" + (f": {self.advice}" if self.advice else "")
