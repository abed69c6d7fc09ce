"""The wish to stop: running cells keep what they have done, and end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_asked = threading.Event()

STOPPING = (
    "stopping: running cells go on to the end of their trial, or to a checkpoint. "
    "Ctrl-C again stops at once"
)
"""What the user is told at the first signal."""


def ask() -> None:
    """Ask this process to stop at the next point from which it can go on."""
    _asked.set()


def asked() -> bool:
    return _asked.is_set()


def forget() -> None:
    """Take the wish back: a new run begins."""
    _asked.clear()


@contextmanager
def at_signals(tell: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM is the wish to stop, and the second a ``KeyboardInterrupt``.

    ``tell`` is called at the first, in the main thread.
    """

    def heard(number: int, frame: FrameType | None) -> None:
        if asked():
            raise KeyboardInterrupt
        ask()
        tell()

    forget()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, heard) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
