"""Execute notebooks into their places; keep the copy of one that failed where it cannot pass for a result."""

from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from paperlib.common import escape
from paperlib.common.errors import words_of
from paperlib.common.files import atomic_write_bytes
from paperlib.common.messages import Fault, shown, unit_name
from paperlib.driver.kernel import Kernel
from paperlib.evidence import provenance, units
from paperlib.params import Params

ENGINE = "written once"  # of papermill's engines, that of WrittenOnce


def execute(name: str, params: Params, settings: str, kernel: Kernel) -> Fault | None:
    """Run one notebook into its place; on failure keep the copy under failed/ and return what went wrong."""
    target = units.executed(name, params)
    partial = target.with_name(f".{name}.partial.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    given = {"profile": params.profile, "dataset": params.dataset, "seed": params.seed, "settings": settings}
    try:
        # Both names are needed for a notebook without kernelspec.
        papermill.execute_notebook(
            units.NOTEBOOKS / f"{name}.ipynb", partial, given, kernel_name="python3", language="python",
            progress_bar=False, log_output=False, engine_name=ENGINE, km=kernel.fresh(),
        )  # fmt: skip
        notebook = papermill.iorw.load_notebook_node(str(partial))
        atomic_write_bytes(target, nbformat.writes(_published(notebook)).encode())
        _failed_copy(name, params).unlink(missing_ok=True)
    except PapermillExecutionError as error:
        kernel.stop()
        said = escape.one_line(error.evalue)[:200]
        of_user = error.ename == "UserError"
        return _fault(said if of_user else f"{error.ename}: {said}", partial, name, params, of_user)
    except (DeadKernelError, RuntimeError) as error:
        kernel.stop()
        return _fault(f"the kernel died: {words_of(error)}", partial, name, params)
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
    unit = unit_name(params.dataset, params.seed) if name in units.of_unit() else params.profile
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
    unit = f"{params.dataset}-seed-{params.seed}-" if name in units.of_unit() else ""
    return params.profile_dir / "failed" / f"{unit}{name}.ipynb"


class WrittenOnce(NBClientEngine):
    """Papermill's own engine, which writes a notebook twice for every cell, but when it ended, however it ended.

    In small studies that writing took a tenth of the time; a notebook cut off is executed again in any case.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **options):
        place, nb_man.output_path = nb_man.output_path, None
        try:
            return super().execute_managed_notebook(nb_man, kernel_name, **options)
        finally:
            nb_man.output_path = place


papermill_engines.register(ENGINE, WrittenOnce)
