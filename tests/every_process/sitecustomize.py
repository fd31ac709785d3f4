"""What every Python process of the tests does first, also one that a test starts: no result depends on this computer.

Python imports this module by itself where its folder is on the path (conftest.py). `precision: auto` then means what
PAPERLIB_AUTO_PRECISION says, fp32 or bf16, whatever the processor has. And where PAPERLIB_WRITES names a file, each file
and folder of the project that the process opens for writing, makes, moves or deletes is noted in it.
"""

import importlib.abc
import importlib.util
import os
import sys

MODULE = "paperlib.model.device"
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# What Python does to files, and how many paths each of these is told first.
PATHS = {"open": 1, "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.truncate": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2}


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


def note_writes(log):
    """Note what this process writes into the project, but for compiled modules; other processes may write there meanwhile."""

    def note(event, arguments):
        if event == "open" and not arguments[2] & WRITING or event not in PATHS:
            return
        for given in arguments[: PATHS[event]]:
            path = os.path.abspath(os.fsdecode(given)) if isinstance(given, (str, bytes, os.PathLike)) else ""
            if path.startswith(PROJECT + os.sep) and "__pycache__" not in path:
                with open(log, "a") as file:
                    file.write(f"{os.path.relpath(path, PROJECT)}\n")

    sys.addaudithook(note)


if os.environ.get("PAPERLIB_WRITES"):
    note_writes(os.environ["PAPERLIB_WRITES"])
