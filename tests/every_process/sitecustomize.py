"""What every Python process of the tests does first, also one that a test starts: no result depends on this computer.

Python imports this module by itself where its folder is on the path (conftest.py). `precision: auto` then means what
PAPERLIB_AUTO_PRECISION says, fp32 or bf16, whatever the processor has.
"""

import importlib.abc
import importlib.util
import os
import sys

MODULE = "paperlib.model.device"


class Answered(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the module that resolves `auto` as ever, and then replaces its answer."""

    def find_spec(self, name, path, target=None):
        """Find the module by all other finders, and take over its loading."""
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        """Leave that to Python."""

    def exec_module(self, module):
        """Execute the module, and let it answer what the tests want to hear where nothing is asked for."""
        self.loader.exec_module(module)
        if hasattr(module.precision_of, "resolved_here"):  # another one, of a process that was told twice
            return
        resolve = module.precision_of
        module.precision_of = lambda params: os.environ["PAPERLIB_AUTO_PRECISION"] if params.precision == "auto" else resolve(params)
        module.precision_of.resolved_here = resolve


if "PAPERLIB_AUTO_PRECISION" in os.environ:
    sys.meta_path.insert(0, Answered())
