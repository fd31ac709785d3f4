"""Run independent computations on the processor's cores or on a cluster, one thread each, and report each as it ends."""

import functools
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from joblib import Parallel, delayed, parallel_config

from paperlib.common.errors import UserError
from paperlib.common.hardware import UNKNOWN, cores, memory_gb
from paperlib.model import memory
from paperlib.model.device import device_of
from paperlib.nodes.fingerprint import of_study
from paperlib.params import Params

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy import SpecCluster

SCHEDULER = "PAPERLIB_SCHEDULER"  # in the environment of a kernel: the Dask scheduler whose workers compute
ANSWER_SECONDS = 10  # in which a scheduler answers, unless it is busy with units that run
BUSY_SECONDS = 120
BENCHES = 3  # studies whose data and model a worker keeps: units that run at once take turns on it

# joblib replaces a worker whose memory has grown, and says so in the middle of a notebook; nothing is lost by it.
warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given to the executor", category=UserWarning)


def workers_of(params: Params) -> int:
    """Resolve `workers: 0`: one per core this process may use, as far as memory holds them; one alone where a GPU works.

    On a cluster: as many as it has now.
    """
    if device_of(params).type == "cuda":
        return 1
    if address := os.environ.get(SCHEDULER):
        return max(1, len(_client(address).ncores()))
    return params.workers or min(cores(), in_memory(params) or cores())


def remark(params: Params) -> str:
    """Say in one line that memory holds fewer processes than there are cores, where it does; "" elsewhere."""
    held = workers_of(params)
    if params.workers or device_of(params).type == "cuda" or held == cores():
        return ""
    return f"{held} of {cores()} cores train: {memory_gb():.0f} GB of memory hold no more models of this size (workers=... asks for another number)"


def in_memory(params: Params) -> int | None:
    """Return how many processes that fine-tune a model each this machine's memory holds, beside driver and kernel; None where unknown."""
    total = memory_gb()
    return None if total == UNKNOWN else memory.processes_at_a_time(params, 1e9 * total)


def run(function: Callable, arguments: list[tuple], params: Params) -> Iterator:
    """Yield `function(*arguments[i])` as each ends, in any order; in this process when there is one worker, or one thing to do.

    There are as many processes however little there is to do: another number would end some, with what they have loaded.
    """
    workers = workers_of(params)
    if min(workers, len(arguments)) <= 1:
        yield from (function(*each) for each in arguments)
        return
    function = _anywhere(function, params)
    with _processes(workers):
        yield from _handed_out(function, arguments)


def elsewhere(function: Callable, arguments: tuple, params: Params) -> None:
    """Compute `function(*arguments)` in one of the processes that `run` uses, and wait for it."""
    with all_cores(params):
        list(_handed_out(_anywhere(function, params), [arguments]))


def _handed_out(function: Callable, arguments: list[tuple]) -> Iterator:
    """Give all of it to the processes; yield as `run` does.

    Those that start for it never hear Ctrl-C, which a terminal tells to all: who asked them ends them.
    """
    resource_tracker.ensure_running()  # its start unblocks what is blocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as it is for whatever is started here
    try:
        return Parallel(return_as="generator_unordered")(delayed(function)(*each) for each in arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def all_cores(params: Params) -> parallel_config:
    """Return a context in which what scikit-learn computes independently goes to the processes that `run` uses."""
    return _processes(workers_of(params))


def _processes(workers: int) -> parallel_config:
    if address := os.environ.get(SCHEDULER):
        return parallel_config("dask", client=_client(address))
    return parallel_config("loky", n_jobs=workers, inner_max_num_threads=1)


def _anywhere(function: Callable, params: Params) -> Callable:
    """Return what computes the function in the processes that `run` uses, which may be those of other machines."""
    return functools.partial(_on_worker, function, params, of_study(params)) if os.environ.get(SCHEDULER) else function


_alone = threading.Lock()  # torch draws from one stream of random numbers a process, whatever its threads


def _on_worker(function: Callable, params: Params, study: str, *arguments: object) -> object:
    """Compute on a worker of a cluster, if it computes what the kernel would that asks."""
    if of_study(params) != study:
        raise UserError("cluster: a worker has other code, data, libraries or another kind of processor than the one that asks it")
    with _alone:
        _keep_benches()
        return function(*arguments)


def forget() -> None:
    """Let go of the data and the model that this process has loaded, and give back their memory: others compute from now on."""
    from paperlib.nodes import compute  # takes seconds

    compute._bench.cache_clear()
    memory.give_back()


@functools.cache
def _keep_benches() -> None:
    """Let this process remember several studies' data and models; a kernel, which runs one study, needs no more than one."""
    from paperlib.nodes import compute  # takes seconds

    compute._bench = functools.lru_cache(maxsize=BENCHES)(compute._bench.__wrapped__)


def connect(scheduler: "str | SpecCluster", seconds: float = 0) -> "Client":
    """Return a client of a scheduler, or of a cluster at hand; raises OSError when none answers."""
    from distributed import Client

    for name in ("distributed", "distributed.client", "tornado.application"):  # what they complain of is said by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return Client(scheduler, timeout=seconds or ANSWER_SECONDS, set_as_default=False)


@functools.cache
def _client(address: str) -> "Client":
    return connect(address, BUSY_SECONDS)
