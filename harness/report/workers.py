"""Work shared with other processes: most of a long report's time goes into what needs nothing else
of it.

Workers are started anew, not forked: this process may have threads, of PyTorch for one.
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
    """Takes a function and its arguments, and gives what waits for its result, or its error."""

    def __call__(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]: ...


def serial(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
    """The work is done by who asks for the result."""
    return partial(function, *args, **kwargs)


@contextmanager
def pool(processes: int) -> Iterator[Submit]:
    """So many processes, this one among them, that share the work; with fewer than two, none other.

    The others begin with what was given first. This one goes on, and when it asks for what is not
    done yet it takes part, from the end, instead of waiting. What a process was doing when it was
    killed is done here.
    """
    if processes < 2:
        yield serial
        return
    others = _Pool(processes - 1)
    try:
        with _deaf():
            for _ in range(processes - 1):  # all begin now, with the imports that drawing needs
                others.submit(import_module, "harness.report.plots.render")
        yield others.submit
    finally:
        others.dismiss()


class _Task(Generic[T]):
    """Something to do, and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.work, self.future = work, Future[T]()

    def do(self) -> None:
        try:
            self.future.set_result(self.work())
        except Exception as error:
            self.future.set_exception(error)


class _Pool:
    """Other processes, and the tasks that none has begun.

    Each is given one task at a time: an executor would queue one more behind it, which this process
    could not take when it has nothing to do.
    """

    def __init__(self, others: int) -> None:
        self._pool = ProcessPoolExecutor(others, get_context("spawn"), initializer=_begin)
        self._idle = others
        self._waiting: deque[_Task[Any]] = deque()
        # Reentrant: a task may be done before it is listened for.
        self._lock = threading.RLock()

    def submit(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        task = _Task(partial(function, *args, **kwargs))
        self._waiting.append(task)
        self._hand_out()
        return partial(self._result, task)

    def dismiss(self) -> None:
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def _hand_out(self) -> None:
        with self._lock:
            while self._idle and self._waiting:
                task = self._waiting.popleft()
                try:
                    begun = self._pool.submit(task.work)
                except (RuntimeError, OSError):  # no process could be started, or none is left
                    self._waiting.appendleft(task)
                    return
                self._idle -= 1
                begun.add_done_callback(partial(self._learn, task))

    def _learn(self, task: _Task[T], begun: Future[T]) -> None:
        """What came of a task in another process."""
        if begun.cancelled():
            return
        error = begun.exception()
        if error is None:
            task.future.set_result(begun.result())
        else:
            task.future.set_exception(error)
        if not isinstance(error, BrokenProcessPool):
            with self._lock:
                self._idle += 1
                self._hand_out()

    def _result(self, task: _Task[T]) -> T:
        while not task.future.done() and (mine := self._last()):
            mine.do()
        try:
            return task.future.result()
        except BrokenProcessPool:
            return task.work()

    def _last(self) -> _Task[Any] | None:
        with self._lock:
            return self._waiting.pop() if self._waiting else None


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

    Nor is garbage collected, at the end neither: a few plots leave little, and to look for it takes
    a sixth of the time.
    """
    gc.disable()
    atexit.register(gc.freeze)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
