"""What is kept so that it need not be made again: beside results, and in the user's own cache.

A cache has a folder for each kind of thing. Nothing is lost with what is removed from it: it is
made anew when it is needed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

SUFFIXES = (".safetensors", ".checkpoint", ".json", ".txt", ".partial", ".lock")
"""Of files of one entry, which have the rest of their name in common."""


@dataclass(frozen=True)
class Entry:
    """Something that can be made again: its files and folders, the bytes that they take, and when
    the last of them was written or, of features, used, in seconds since 1970."""

    kind: str
    paths: tuple[Path, ...]
    lock: Path
    bytes: int
    used: float


def caches(results: Path) -> tuple[Path, Path]:
    """The cache of the results in a folder, and the user's own."""
    from harness.data.archives import cache_folder

    return results / ".cache", cache_folder()


def entries(cache: Path) -> Iterator[Entry]:
    """All that a cache holds, by kind; of a folder that is not there nothing."""
    for kind in sorted(path for path in _listed(cache) if path.is_dir()):
        found: dict[str, list[Path]] = {}
        for path in _listed(kind):
            stem = next((path.name.removesuffix(s) for s in SUFFIXES if path.name.endswith(s)), "")
            if path.suffix != ".lock":
                found.setdefault(stem or path.name, []).append(path)
        for stem, paths in found.items():
            files = [file for path in paths for file in _files(path)]
            if not files:
                continue
            inside = paths[0] / "lock"
            yield Entry(
                kind=kind.name,
                paths=tuple(paths),
                lock=inside if inside.exists() else kind / f"{stem}.lock",
                bytes=sum(size for size, _ in files),
                used=max(time for _, time in files),
            )


def remove(entry: Entry) -> bool:
    """Remove an entry, and tell whether that was done: not while a process is making it."""
    lock = FileLock(entry.lock) if entry.lock.exists() else None
    try:
        with lock.acquire(blocking=False) if lock else nullcontext():
            for path in entry.paths:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
    except Timeout:
        return False
    return True


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, but for files that are still being written."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(path: Path) -> Iterator[tuple[int, float]]:
    """Bytes and time of a file, or of each file beneath a folder but its lock."""
    inside = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    for file in inside if path.is_dir() else [path]:
        if file.name == "lock":
            continue
        with suppress(OSError):  # it is gone by now
            stat = file.stat()
            yield stat.st_size, stat.st_mtime
