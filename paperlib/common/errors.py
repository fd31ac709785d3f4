"""The one exception whose message is written for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right, said in one line; the command line exits with status 2."""
