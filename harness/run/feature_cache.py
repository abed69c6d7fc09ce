"""Activations on disk: memory-mapped, checksummed, shared by all processes, within a size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from filelock import FileLock

from harness.hashing import short
from harness.model.feature_store import ActivationKey, StoredRows
from harness.record.files import CannotWrite
from harness.run.checksummed import Damaged, read_checksummed, write_checksummed

FILE_BYTES = 2**26
"""A part is cut into files of about this size, so that writing one takes little memory."""

BYTES_A_SECOND = 1e9
"""What reading back is taken to reach: what is computed faster than that is not worth a file."""


class FeatureCache:
    """Parts as safetensors files, in a folder for each key; none is ever changed.

    Args:
        limit: bytes that all files may take; beyond it those go that were not used for longest.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit

    def parts(self, key: ActivationKey, known: frozenset[str]) -> Iterator[tuple[str, StoredRows]]:
        for file in sorted(self._of(key).glob("*.safetensors")):
            if file.name in known:
                continue
            try:
                tensors, told = read_checksummed(file)
                if told != {"key": list(key)}:
                    raise Damaged(f"{file.name} is of something else")
            except Damaged:
                self.discard(key, file.name)
                continue
            with suppress(OSError):
                os.utime(file)
            yield file.name, StoredRows(tensors["rows"], tensors["activations"], tensors["cost"])

    def put(self, key: ActivationKey, part: StoredRows) -> None:
        """Keep a part, unless it is computed as fast as it is read. A full disk is no error: what
        is not kept is computed again."""
        each = part.activations[0].numel() * part.activations.element_size()
        if float(part.cost.mean()) < each / BYTES_A_SECOND or each * len(part.rows) > self._limit:
            return
        rows = max(1, FILE_BYTES // each)
        with suppress(CannotWrite):
            for start in range(0, len(part.rows), rows):
                cut = slice(start, start + rows)
                tensors = {
                    "rows": part.rows[cut],
                    "activations": part.activations[cut],
                    "cost": part.cost[cut],
                }
                name = short(part.rows[cut].numpy().tobytes())
                write_checksummed(
                    self._of(key) / f"{name}.safetensors", tensors, {"key": list(key)}
                )
        self._evict()

    def discard(self, key: ActivationKey, name: str) -> None:
        with suppress(OSError):
            (self._of(key) / name).unlink()

    def alone(self, key: ActivationKey) -> AbstractContextManager[object]:
        folder = self._of(key)
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / "lock")

    def _of(self, key: ActivationKey) -> Path:
        return self._folder / short(repr(tuple(key)))

    def _evict(self) -> None:
        """Whoever has a file open goes on reading it."""
        files = []
        for file in self._folder.glob("*/*.safetensors"):
            with suppress(OSError):  # another process removed it
                stat = file.stat()
                files.append((stat.st_mtime, stat.st_size, file))
        total = sum(size for _, size, _ in files)
        for _, size, file in sorted(files):
            if total <= self._limit:
                return
            with suppress(OSError):
                file.unlink()
            total -= size
