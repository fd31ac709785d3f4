"""Make a classifier smaller: measure, walk, choose on validation, distil, quantise, and save what plain transformers loads."""

from paperlib.compression.result import Result
from paperlib.compression.run import compress

__all__ = ["Result", "compress"]
