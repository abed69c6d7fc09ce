"""The trials of a cell that several processes share: who is at which, and what came of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.record.journal import Journal, Partial
from harness.record.locks import locked


@dataclass(frozen=True)
class TrialFiles:
    """A lock and a journal for each trial of one cell, beside the cell's own.

    The journal of a trial, ``partial/KEY.trial-N.json``, holds that one trial and what it took. All
    are forgotten with the cell's journal.
    """

    directory: Path
    cell: str
    threads: int

    def claimed(self, number: int) -> AbstractContextManager[bool]:
        """Claim a trial while the context lasts. Gives ``False`` where a live process is at it."""
        return locked(self.directory, self._name(number))

    def read(self, number: int) -> Partial | None:
        """What came of a trial; ``None`` where nobody has finished it."""
        found = self._journal(number).read(self.threads)
        return found if found.trials else None

    def write(self, number: int, done: Partial) -> None:
        self._journal(number).write(done)

    def predictor(self, number: int) -> Path:
        """Where the predictor of a trial is, if the process that did it has kept it."""
        return self._journal(number).checkpoint

    def _journal(self, number: int) -> Journal:
        return Journal(self.directory, self._name(number))

    def _name(self, number: int) -> str:
        return f"{self.cell}.trial-{number}"
