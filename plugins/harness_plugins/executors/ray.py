"""``ray``: cells on the machines of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any, ClassVar, NamedTuple

from harness.api import Emit, Executor, HarnessError, Job, hookimpl, stopping

GPUS = {"cpu": 0, "cuda": 1}
"""How many GPUs a cell is given, by its device."""

BEGUN = "begun"
"""What a worker sends before a job's own events."""

POLL = 0.1
"""Seconds between looks at the events of cells that are running."""

STORE_BYTES = 100 * 2**20
"""Ray's shared memory on this machine: jobs and events are small."""


class Ray(Executor):
    """Cells on a Ray cluster: the one that ``RAY_ADDRESS`` names, else one on this machine alone.

    All machines need the same packages, and the results folder and the data at the same paths
    of a shared file system: the workers write the records themselves. A cell asks for as many CPUs
    of Ray's count as it computes with threads, and for a GPU if its device is ``cuda``. As many
    run at a time as this machine has room for: ``--jobs`` says how many a cluster has.

    A worker that dies takes only its cell with it, which is recorded as ``crashed`` (``oom`` if
    Ray ended it for want of memory), and one that is past its cell's timeout is ended. What workers
    print is in Ray's own logs. A suite's limit of memory is left to Ray's own.
    """

    name: ClassVar[str] = "ray"
    citation: ClassVar[str] = "Moritz et al. 2018, Ray: A Distributed Framework for Emerging AI"
    requires: ClassVar[Mapping[str, str]] = {"ray": "transfer-harness[ray]"}

    def run(self, jobs: Iterable[Job], emit: Emit, *, workers: Sequence[str]) -> None:
        for device in workers:
            if device not in GPUS:
                raise HarnessError(
                    f"--device {device}: Ray itself hands out GPUs", "Use --device cuda"
                )
        waiting = iter(jobs)
        first = next(waiting, None)
        if first is None:
            return
        import ray

        # Standard output is data, and Ray prints its warnings there.
        with contextlib.redirect_stdout(sys.stderr):
            _connect(len(workers) * first.threads)
            try:
                _run(chain([first], waiting), emit, workers)
            finally:
                ray.shutdown()


def _connect(cpus: int) -> None:
    import ray

    address = os.environ.get("RAY_ADDRESS")
    if address:
        where: dict[str, Any] = {"address": address}
    else:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        where = {
            "address": "local",
            "num_cpus": cpus,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        }
    try:
        ray.init(
            **where,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": _environment()},
        )
    except ConnectionError as error:
        raise HarnessError(
            f"cannot connect to a Ray cluster at RAY_ADDRESS={address}: {error}",
            "Start one by 'ray start --head', set RAY_AUTH_MODE as it has it, or unset RAY_ADDRESS",
        ) from error


def _environment() -> dict[str, str]:
    """What workers inherit from this process under ``local``, and not from Ray."""
    if paths := os.environ.get("PYTHONPATH"):
        return {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))}
    return {}


def _run(jobs: Iterator[Job], emit: Emit, workers: Sequence[str]) -> None:
    import ray
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote: Any = ray.remote  # its types know no options
    options = {"max_retries": 0, "scheduling_strategy": "SPREAD"}
    work = remote(**options, num_gpus=GPUS[workers[0]])(_work)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    events = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    running, began, stopped = dict[Any, Running](), dict[int, float](), False
    numbers = count()
    try:
        while True:
            if stopping.asked() and not stopped:
                stopped = True
                for ref in running:
                    ray.cancel(ref)  # interrupts it; its record then says so
            while len(running) < len(workers) and not stopping.asked():
                job = next(jobs, None)
                if job is None:
                    break
                number = next(numbers)
                asked = work.options(num_cpus=job.threads)
                ref = asked.remote(number, job, os.getcwd(), workers[0], events)
                running[ref] = Running(number, job)
            if not running:
                return
            ended, _ = ray.wait(list(running), timeout=POLL)
            for told in events.get_nowait_batch(events.size()):
                hook, arguments = pickle.loads(told)
                if hook == BEGUN:
                    began[arguments["number"]] = time.monotonic()
                else:
                    emit(hook, arguments)
            for ref in ended:
                _settle(ref, running.pop(ref).job, emit, workers[0])
            for ref in [ref for ref, one in running.items() if _is_late(one, began)]:
                ray.cancel(ref, force=True)
                job = running.pop(ref).job
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.get(ref)  # until it is gone, and its claim with it
                late = f"it was still running after {job.timeout:g} s"
                job.lost("timeout", late, emit, workers[0])
    finally:
        for ref in running:
            ray.cancel(ref, force=True)


class Running(NamedTuple):
    """A job that Ray was given, and which of all that it was given it is."""

    number: int
    job: Job


def _is_late(one: Running, began: Mapping[int, float]) -> bool:
    """Whether a job is past its timeout, counted from when its worker began with it: what Ray takes
    to find a place, and a new process to import and load what cells share, is not the cell's
    time."""
    timeout = one.job.timeout
    return (
        timeout is not None
        and one.number in began
        and time.monotonic() - began[one.number] > timeout
    )


def _work(number: int, job: Job, folder: str, device: str, events: Any) -> None:
    """Run a job in a worker."""
    if os.path.isdir(folder):
        os.chdir(folder)  # paths in a suite may be relative

    def send(hook: str, arguments: Mapping[str, Any]) -> None:
        # As bytes, so that the queue's own process need not import what events are made of.
        events.put(pickle.dumps((hook, dict(arguments))))

    job.warm()
    send(BEGUN, {"number": number})
    job.run(send, device)


def _settle(ref: Any, job: Job, emit: Emit, device: str) -> None:
    """Record a worker's death; anything else that went wrong is the harness's own fault."""
    import ray
    from ray import exceptions

    try:
        ray.get(ref)
    except exceptions.TaskCancelledError:
        if not stopping.asked():
            raise KeyboardInterrupt from None
    except exceptions.RayTaskError as error:
        raise error.cause from error
    except exceptions.OutOfMemoryError as error:
        job.lost("oom", f"Ray ended the worker process for want of memory: {error}", emit, device)
    except exceptions.NodeDiedError as error:
        job.lost("crashed", f"the worker's machine was lost: {error}", emit, device)
    except exceptions.WorkerCrashedError:
        job.lost(
            "crashed", "the worker process died; Ray's logs on its machine say more", emit, device
        )


@hookimpl
def harness_executors() -> list[type[Executor]]:
    return [Ray]
