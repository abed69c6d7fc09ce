"""Work shared with other processes: most of a long report's time goes into what needs nothing else
of it.

Workers are started anew, not forked: this process may have threads, of PyTorch for one.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from multiprocessing import get_context, parent_process
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

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
    """So many processes, this one among them, that share the work; with fewer than two, none other.

    The others begin with what was given first. This one goes on, and when it asks for what is not
    done yet it takes part, from the end, instead of waiting. What a process was doing when it was
    killed is done here.
    """
    if processes < 2:
        yield here
        return
    pool = ProcessPoolExecutor(processes - 1, get_context("spawn"), initializer=_begin)
    left: list[_Task[Any]] = []

    def later(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
        instead = partial(function, *args, **kwargs)
        try:
            task = _Task(pool.submit(function, *args, **kwargs), instead)
        except (BrokenProcessPool, OSError):  # no process could be started, or none is left
            return instead
        left.append(task)

        def result() -> T:
            while left and not task.future.done():
                left.pop().take()
            if task in left:  # it may be large, and is the asker's from now on
                left.remove(task)
            return task.result()

        return result

    try:
        with _deaf():
            for _ in range(processes - 1):  # all begin now, with the imports that drawing needs
                later(import_module, "harness.report.drawn")
        yield later
    finally:
        pool.shutdown(cancel_futures=True)


class _Task(Generic[T]):
    """What another process was given to do, unless this one is faster."""

    def __init__(self, future: Future[T], instead: Callable[[], T]) -> None:
        self.future, self._instead = future, instead

    def take(self) -> None:
        """Do it here, if no other has begun."""
        if self.future.cancel():
            self.future = Future()
            try:
                self.future.set_result(self._instead())
            except Exception as error:
                self.future.set_exception(error)

    def result(self) -> T:
        try:
            return self.future.result()
        except BrokenProcessPool:
            return self._instead()


@contextmanager
def _deaf() -> Iterator[None]:
    """Interrupts wait, and processes that are started meanwhile never get any: they would complain
    of one that comes before :func:`_begin`."""
    if sys.platform == "win32":  # it can't hold them back
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
