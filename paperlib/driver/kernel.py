"""One kernel for several notebooks, each with a namespace of its own: importing torch takes seconds every time."""

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import zmq
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from paperlib.common.places import ROOT
from paperlib.nodes.progress import HEADLESS

ANSWER_SECONDS = 600  # in which a kernel that lives answers; the code it was sent before comes first
LOOK_SECONDS = 1  # how often to see if it lives: a dead one never answers
# Every kernel would write down what it runs, and warn of what is no news.
ARGUMENTS = ["--log-level=CRITICAL", "--HistoryManager.hist_file=:memory:"]
LONGEST_SOCKET = 100  # bytes of the path of a socket, which systems limit to 104 or 108
# What a notebook leaves behind must not reach the next one.
FORGET = "__import__('pandas').reset_option('^display')\nget_ipython().reset(new_session=True)"
# After an interrupt the task that ran a cell ends with its kernel, and nobody waits for it: that is no news.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


class Kernel:
    """A kernel that starts when it is first needed, and again when it has died or a notebook has failed in it.

    `environment` is added to that of this process.
    """

    def __init__(self, environment: Mapping[str, str] = MappingProxyType({})):
        self.environment = environment
        self.manager: AsyncKernelManager | None = None
        self.sender: AsyncKernelClient | None = None
        self.sockets: tempfile.TemporaryDirectory | None = None

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *exception) -> None:
        self.stop()

    def send(self, code: str) -> None:
        """Let the kernel run code while this process goes on; nobody hears of what goes wrong in it."""
        run_sync(self._send)(code)

    def fresh(self) -> AsyncKernelManager:
        """Return the manager of a running kernel that knows nothing of earlier notebooks."""
        if self.manager is None or not run_sync(self._forget)():
            self.stop()
            run_sync(self._start)()
        return self.manager

    def stop(self) -> None:
        """End the kernel, if there is one."""
        if self.sender is not None:
            self.sender.stop_channels()
        if self.manager is not None and self.manager.has_kernel:
            run_sync(self.manager.shutdown_kernel)(now=True)
        if self.sockets is not None:
            self.sockets.cleanup()
        self.manager = self.sender = self.sockets = None

    def kill(self) -> None:
        """End the kernel's process from another thread than the one that waits for it, which is told that it died."""
        if self.manager is not None and self.manager.has_kernel:
            with contextlib.suppress(OSError):
                os.kill(self.manager.provisioner.pid, signal.SIGKILL)

    async def _start(self) -> None:
        # Without folders to look in, python3 is this interpreter, whatever kernel of that name the account has.
        self.manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
        self._use_sockets()
        with _environment(self.environment):
            await self.manager.start_kernel(extra_arguments=ARGUMENTS)

    def _use_sockets(self) -> None:
        """Talk to the kernel through files that only this account can open, where the system has such sockets.

        A port would be open to everybody on this computer, and there is none where the network has no loopback.
        """
        self.sockets = tempfile.TemporaryDirectory(prefix="kernel-", ignore_cleanup_errors=True)
        prefix = os.path.join(self.sockets.name, "s")
        if zmq.has("ipc") and len(os.fsencode(prefix)) <= LONGEST_SOCKET:
            self.manager.transport, self.manager.ip = "ipc", prefix

    async def _send(self, code: str) -> None:
        if self.manager is None:
            await self._start()
        if self.sender is None:  # kept: what a closed channel has not handed over yet is lost
            session = self.manager.session.clone()
            session.session = uuid.uuid4().hex  # replies to two clients of one name reach whichever connected last
            self.sender = self.manager.client(session=session)
            self.sender.start_channels(iopub=False, stdin=False, hb=False, control=False)
        self.sender.execute(code, silent=True, allow_stdin=False)

    async def _forget(self) -> bool:
        """Empty the kernel's namespace; return False when it is dead."""
        if not (self.manager.has_kernel and await self.manager.is_alive()):
            return False
        client = self.manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=ANSWER_SECONDS)
            forgetting = asyncio.ensure_future(client.execute_interactive(FORGET, silent=True, timeout=ANSWER_SECONDS))
            while not forgetting.done():
                await asyncio.wait({forgetting}, timeout=LOOK_SECONDS)
                if not await self.manager.is_alive():
                    forgetting.cancel()
                    return False
            return forgetting.result()["content"]["status"] == "ok"
        except (RuntimeError, TimeoutError):  # it died meanwhile
            return False
        finally:
            client.stop_channels()


@contextlib.contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """Set what a kernel needs: find paperlib from any folder, draw no bars, keep inline figures, of our style."""
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before.get("PYTHONPATH")]))
    os.environ[HEADLESS] = "1"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ["MATPLOTLIBRC"] = str(Path(find_spec("matplotlib").origin).parent / "mpl-data" / "matplotlibrc")
    os.environ.pop("MPLBACKEND", None)  # Agg would silently drop every figure
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
