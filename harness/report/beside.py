"""Work for other processes: most of a long report's time goes into what needs nothing else of it.

Workers are started anew, not forked: this process may have threads, of PyTorch for one.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from multiprocessing import get_context, parent_process
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Later(Protocol):
    """Takes a function and its arguments, and gives what waits for its result, or its error."""

    def __call__(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]: ...


def here(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
    """The work is done by who asks for the result."""
    return partial(function, *args, **kwargs)


@contextmanager
def beside(processes: int) -> Iterator[Later]:
    """So many processes that do work for this one, while it goes on; with fewer than two, none.

    What a worker was doing when it was killed is done here instead.
    """
    if processes < 2:
        yield here
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin)

    def later(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
        instead = partial(function, *args, **kwargs)
        try:
            future = pool.submit(function, *args, **kwargs)
        except (BrokenProcessPool, OSError):  # no process could be started, or none is left
            return instead

        def result() -> T:
            try:
                return future.result()
            except BrokenProcessPool:
                return instead()

        return result

    try:
        for _ in range(processes):  # all of them begin now, with the imports that drawing needs
            later(import_module, "harness.report.drawn")
        yield later
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Leave interrupts to the process that this one works for, and end with it.

    Nor is garbage collected: a few plots leave little, and it takes a sixth of the time.
    """
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
