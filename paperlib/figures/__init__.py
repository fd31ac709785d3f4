"""Everything drawn: the eight figures of the paper, and those of the notebooks."""
