"""Write a table in GitHub's Markdown."""

from collections.abc import Collection, Iterable, Sequence


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str] = ()) -> str:
    """Return the table, of cells that are Markdown already; the columns with heads in `numbers` are set to the right."""
    rule = ["---:" if head in numbers else "---" for head in heads]
    return "".join(f"| {' | '.join(line)} |\n" for line in [heads, rule, *rows])
