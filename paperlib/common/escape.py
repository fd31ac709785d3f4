"""Escape text that comes from data or parameters, for the tables we write: it is shown, never obeyed."""

import re

UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # they steer a terminal, or turn the letters after them round
MARKDOWN_MARKS = re.compile(r"([\\`*_{}\[\]<>#|&$~])")
LATEX_MARKS = str.maketrans({mark: "\\" + mark for mark in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}"})


def markdown(text: object) -> str:
    """Return text on one line for a cell of a Markdown table, neither ending the cell nor starting markup."""
    return MARKDOWN_MARKS.sub(r"\\\1", one_line(text))


def latex(text: object) -> str:
    """Return text on one line for LaTeX, none of it a command."""
    return one_line(text).translate(LATEX_MARKS)


def one_line(text: object) -> str:
    """Return text with every run of white space, and of characters that only steer what shows it, as one space."""
    return " ".join(UNSEEN.sub(" ", str(text)).split())
