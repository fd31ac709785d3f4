"""Units on a Dask cluster: the tables of the plain driver, whoever dies; what is wrong is said in one line.

The cluster, the driver and the store are real; what is computed is made up (made_cluster.py).
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import types
from collections import Counter
from unittest import mock

import made_cluster
import made_study
import psutil
import pytest
from conftest import files_under, smoke_params
from made_study import params_in, told

from paperlib import __main__ as command_line
from paperlib.common import files
from paperlib.common.errors import UserError
from paperlib.driver import cluster, run
from paperlib.driver.kernel import Kernel
from paperlib.evidence import units
from paperlib.nodes import parallel
from paperlib.nodes.fingerprint import of_study

PATIENCE = 600  # seconds in which something happens that must happen
needs_dask = pytest.mark.skipif(
    any(cluster.find_spec(name) is None for name in cluster.PACKAGES), reason="Dask is not installed: pip install .[cluster]"
)


@pytest.fixture
def made(monkeypatch):
    return made_study.set_up(monkeypatch)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Return a cluster of this computer's own, as its workers' number is set, and the file of its fine-tunes."""
    from distributed import LocalCluster

    folder = tmp_path_factory.mktemp("cluster")
    environment = {made_cluster.TRAINED: str(folder / "trained"), made_cluster.TAKES: "0.05"}
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, memory_limit=0, local_directory=str(folder / "dask"),
        preload=[made_cluster.__file__], env=environment, silence_logs=logging.CRITICAL,
    ) as made_up:  # fmt: skip
        yield made_up, folder / "trained"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return the tables of two units as the plain driver writes them, and what it trains."""
    with pytest.MonkeyPatch.context() as patch:
        made, trained = made_study.set_up(patch), []
        studies = two_units(tmp_path_factory.mktemp("plain"))
        for params in studies:
            assert made.run(params) == 0
            trained += made.fine_tunes
        return [told(params) for params in studies], trained


def two_units(folder):
    return [params_in(folder), params_in(folder, seed=1)]


def workers(pool, count):
    """Let the cluster have so many workers; return the scheduler's address and the file in which fine-tunes are noted, emptied."""
    made_up, trained = pool
    made_up.scale(count)
    wait_until(lambda: len(made_up.scheduler_info["workers"]) == count)
    trained.write_text("")
    return made_up.scheduler_address, trained


def begun(trained):
    """Count how often each fine-tune was begun."""
    return Counter(line for line in trained.read_text().splitlines() if line.startswith("begun"))


def wait_until(true):
    ended = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < ended, "it does not happen"
        time.sleep(0.05)


@needs_dask
@pytest.mark.parametrize("count", [1, 2])
def test_workers_write_the_tables_of_the_plain_driver(count, made, pool, plain, tmp_path, capsys):
    address, trained = workers(pool, count)
    studies = two_units(tmp_path)
    assert run.reproduce(studies, "", address) == 0
    said = capsys.readouterr()
    assert [told(params) for params in studies] == plain[0] and said.err == ""
    distilled = plain[1].count("distilled") + plain[1].count("ce_control")
    assert set(begun(trained).values()) == {1} and begun(trained).total() == len(plain[1]) - distilled
    assert said.out.count("newsgroup seed 1: 03_strategies") == 1
    assert not any(units.stale(params) for params in studies), "the units are fresh for the plain driver"


@needs_dask
def test_a_killed_worker_costs_what_it_had_in_hand(made, pool, plain, tmp_path, capsys):
    address, trained = workers(pool, 2)
    studies = two_units(tmp_path)
    [victim, *_] = [nanny.pid for nanny in pool[0].workers.values()]

    def kill():
        wait_until(lambda: len(begun(trained)) > 20)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert run.reproduce(studies, "", address) == 0
    killer.join()
    assert [told(params) for params in studies] == plain[0]
    twice = [name for name, times in begun(trained).items() if times > 1]
    assert len(twice) <= 2 and capsys.readouterr().err == "", twice


@needs_dask
def test_a_worker_elsewhere_that_does_not_see_the_outputs_says_so(made, pool, tmp_path, capsys, monkeypatch):
    address, _ = workers(pool, 2)
    studies = two_units(tmp_path)[:1]
    studies[0].profile_dir.mkdir(parents=True)
    (studies[0].profile_dir / "lock-of-another").write_text("process 1 of another computer")
    monkeypatch.setattr(cluster, "LOCK", "lock-of-another")  # for the driver, not for its workers
    assert run.reproduce(studies, "", address) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("FAILED  newsgroup seed 0: a worker does not see the folder") and len(said) == 2


