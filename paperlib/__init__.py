"""The reproducible companion of *Strategic Fusion Optimizes Transformer Compression* (arXiv 2501.03273)."""

import sys
import warnings

# jsonschema, which nbformat imports, builds a grammar of internationalised addresses where JupyterLab has brought one:
# three seconds in every process, and no notebook holds such an address.
sys.modules.setdefault("rfc3987_syntax", None)
# tqdm asks for a widget library that our pages could not show; transformers imports it everywhere.
warnings.filterwarnings("ignore", message="IProgress not found")

__version__ = "0.1.0"


def __getattr__(name: str):
    """Find `paperlib.compress` when it is first wanted: what it needs takes seconds to import."""
    if name == "compress":
        from paperlib.compression import compress

        return compress
    raise AttributeError(f"module 'paperlib' has no attribute {name!r}")
