"""Execute notebooks into their places; keep the copy of one that failed where it cannot pass for a result."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from paperlib import progress, provenance, units
from paperlib.files import atomic_write_bytes
from paperlib.messages import Fault, shown, unit_name
from paperlib.params import ROOT, Params

KERNEL_SECONDS = 60  # in which a kernel that lives answers
QUIET = ["--log-level=CRITICAL"]  # or every kernel warns that it listens on this computer without encryption


# After an interrupt the task that ran a cell ends with its kernel, and nobody waits for it: that is no news.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)
# What a notebook leaves behind must not reach the next one.
FORGET = "__import__('pandas').reset_option('^display')\nget_ipython().reset(new_session=True)"


class Kernel:
    """One kernel for several notebooks, each with a namespace of its own: importing torch takes seconds every time.

    The kernel starts when it is first needed, and again when it has died or a notebook has failed in it.
    """

    def __init__(self):
        self.manager: AsyncKernelManager | None = None

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *exception) -> None:
        self.stop()

    def fresh(self) -> AsyncKernelManager:
        """Return the manager of a kernel that knows nothing of earlier notebooks; papermill starts it if need be."""
        if self.manager is None or not run_sync(self._forget)():
            self.stop()
            self.manager = AsyncKernelManager(kernel_name="python3")
        return self.manager

    def stop(self) -> None:
        """End the kernel, if there is one."""
        if self.manager is not None and self.manager.has_kernel:
            run_sync(self.manager.shutdown_kernel)(now=True)
        self.manager = None

    async def _forget(self) -> bool:
        """Empty the kernel's namespace; return False when it is dead."""
        if not (self.manager.has_kernel and await self.manager.is_alive()):
            return False
        client = self.manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=KERNEL_SECONDS)
            reply = await client.execute_interactive(FORGET, silent=True, timeout=KERNEL_SECONDS)
            return reply["content"]["status"] == "ok"
        except (RuntimeError, TimeoutError):  # it died meanwhile
            return False
        finally:
            client.stop_channels()


def execute(name: str, params: Params, settings: str, kernel: Kernel) -> Fault | None:
    """Run one notebook into its place; on failure keep the copy under failed/ and return what went wrong."""
    target = units.executed(name, params)
    partial = target.with_name(f".{name}.partial.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    given = {"profile": params.profile, "dataset": params.dataset, "seed": params.seed, "settings": settings}
    try:
        with _kernel_environment():
            # Both names are needed for a notebook without kernelspec; python3 is always this interpreter.
            papermill.execute_notebook(
                units.NOTEBOOKS / f"{name}.ipynb", partial, given, kernel_name="python3", language="python",
                progress_bar=False, log_output=False, extra_arguments=QUIET, km=kernel.fresh(),
            )  # fmt: skip
        notebook = papermill.iorw.load_notebook_node(str(partial))
        atomic_write_bytes(target, nbformat.writes(_published(notebook)).encode())
        _failed_copy(name, params).unlink(missing_ok=True)
    except PapermillExecutionError as error:
        kernel.stop()
        said = " ".join(str(error.evalue).split())[:200]
        of_user = error.ename == "UserError"
        return _fault(said if of_user else f"{error.ename}: {said}", partial, name, params, of_user)
    except (DeadKernelError, RuntimeError) as error:
        kernel.stop()
        return _fault(f"the kernel died: {' '.join(str(error).split())[:120]}", partial, name, params)
    finally:
        partial.unlink(missing_ok=True)
    return None


def _fault(said: str, partial: Path, name: str, params: Params, of_user: bool = False) -> Fault:
    """Move the executed copy of a failed notebook where it cannot pass for a result, and say so."""
    kept = _failed_copy(name, params)
    kept.parent.mkdir(parents=True, exist_ok=True)
    where = "no copy"
    if partial.exists():
        partial.replace(kept)
        where = f"copy: {shown(kept)}"
    unit = unit_name(params) if name in units.UNIT_NOTEBOOKS else params.profile
    return Fault(f"{unit}: {name}: {said} ({where})", of_user)


def _published(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take this machine's paths out of an executed notebook."""
    notebook.metadata.pop("papermill", None)  # it says "completed" even of notebooks that did not
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = provenance.scrub(output.text)
    return notebook


def _failed_copy(name: str, params: Params) -> Path:
    return params.profile_dir / "failed" / f"{params.dataset}-seed-{params.seed}-{name}.ipynb"


@contextlib.contextmanager
def _kernel_environment() -> Iterator[None]:
    """Set what the kernels need: find paperlib from any folder, draw no bars, and keep inline figures."""
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before.get("PYTHONPATH")]))
    os.environ[progress.HEADLESS] = "1"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.pop("MPLBACKEND", None)  # Agg would silently drop every figure
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
