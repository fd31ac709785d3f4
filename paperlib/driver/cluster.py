"""Run units on a Dask cluster: each on the worker that owns it, its fine-tunes on all workers (`make reproduce ENGINE=dask`)."""

import contextlib
import logging
import signal
import tempfile
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from paperlib.common import hardware, places
from paperlib.common.errors import UserError, words_of
from paperlib.common.lock import LOCK
from paperlib.common.messages import Fault, shown, unit_name
from paperlib.driver.study_bar import StudyBar
from paperlib.driver.unit import IMPORTS, run_unit
from paperlib.model.device import device_of
from paperlib.nodes import compute, parallel
from paperlib.params import Params

if TYPE_CHECKING:
    from distributed import Client, Future, Security, Worker
    from distributed.deploy import SpecCluster

    from paperlib.driver.kernel import Kernel

PACKAGES = ("dask", "distributed", "cryptography")
POLL_SECONDS = 0.5
END_SECONDS = 10  # in which the units of a run that ends early stop writing
RETRIES = 1  # of a unit when something raises that is no notebook; one whose worker died is taken over by another anyway


def check_installed() -> None:
    """Raise UserError where the packages of the engine are not installed."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        wanted = "make env ENGINE=dask, or pip install .[cluster]"
        raise UserError(f"ENGINE=dask needs {', '.join(missing)}: {wanted}")


@contextlib.contextmanager
def connected(scheduler: str, params: Params) -> Iterator["Client"]:
    """Yield a client of the scheduler at an address, or of a cluster of this computer's own, which ends with it.

    Raises UserError when nothing answers there.
    """
    with contextlib.ExitStack() as stack:
        where = scheduler or stack.enter_context(_own_cluster(params))
        try:
            client = parallel.connect(where)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise UserError(f"SCHEDULER={scheduler}: no scheduler of Dask answers there ({words_of(error)})") from None
        stack.callback(client.close, timeout=POLL_SECONDS)
        yield client


def run_units(waiting: list[Params], settings: str, client: "Client") -> Iterator[Fault | None]:
    """Run each unit's stale notebooks on a worker, one unit a worker at a time; yield the fault of each that failed."""
    queue, running, where = deque(waiting), {}, client.scheduler.address
    with StudyBar(waiting) as bar, _Reports(waiting, bar, client) as reports:
        try:
            while queue or running:
                workers = _workers(client)
                for worker in reports.free(workers)[: len(queue)]:
                    params = queue.popleft()
                    running[_submit(params, waiting, settings, client, reports.topic, worker)] = params
                    reports.at[_name(params)] = worker
                time.sleep(POLL_SECONDS)
                ended = [future for future in running if future.done()]
                if client.status != "running":  # it has forgotten what was asked of it: those are not done
                    yield Fault(f"cluster: the scheduler {where} is gone")
                    return
                for future in ended:
                    params = running.pop(future)
                    reports.at.pop(_name(params), None)
                    yield _outcome(future, params)
        finally:
            if running:
                with contextlib.suppress(Exception):  # of a scheduler that is gone
                    client.cancel(list(running), force=True)
                reports.wait()


class _Reports:
    """Hears from the workers which unit is where, and tells the bar."""

    def __init__(self, waiting: list[Params], bar: StudyBar, client: "Client"):
        self.units, self.bar, self.client = {_name(params): params for params in waiting}, bar, client
        self.topic = f"paperlib-{uuid.uuid4().hex}"  # others may use the same cluster
        self.at: dict[str, str] = {}  # the worker that owns a unit
        self.begun: set[str] = set()

    def __enter__(self) -> "_Reports":
        self.client.subscribe_topic(self.topic, self._hear)
        return self

    def __exit__(self, *exception) -> None:
        with contextlib.suppress(Exception):  # of a scheduler that is gone
            self.client.unsubscribe_topic(self.topic)

    def free(self, workers: list[str] | None) -> list[str]:
        """List the workers that own no unit; "", which is any, where the first one is still to come."""
        if workers == [] and not self.at:
            return [""]
        return [worker for worker in workers or () if worker not in self.at.values()]

    def wait(self) -> None:
        """Wait until no unit writes any more, as far as workers can still tell."""
        ended = time.monotonic() + END_SECONDS
        while self.begun and time.monotonic() < ended and self.client.status == "running":
            time.sleep(POLL_SECONDS / 5)

    def _hear(self, event: tuple[float, dict[str, str]]) -> None:
        said = event[1]
        if said["what"] == "ended":
            self.begun.discard(said["unit"])
            return
        self.begun.add(said["unit"])
        self.at[said["unit"]] = said["worker"]
        getattr(self.bar, said["what"])(self.units[said["unit"]], said["notebook"])


class _Reporter:
    """Tells the driver, from a worker, which notebook runs."""

    def __init__(self, worker: "Worker", topic: str):
        self.worker, self.topic = worker, topic

    def show(self, params: Params, name: str) -> None:
        self.say("show", params, name)

    def passed(self, params: Params, name: str) -> None:
        self.say("passed", params, name)

    def say(self, what: str, params: Params, name: str = "") -> None:
        said = {"what": what, "unit": _name(params), "notebook": name, "worker": self.worker.address}
        self.worker.log_event(self.topic, said)


