"""Run independent computations on the processor's cores, one thread each, and report each as it ends."""

import os
import warnings
from collections.abc import Callable, Iterator

from joblib import Parallel, delayed, parallel_config

from paperlib.model.device import device_of
from paperlib.params import Params

# joblib replaces a worker whose memory has grown, and says so in the middle of a notebook; nothing is lost by it.
warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given to the executor", category=UserWarning)


def workers_of(params: Params) -> int:
    """Resolve `workers: 0`: one per core this process may use, and one alone where a GPU does the work."""
    if device_of(params).type == "cuda":
        return 1
    return params.workers or len(os.sched_getaffinity(0))


def run(function: Callable, arguments: list[tuple], params: Params) -> Iterator:
    """Yield `function(*arguments[i])` as each ends, in any order; in this process when there is one worker."""
    workers = min(workers_of(params), len(arguments))
    if workers <= 1:
        yield from (function(*each) for each in arguments)
        return
    with _processes(workers):
        yield from Parallel(return_as="generator_unordered")(delayed(function)(*each) for each in arguments)


def elsewhere(function: Callable, arguments: tuple, params: Params) -> None:
    """Compute `function(*arguments)` in one of the processes that `run` uses, and wait for it."""
    with all_cores(params):
        Parallel()([delayed(function)(*arguments)])


def all_cores(params: Params) -> parallel_config:
    """Return a context in which what scikit-learn computes independently goes to the processes that `run` uses."""
    return _processes(workers_of(params))


def _processes(workers: int) -> parallel_config:
    return parallel_config("loky", n_jobs=workers, inner_max_num_threads=1)
