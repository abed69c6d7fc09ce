"""Where a long training leaves what it has done, so that it goes on there after a kill."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from harness.record.files import CannotWrite
from harness.run.checksummed import Damaged, read_checksummed, write_checksummed


@dataclass
class Checkpoint:
    """A file, replaced whole, and how often: seconds, since the last time or the beginning.

    It makes nothing slower but itself, and nothing fail: one that can't be written is not there
    later, and one that is damaged is as good as none.
    """

    file: Path
    every: float
    _since: float = field(init=False, default_factory=time.monotonic)

    def begin(self) -> None:
        """A training begins: the first time is ``every`` seconds from now."""
        self._since = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._since >= self.every

    def save(self, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
        """Write tensors, and notes that JSON can hold."""
        with suppress(CannotWrite):
            write_checksummed(self.file, tensors, notes)
        self._since = time.monotonic()

    def load(self) -> tuple[dict[str, Tensor], Any] | None:
        """What was saved last, on the CPU; ``None`` without a file that can be believed."""
        try:
            return read_checksummed(self.file)
        except Damaged:
            return None

    def clear(self) -> None:
        """Nothing is left to go on with."""
        with suppress(OSError):
            self.file.unlink()
