"""``ray``: cells on the machines of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

from harness.api import Emit, Executor, HarnessError, Job, hookimpl
from harness.run import stopping

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
    of a shared file system: the workers write the records themselves. A cell asks for one CPU of
    Ray's count, and for a GPU if its device is ``cuda``. It computes with as many threads as this
    machine gives each of ``--jobs`` cells; set ``OMP_NUM_THREADS`` where the others differ.

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
            _connect(len(workers))
            try:
                _run(chain([first], waiting), emit, workers)
            finally:
                ray.shutdown()


def _connect(workers: int) -> None:
    import ray

    address = os.environ.get("RAY_ADDRESS")
    if address:
        where: dict[str, Any] = {"address": address}
    else:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        where = {
            "address": "local",
            "num_cpus": workers,
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
    """What workers inherit from this process under ``local``, and not from Ray.

    Ray would set ``OMP_NUM_THREADS`` to 1, and sums might be rounded otherwise than by ``local``.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    given = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(cores)}
    if paths := os.environ.get("PYTHONPATH"):
        given["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))
    return given


def _run(jobs: Iterator[Job], emit: Emit, workers: Sequence[str]) -> None:
    import ray
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote: Any = ray.remote  # its types know no options
    options = {"max_retries": 0, "num_cpus": 1, "scheduling_strategy": "SPREAD"}
    work = remote(**options, num_gpus=GPUS[workers[0]])(_work)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    events = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    running, began, stopped = dict[Any, Job](), dict[str, float](), False
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
                running[work.remote(job, os.getcwd(), workers[0], events)] = job
            if not running:
                return
            ended, _ = ray.wait(list(running), timeout=POLL)
            for told in events.get_nowait_batch(events.size()):
                hook, arguments = pickle.loads(told)
                if hook == BEGUN:
                    began[arguments["cell"]] = time.monotonic()
                else:
                    emit(hook, arguments)
            for ref in ended:
                _settle(ref, running.pop(ref), emit, workers[0])
            for ref in [ref for ref, job in running.items() if _is_late(job, began)]:
                ray.cancel(ref, force=True)
                job = running.pop(ref)
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.get(ref)  # until it is gone, and its claim with it
                late = f"it was still running after {job.timeout:g} s"
                job.lost("timeout", late, emit, workers[0])
    finally:
        for ref in running:
            ray.cancel(ref, force=True)


def _is_late(job: Job, began: Mapping[str, float]) -> bool:
    """Whether a job is past its timeout, counted from when its worker had started and begun it:
    what Ray takes to find a place and start a process there is not the cell's time."""
    return (
        job.timeout is not None
        and job.title in began
        and time.monotonic() - began[job.title] > job.timeout
    )


def _work(job: Job, folder: str, device: str, events: Any) -> None:
    """Run a job in a worker."""
    if os.path.isdir(folder):
        os.chdir(folder)  # paths in a suite may be relative

    def send(hook: str, arguments: Mapping[str, Any]) -> None:
        # As bytes, so that the queue's own process need not import what events are made of.
        events.put(pickle.dumps((hook, dict(arguments))))

    send(BEGUN, {"cell": job.title})
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
