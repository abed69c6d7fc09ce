"""Share a long report's work with other processes.

Workers are spawned, not forked: this process may have threads, of PyTorch for one. joblib was
measured on the reference report and took half as long again, as its caller waits while others work;
nor does it run again what a killed worker left.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections import deque
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


class Submit(Protocol):
    """Takes a function and its arguments, and returns a function that waits for its result or
    raises its error."""

    def __call__(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]: ...


def serial(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
    """Run the function in this process, when its result is asked for."""
    return partial(function, *args, **kwargs)


@contextmanager
def pool(processes: int) -> Iterator[Submit]:
    """Share work among so many processes, this one included; with one, run all of it here.

    Workers take tasks in the order of their submission. When this process asks for a result that
    is not ready, it runs waiting tasks itself, the last first. It runs again what a killed worker
    left unfinished.
    """
    if processes < 2:
        yield serial
        return
    workers = _Pool(processes - 1)
    try:
        with _interrupts_held():
            for _ in range(processes - 1):  # start all now, with the imports that drawing needs
                workers.submit(import_module, "harness.report.plots.render")
        yield workers.submit
    finally:
        workers.shut_down()


class _Task(Generic[T]):
    """A call, and its result or error."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.work, self.future = work, Future[T]()

    def do(self) -> None:
        try:
            self.future.set_result(self.work())
        except Exception as error:
            self.future.set_exception(error)


class _Pool:
    """Worker processes, and the tasks that wait for one.

    A worker is given one task at a time: an executor would queue one more behind it, which this
    process could not take when it is idle.
    """

    def __init__(self, processes: int) -> None:
        self._pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_set_up)
        self._idle = processes
        self._waiting: deque[_Task[Any]] = deque()
        # Reentrant: a task may end before its callback is added, which then runs at once.
        self._lock = threading.RLock()

    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        task = _Task(partial(function, *args, **kwargs))
        self._waiting.append(task)
        self._assign()
        return partial(self._result, task)

    def shut_down(self) -> None:
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def _assign(self) -> None:
        with self._lock:
            while self._idle and self._waiting:
                task = self._waiting.popleft()
                try:
                    future = self._pool.submit(task.work)
                except (RuntimeError, OSError):  # no process could be started, or none is left
                    self._waiting.appendleft(task)
                    return
                self._idle -= 1
                future.add_done_callback(partial(self._collect, task))

    def _collect(self, task: _Task[T], future: Future[T]) -> None:
        """Take over a task's result from a worker, and give that worker the next task."""
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            task.future.set_result(future.result())
        else:
            task.future.set_exception(error)
        if not isinstance(error, BrokenProcessPool):
            with self._lock:
                self._idle += 1
                self._assign()

    def _result(self, task: _Task[T]) -> T:
        while not task.future.done() and (mine := self._take_last()):
            mine.do()
        try:
            return task.future.result()
        except BrokenProcessPool:
            return task.work()

    def _take_last(self) -> _Task[Any] | None:
        with self._lock:
            return self._waiting.pop() if self._waiting else None


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold interrupts back, also from processes started meanwhile: one that comes before
    :func:`_set_up` would print a traceback."""
    if sys.platform == "win32":  # has no signal masks
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _set_up() -> None:
    """Set a worker up: ignore interrupts, end when the main process ends, collect no garbage.

    A few plots leave little garbage, and looking for it takes a sixth of the time.
    """
    gc.disable()
    atexit.register(gc.freeze)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
