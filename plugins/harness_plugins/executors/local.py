"""``local``: cells on this machine, in this process or in several."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from typing import Any, ClassVar

from pebble import ProcessExpired, ProcessPool

from harness.api import Emit, Executor, Job, hookimpl


class Local(Executor):
    """One worker runs cells in this process; more run them in processes of their own.

    A worker that dies takes only its cell with it, which is recorded as ``crashed``.
    """

    name: ClassVar[str] = "local"

    def run(self, jobs: Sequence[Job], emit: Emit, *, workers: int) -> None:
        if workers == 1:
            for job in jobs:
                job.run(emit)
            return
        context = _context()
        with context.Manager() as manager:
            events = manager.Queue()
            pool = ProcessPool(max_workers=min(workers, len(jobs) or 1), context=context)
            try:
                futures = {pool.schedule(_work, args=(job, events)): job for job in jobs}
                waiting = set(futures)
                while waiting:
                    while not events.empty():
                        emit(*events.get())
                    for future in [f for f in waiting if f.done()]:
                        waiting.discard(future)
                        _settle(future, futures[future], emit)
                    if waiting:
                        _pause(waiting)
                while not events.empty():
                    emit(*events.get())
            finally:
                pool.stop()
                pool.join()


def _context() -> multiprocessing.context.BaseContext:
    """Workers fork from a server that has the slow imports behind it and has run nothing yet."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "timm"])
    return context


def _settle(future: Any, job: Job, emit: Emit) -> None:
    """Record a worker's death; anything else that went wrong is the harness's own fault."""
    error = future.exception()
    if isinstance(error, ProcessExpired):
        job.lost("crashed", f"the worker process died with exit code {error.exitcode}", emit)
    elif error is not None:
        raise error


def _pause(waiting: set[Any]) -> None:
    with contextlib.suppress(TimeoutError):
        next(as_completed(waiting, timeout=0.2))


def _work(job: Job, events: Any) -> None:
    def send(hook: str, arguments: Mapping[str, Any]) -> None:
        events.put((hook, dict(arguments)))

    job.run(send)


@hookimpl
def harness_executors() -> list[type[Executor]]:
    return [Local]
