"""Texts and labels: where they come from, the subsets drawn from them, and pinned downloads."""