def _submit(params: Params, waiting: list[Params], settings: str, client: "Client", topic: str, worker: str) -> "Future":
    """Give a unit to a worker; another one takes it over when that one dies."""
    where = {"workers": [worker], "allow_other_workers": True} if worker else {}
    beside = [other for other in waiting if other is not params]
    held = (params.profile_dir / LOCK).read_text()
    return client.submit(_own, params, beside, settings, topic, held, key=f"{_name(params)} {uuid.uuid4().hex}", retries=RETRIES, **where)


def _own(params: Params, beside: list[Params], settings: str, topic: str, held: str) -> Fault | None:
    """Run a unit on this worker, which meanwhile does other work: also what the unit's kernel asks of the cluster."""
    from distributed import get_worker, secede

    from paperlib.driver.kernel import Kernel

    worker, reporter = get_worker(), _Reporter(get_worker(), topic)
    key = worker.get_current_task()
    secede()
    warnings.simplefilter("ignore")  # of libraries: they are for programmers
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # of a kernel that died: the fault says so
    if not _holds(params, held):
        return Fault(f"{_name(params)}: a worker does not see the folder {shown(params.profile_dir)} of this computer: share it, and the project", True)
    try:
        places.make_tool_folders(params.cache_path)
        environment = {parallel.SCHEDULER: worker.scheduler.addr, **_keys_of(worker.security)}
        with Kernel(environment) as kernel, _ended_with(key, worker, kernel):
            kernel.send(IMPORTS)
            return run_unit(params, settings, reporter, kernel, beside)
    except UserError as error:
        return Fault(f"{_name(params)}: {error}", True)
    finally:
        reporter.say("ended", params)


def _holds(params: Params, held: str) -> bool:
    """Say whether this computer sees what the driver wrote into the lock of its outputs."""
    try:
        return (params.profile_dir / LOCK).read_text() == held
    except OSError:
        return False


@contextlib.contextmanager
def _ended_with(key: str, worker: "Worker", kernel: "Kernel") -> Iterator[None]:
    """End the kernel when nobody waits for this task any more: the driver was interrupted or died, or the worker ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            task = worker.state.tasks.get(key)
            if task is None or task.state not in ("executing", "long-running") or worker.status.name not in ("running", "paused"):
                kernel.kill()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def _outcome(future: "Future", params: Params) -> Fault | None:
    if future.status == "finished":
        return future.result()
    error = future.exception() if future.status == "error" else None
    if type(error).__name__ == "KilledWorker":
        return Fault(f"{_name(params)}: its worker died, and so did those that took it over")
    said = f"{type(error).__name__}: {words_of(error)}" if error else "given up by the cluster"
    return Fault(f"{_name(params)}: {said}")


def _workers(client: "Client") -> list[str] | None:
    """List the workers' addresses; None when the scheduler does not answer."""
    try:
        return list(client.ncores())
    except (OSError, RuntimeError, ValueError, TypeError):  # whatever a client says of a scheduler that has gone
        return None


@contextlib.contextmanager
def _own_cluster(params: Params) -> Iterator["SpecCluster"]:
    """Yield a cluster of processes of this computer, one a core or one a GPU, that nobody else can reach.

    A port of this computer is open to everybody on it: keys that only this run has are asked for there.
    """
    from distributed import LocalCluster, Security

    usual = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None, "silence_logs": logging.CRITICAL}
    usual |= {"memory_limit": 0, "security": Security.temporary(), "preload": [__name__]}
    with tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True) as folder:
        usual |= {"scheduler_kwargs": {"dashboard_address": "127.0.0.1:0", "local_directory": folder}}
        if device_of(params).type == "cuda" and find_spec("dask_cuda"):
            cluster = import_module("dask_cuda").LocalCUDACluster(local_directory=folder, **usual)
        else:
            cluster = LocalCluster(n_workers=_workers_here(params), local_directory=folder, **usual)
        with cluster:
            yield cluster


def _workers_here(params: Params) -> int:
    """Return how many workers this computer takes: one a core, as far as memory holds them and the kernel that each may have.

    One where they compute on a GPU: it does one thing at a time, and each would plan for the memory that is free.
    """
    if device_of(params).type == "cuda":
        return 1
    if params.workers:
        return params.workers
    compute.bench_of(params)  # first: of a model that is not there nobody knows the size
    held, cores = parallel.in_memory(params), hardware.cores()
    parallel.forget()
    return min(cores, max(1, held // 2)) if held else cores


def dask_setup(worker: "Worker") -> None:
    """Called by Dask in each process of a cluster of our own: Ctrl-C is for the driver, which ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _keys_of(security: "Security") -> dict[str, str]:
    """Return, as variables that Dask reads, what lets a client talk to this worker's cluster; {} where no keys are needed."""
    keys = {"CA_FILE": security.tls_ca_file, "CLIENT__CERT": security.tls_client_cert, "CLIENT__KEY": security.tls_client_key}
    return {f"DASK_DISTRIBUTED__COMM__TLS__{name}": value for name, value in keys.items() if value}


def _name(params: Params) -> str:
    return unit_name(params.dataset, params.seed)
