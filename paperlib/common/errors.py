"""The one exception whose message is written for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right, said in one line; the command line exits with status 2."""

    def _render_traceback_(self) -> list[str]:
        """Let a notebook show the line alone: where it arose in our code helps nobody who can put it right."""
        return [f"{type(self).__name__}: {self}"]
