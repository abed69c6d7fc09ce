"""Lock a cell, so that one process computes it; the lock goes when its holder dies.

Runners that share a results folder divide its cells by these locks, on one machine or over a file
system that has locks. The worker that computes holds it, not the runner that started the worker:
what goes on without its runner is not begun a second time.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(directory: Path, cell: str) -> Iterator[bool]:
    """Lock a cell of a results folder. Gives ``False``, without waiting, where another has it."""
    file = _lock(directory, cell)
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_locked(directory: Path, cell: str) -> bool:
    """Whether a live process has locked the cell."""
    if not _lock(directory, cell).exists():
        return False
    with locked(directory, cell) as free:
        return not free


def _lock(directory: Path, cell: str) -> Path:
    return directory / "locks" / f"{cell}.lock"


def why_none(directory: Path) -> str:
    """Why nothing in a folder can be locked, as the system says; empty where it can be.

    That locks are seen by other machines too is more than one machine can find out.

    Raises:
        OSError: no file can be written in it.
    """
    with tempfile.TemporaryFile(prefix=".lock-", dir=directory) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.strerror or str(error)
    return ""
