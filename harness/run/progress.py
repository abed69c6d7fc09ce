"""Progress on a stream: a line a cell that has ended, and on a terminal a live view below them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import IO, TypeAlias

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.markers import hookimpl
from harness.plan.cell import Cell
from harness.record.monitor import Monitor, Snapshot
from harness.record.schema import Record
from harness.record.store import Store

EVERY = 2.0
"""Seconds between two looks at what is left: a look reads the plan, however many cells it has."""

View: TypeAlias = Callable[[Snapshot, int], Iterable[str]]
"""Puts a look into lines of at most so many characters."""


class ProgressTracker:
    """A tracker that tells each cell that has ended, with the time left in all, and on a terminal
    shows the ``view`` of what runs, waits and went wrong meanwhile. ``workers`` is how many this
    run has: just when a cell has ended, one of them is idle."""

    def __init__(self, stream: IO[str], view: View, workers: int) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._view, self._workers = view, workers
        self._live: Live | None = None
        self._total = 0
        self._ended: set[str] = set()
        self._cells: frozenset[str] = frozenset()
        self._monitor: Monitor | None = None
        self._snapshot: Snapshot | None = None
        self._looking = Lock()  # the live view is drawn in a thread of its own
        self._started = 0.0
        self._looked = -EVERY

    @hookimpl
    def harness_suite_started(
        self, suite: str, directory: Path, cells: Sequence[Cell], todo: int
    ) -> None:
        done = len(cells) - todo
        self._console.print(
            f"{suite}: {len(cells)} cells, {done} done before, {todo} to do", markup=False
        )
        self._total, self._started = todo, time.monotonic()
        self._cells = frozenset(cell.cell for cell in cells)
        self._monitor, self._looked = Monitor(Store(directory)), -EVERY
        if self._console.is_terminal and todo:
            self._live = Live(
                console=self._console,
                get_renderable=self._drawn,
                refresh_per_second=1,
                transient=True,
            )
            self._live.start(refresh=True)

    @hookimpl
    def harness_cell_finished(self, cell: Cell, record: Record, elsewhere: bool) -> None:
        self._ended.add(cell.cell)  # a cell that is tried again ends twice
        accuracy = record.metrics.get("accuracy")
        outcome = f"{100 * accuracy:5.1f} %" if accuracy is not None else str(record.reason)
        line = (
            f"[{len(self._ended)}/{self._total}] {record.status:<5} {outcome}  {cell.title}  "
            f"{record.seconds.get('total', 0.0):.1f} s  "
            f"({'by another runner, ' if elsewhere else ''}{self._expected()})"
        )
        self._console.print(line, markup=False)

    @hookimpl
    def harness_suite_finished(self, suite: str, directory: Path) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _drawn(self) -> Text:
        found = self._look()
        return Text("" if found is None else "\n".join(self._view(found, self._console.width)))

    def _expected(self) -> str:
        """Seconds so far, and those that are left by what cells like them took."""
        elapsed = f"{_clock(time.monotonic() - self._started)} elapsed"
        found = self._look()
        if found is None or found.left is None or len(self._ended) == self._total:
            return elapsed
        since = time.monotonic() - self._looked
        return f"{elapsed}, about {_clock(max(found.left - since, 0.0))} left{found.rests_on}"

    def _look(self) -> Snapshot | None:
        """How far the suite is, seen at most :data:`EVERY` seconds ago."""
        with self._looking:
            if self._monitor is not None and time.monotonic() - self._looked >= EVERY:
                self._snapshot = self._monitor.look(self._cells, self._workers)
                self._looked = time.monotonic()
            return self._snapshot


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
