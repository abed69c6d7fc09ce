"""What a cell has done so far: its finished trials, for whoever goes on with it, and its log.

``partial/KEY.json`` of a results folder is written after each trial and removed when the cell has
ended. Its first line is a checksum of the second; a damaged one is as good as none.
``logs/KEY.log`` is what the cell printed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from harness.hashing import sha256
from harness.record.locks import locked
from harness.record.schema import Trial


class Partial(BaseModel):
    """An unfinished cell: what :class:`Record` will say of it, as far as it is known.

    ``seconds`` are the clock's phases; ``prepare_seconds`` what ``prepare`` cost, by its settings;
    ``billed`` which activations were paid for, by what they are: one bit a row, in base 64.
    ``threads`` it was computed with: with others, nobody goes on from it.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    trials: list[Trial] = Field(default_factory=list)
    seconds: dict[str, float] = Field(default_factory=dict)
    prepare_seconds: dict[str, float] = Field(default_factory=dict)
    cached: list[str] = Field(default_factory=list)
    features_reused: bool = False
    billed: dict[str, str] = Field(default_factory=dict)
    peak_host_bytes: int = 0
    peak_device_bytes: int | None = None
    joules: float | None = None
    cpu_seconds: float = 0.0
    threads: int | None = None


class Journal:
    """Where one cell keeps what it has done."""

    def __init__(self, directory: Path, cell: str) -> None:
        self._directory, self._cell = directory, cell
        self._file = directory / "partial" / f"{cell}.json"
        self.log = directory / "logs" / f"{cell}.log"

    def logged(self) -> str | None:
        """The log's name in the results folder, if there is something in it."""
        with suppress(OSError):
            if self.log.stat().st_size:
                return f"logs/{self.log.name}"
        return None

    @property
    def checkpoint(self) -> Path:
        """The file for the state of a training that is under way."""
        return self._file.with_name(f"{self._cell}.safetensors")

    def read(self, threads: int | None = None) -> Partial:
        """What was done with so many threads; nothing where there is no journal that can be
        believed, or one of other threads."""
        with suppress(OSError, ValueError):
            seal, _, content = self._file.read_bytes().partition(b"\n")
            if seal == _seal(content):
                done = Partial.model_validate_json(content)
                if done.threads == threads:
                    return done
        return Partial(threads=threads)

    def write(self, partial: Partial) -> None:
        """Replace the journal, if that can be done: without it trials are done again.

        It is not forced to the disk, which may take longer than a trial: what a power cut tears
        is seen by its checksum.
        """
        content = partial.model_dump_json().encode()
        new = self._new
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(b"\n".join([_seal(content), content]))
            os.replace(new, self._file)

    def drop(self) -> None:
        """Forget it, and the journals of single trials: the cell has ended, or is to start anew."""
        for file in self._file.parent.glob(f"{self._cell}.*"):
            with suppress(OSError):
                file.unlink()

    def drop_ended(self, record: Path) -> None:
        """Forget it, as the cell's record was written after it and says that the cell has ended:
        whoever wrote that was killed before :meth:`drop`. A journal that is newer is of another
        attempt."""
        # Where nothing can be locked, it stays, and is dropped when the cell is run again.
        with suppress(OSError, NotImplementedError), locked(self._directory, self._cell) as ours:
            files = [*self._file.parent.glob(f"{self._cell}.*")]
            written = record.stat().st_mtime_ns
            if ours and all(file.stat().st_mtime_ns <= written for file in files):
                self.drop()

    @property
    def _new(self) -> Path:
        return self._file.with_name(f"{self._cell}.new")


def begun(directory: Path) -> set[str]:
    """The cells that have a journal in a results folder."""
    return {path.name.partition(".")[0] for path in (directory / "partial").glob("*")}


def _seal(content: bytes) -> bytes:
    return sha256(content).encode()