@needs_dask
def test_a_scheduler_that_does_not_answer_is_named(tmp_path, capsys, monkeypatch, process_as_before):
    monkeypatch.setattr(parallel, "ANSWER_SECONDS", 1)
    command = ["reproduce", "--profile", "smoke", "--engine", "dask", "--scheduler", "tcp://127.0.0.1:9"]
    assert command_line.main([*command, "--set", f"output_dir={tmp_path}/out", f"cache_dir={tmp_path}/cache"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("paperlib: SCHEDULER=tcp://127.0.0.1:9: no scheduler of Dask answers there (") and said.err.count("\n") == 1
    assert said.out == "" and files_under(tmp_path) == []


def test_a_worker_that_would_compute_otherwise_refuses(tmp_path, monkeypatch):
    """Other code, data, libraries or precision: its numbers would be those of another study."""
    params = smoke_params(tmp_path)
    monkeypatch.setattr(parallel, "_keep_benches", lambda: None)
    assert parallel._on_worker(max, params, of_study(params), 2, 3) == 3
    with pytest.raises(UserError, match="^cluster: a worker has other code, data, libraries"):
        parallel._on_worker(max, params, of_study(params.replace(precision="bf16")), 2, 3)


class GoneClient:
    """A client whose scheduler goes while units run, or before, and takes with it what was asked."""

    scheduler = types.SimpleNamespace(address="tcp://10.0.0.1:8786")

    def __init__(self, answers):
        self.answers, self.status = answers, "running"

    def ncores(self):
        if not self.answers:
            self.status = "connecting"
            raise OSError("closed")
        return {"tcp://10.0.0.2:1": 1}

    def submit(self, *arguments, **named):
        self.status = "connecting"
        return mock.Mock(status="cancelled")  # done, it says

    def ignore(self, *arguments, **named):
        pass

    subscribe_topic = unsubscribe_topic = cancel = ignore


@pytest.mark.parametrize("answers", [True, False])
def test_a_scheduler_that_is_gone_is_one_fault(answers, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.01)
    studies = two_units(tmp_path)
    files.atomic_write_text(studies[0].profile_dir / cluster.LOCK, "process 1")
    [fault] = cluster.run_units(studies, "", GoneClient(answers))
    assert fault.line == "cluster: the scheduler tcp://10.0.0.1:8786 is gone" and not fault.of_user


def test_what_is_not_installed_is_named(tmp_path, capsys, monkeypatch, process_as_before):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None if name == "distributed" else object())
    assert command_line.main(["reproduce", "--profile", "smoke", "--engine", "dask", "--set", f"output_dir={tmp_path}/out"]) == 2
    line = "paperlib: ENGINE=dask needs distributed: make env ENGINE=dask, or pip install .[cluster]\n"
    assert capsys.readouterr() == ("", line) and files_under(tmp_path) == []


@pytest.mark.parametrize("task", [None, "cancelled"])
def test_a_kernel_that_nobody_waits_for_any_more_is_ended(task):
    """The driver was interrupted, or died: its scheduler has forgotten the unit, and the worker with it."""
    tasks = {"unit": types.SimpleNamespace(state=task)} if task else {}
    worker = types.SimpleNamespace(state=types.SimpleNamespace(tasks=tasks), status=types.SimpleNamespace(name="running"))
    with Kernel() as kernel:
        kernel.send("import time; time.sleep(600)")
        process = psutil.Process(kernel.manager.provisioner.pid)
        with cluster._ended_with("unit", worker, kernel):
            wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_one_worker_owns_a_card_each_where_dask_cuda_is_installed(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed: pip install .[cluster]")
    asked = {}

    class Cards(contextlib.nullcontext):
        def __init__(self, **settings):
            super().__init__()
            asked.update(settings)

    monkeypatch.setattr(cluster, "device_of", lambda params: types.SimpleNamespace(type="cuda"))
    monkeypatch.setattr(cluster, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "dask_cuda", types.SimpleNamespace(LocalCUDACluster=Cards))
    with cluster._own_cluster(smoke_params(tmp_path)) as cards:
        assert isinstance(cards, Cards)
    assert asked["threads_per_worker"] == 1 and asked["host"] == "127.0.0.1" and asked["security"].require_encryption


def test_one_worker_owns_the_card_where_dask_cuda_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "device_of", lambda params: types.SimpleNamespace(type="cuda"))
    assert cluster._workers_here(smoke_params(tmp_path, workers=4)) == 1


@needs_dask
def test_a_cluster_of_our_own_is_for_this_run_alone(tmp_path):
    """It listens on this computer only, and asks for keys; nothing of it stays."""
    from distributed import Client, Security

    with cluster.connected("", smoke_params(tmp_path)) as client:
        assert len(client.ncores()) == 1 and client.scheduler.address.startswith("tls://127.0.0.1:")
        here = psutil.Process()
        listening = [each for process in (here, *here.children(True)) for each in process.net_connections() if each.status == "LISTEN"]
        assert {each.laddr.ip for each in listening} == {"127.0.0.1"}
        with pytest.raises(OSError):
            Client(client.scheduler.address, timeout=2, security=Security.temporary(), set_as_default=False)
