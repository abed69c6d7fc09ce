"""Who is at a cell: a lock that the operating system takes back when its holder dies.

Runners that share a results folder divide its cells by these locks, on one machine or over a file
system that has locks. The worker that computes holds it, not the runner that started the worker:
what goes on without its runner is not begun a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def claimed(directory: Path, cell: str) -> Iterator[bool]:
    """Hold a cell of a results folder. Gives ``False``, without waiting, where another does."""
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


def is_claimed(directory: Path, cell: str) -> bool:
    """Whether a live process is at the cell."""
    if not _lock(directory, cell).exists():
        return False
    with claimed(directory, cell) as free:
        return not free


def _lock(directory: Path, cell: str) -> Path:
    return directory / "locks" / f"{cell}.lock"
