"""How far a suite is: the state of every planned cell, as the files of its folder tell it.

Nothing is written and no lock is taken, so that a folder can be looked at while others run it, here
or on another machine.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from harness.record.owners import Owner, alive, owners
from harness.record.schema import Coordinates
from harness.record.store import PENDING, Store
from harness.record.typical import Typical, took

State: TypeAlias = Literal["ok", "failed", "running", "waiting"]
"""``failed`` is every end but ``ok``; ``waiting`` is what the next run begins, or goes on with."""

TO_COME: Collection[State] = ("running", "waiting")
"""States of cells that still take time."""

AGAIN = frozenset({PENDING, "interrupted", "damaged", "stale"})
"""Statuses of cells that a run begins, or goes on with, without being asked to."""


@dataclass(frozen=True)
class CellState:
    """A planned cell: its ``status``, and the ``reason`` of that, as the tidy frame has them;
    ``owner``, who is at it, or was when it was killed, and ``heard``, how many seconds ago it gave
    a sign; ``left``, how many more seconds it is expected to take, where that is known."""

    cell: Coordinates
    state: State
    status: str
    reason: str
    log: str | None
    owner: Owner | None
    heard: float
    left: float | None


@dataclass(frozen=True)
class Snapshot:
    """A suite at a moment, in seconds since the epoch; ``cells`` in the plan's order. ``workers``
    is how many there are at least, though some have just ended a cell."""

    suite: str
    at: float
    cells: list[CellState]
    workers: int = 1

    def having(self, state: State) -> list[CellState]:
        return [cell for cell in self.cells if cell.state == state]

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to run."""
        return not any(cell.state in TO_COME for cell in self.cells)

    @property
    def at_once(self) -> int:
        """How many cells run at a time: those that do now, or a worker's each."""
        return max(len(self.having("running")), self.workers)

    @property
    def left(self) -> float | None:
        """Seconds until all have ended; ``None`` where nothing is known."""
        rest = [cell.left for cell in self.cells if cell.left is not None]
        return max(sum(rest) / self.at_once, *rest, 0.0) if rest else None

    @property
    def rests_on(self) -> str:
        """What ``left`` rests on where that is not all strategies, as words to end a sentence with:
        a probe says little of what training takes."""
        ended = {cell.cell.label for cell in self.having("ok")}
        labels = ended | {cell.cell.label for cell in self.cells if cell.state in TO_COME}
        if ended == labels:
            return ""
        return f" as far as {len(ended)} of {len(labels)} strategies tell"


@dataclass(frozen=True)
class _End:
    """What a record's file told: how its cell ended, and the seconds it ``took`` if that was ok.
    ``stamp`` (nanoseconds and bytes) changes with the file."""

    stamp: tuple[int, int] | None
    status: str = PENDING
    reason: str = ""
    log: str | None = None
    took: float | None = None

    def state(self, owner: Owner | None, heard: float) -> State:
        """The state of a cell that had this end and has, or had, this owner."""
        if owner is not None and alive(owner, heard):
            ended_since = self.stamp is not None and self.stamp[0] > 1e9 * owner.started
            if not ended_since:  # else it was killed just after the record was written
                return "running"
        if self.status == "ok":
            return "ok"
        return "waiting" if self.status in AGAIN else "failed"


@dataclass
class Monitor:
    """Looks at a results folder, again and again: a record is read once."""

    store: Store
    _ends: dict[str, _End] = field(default_factory=dict)

    def look(self, only: Collection[str] | None = None, workers: int = 1) -> Snapshot:
        """
        Args:
            only: the keys of cells to look at, if not at all that are planned.
            workers: how many the one who looks has, as far as it knows.

        Raises:
            HarnessError: the folder has no plan, or one that this version can't read.
        """
        plan = self.store.plan()
        at_work, now = owners(self.store.directory), time.time()
        cells = [cell for cell in plan.cells if only is None or cell.cell in only]
        ends = [self._end(cell) for cell in cells]
        ended = zip(cells, ends, strict=True)
        typical = Typical((cell, end.took) for cell, end in ended if end.took is not None)
        states = []
        for cell, end in zip(cells, ends, strict=True):
            owner, heard = at_work.get(cell.cell, (None, 0.0))
            state = end.state(owner, heard)
            left = None
            if state == "waiting":
                left = typical.near(cell)
            elif state == "running" and owner is not None:
                left = _left(typical, cell, owner, now)
            states.append(
                CellState(cell, state, end.status, end.reason, end.log, owner, heard, left)
            )
        return Snapshot(plan.suite, now, states, workers)

    def _end(self, cell: Coordinates) -> _End:
        try:
            found = self.store.record_file(cell.cell).stat()
            stamp = found.st_mtime_ns, found.st_size
        except OSError:
            stamp = None
        known = self._ends.get(cell.cell)
        if known is None or known.stamp != stamp:
            known = self._ends[cell.cell] = self._read(cell, stamp)
        return known

    def _read(self, cell: Coordinates, stamp: tuple[int, int] | None) -> _End:
        record, invalid = self.store.judged(cell)
        if invalid is not None:
            return _End(stamp, invalid.status, f"its record {invalid}")
        if record is None:
            return _End(stamp)
        known = took(record)
        seconds = known[1] if known else None
        return _End(stamp, record.status, record.reason or "", record.log, seconds)


def _left(typical: Typical, cell: Coordinates, owner: Owner, now: float) -> float | None:
    """What a running cell still takes: what its like took, else by the trials that it has done."""
    age = max(now - owner.started, 0.0)
    expected = typical.of(cell)
    if expected is None and owner.trial and owner.trials:
        expected = age / owner.trial * owner.trials
    if expected is None:
        expected = typical.near(cell)
    return None if expected is None else max(expected - age, 0.0)
