"""The reproducible companion of *Strategic Fusion Optimizes Transformer Compression* (arXiv 2501.03273)."""

__version__ = "0.1.0"
