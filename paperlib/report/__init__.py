"""The pages a reader opens: the report, the executed notebooks as HTML, comparisons, the reference."""
