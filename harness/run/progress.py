"""Progress on a stream: a live line on a terminal, a line a cell elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from harness.markers import hookimpl
from harness.plan.cell import Cell
from harness.record.monitor import Monitor
from harness.record.schema import Record
from harness.record.store import Store

EVERY = 2.0
"""Seconds between two looks at what is left: a look reads the plan, however many cells it has."""


class ProgressBar:
    """A tracker that shows cells done, what runs now, and elapsed and expected time."""

    def __init__(self, stream: IO[str]) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._running: dict[str, TaskID] = {}
        self._total = 0
        self._ended: set[str] = set()
        self._cells: frozenset[str] = frozenset()
        self._monitor: Monitor | None = None
        self._started = 0.0
        self._looked = -EVERY
        self._end: float | None = None

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
            self._bar = Progress(
                BarColumn(24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=self._console,
                transient=True,
            )
            self._whole = self._bar.add_task("", total=todo)
            self._bar.start()

    @hookimpl
    def harness_cell_started(self, cell: Cell) -> None:
        if self._bar is not None:
            self._running[cell.cell] = self._bar.add_task(escape(cell.title), total=None)

    @hookimpl
    def harness_cell_progress(self, cell: Cell, stage: str, done: int, total: int) -> None:
        if self._bar is None or cell.cell not in self._running:
            return
        known = f"{done}/{total}" if total else f"{done}"
        self._bar.update(
            self._running[cell.cell],
            description=escape(f"{cell.title}: {stage} {known}"),
            completed=done,
            total=total or None,
        )

    @hookimpl
    def harness_cell_finished(self, cell: Cell, record: Record) -> None:
        self._ended.add(cell.cell)  # a cell that is tried again ends twice
        accuracy = record.metrics.get("accuracy")
        outcome = f"{100 * accuracy:5.1f} %" if accuracy is not None else str(record.reason)
        line = (
            f"[{len(self._ended)}/{self._total}] {record.status:<5} {outcome}  {cell.title}  "
            f"{record.seconds.get('total', 0.0):.1f} s  ({self._expected()})"
        )
        self._console.print(line, markup=False)
        if self._bar is not None and cell.cell in self._running:
            self._bar.remove_task(self._running.pop(cell.cell))
            self._bar.update(self._whole, completed=len(self._ended), description=self._expected())

    @hookimpl
    def harness_suite_finished(self, suite: str, directory: Path) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _expected(self) -> str:
        """Seconds so far, and those that are left by what cells like them took."""
        now = time.monotonic()
        if self._monitor is not None and now - self._looked >= EVERY:
            left = self._monitor.look(self._cells).left
            self._looked, self._end = now, None if left is None else now + left
        elapsed = f"{_clock(now - self._started)} elapsed"
        if self._end is None or len(self._ended) == self._total:
            return elapsed
        return f"{elapsed}, about {_clock(max(self._end - now, 0.0))} left"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
