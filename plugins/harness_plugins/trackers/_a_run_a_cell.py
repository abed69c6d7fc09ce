"""Trackers whose libraries know one run at a time: a cell is told when it has ended."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.api import Cell, Record, Tracker, hookimpl
from harness_plugins.trackers._told import Scalar, parameters, scores, selected, tried


class ARunACell(Tracker):
    """A run for each cell that ends, in a project of the suite's name."""

    def __init__(self) -> None:
        self._folder = Path()

    @hookimpl
    def harness_suite_started(
        self, suite: str, directory: Path, cells: Sequence[Cell], todo: int
    ) -> None:
        self._folder = directory

    @hookimpl
    def harness_cell_finished(self, cell: Cell, record: Record) -> None:
        config = {**parameters(cell), **selected(record), "status": record.status}
        if record.reason:
            config["reason"] = record.reason
        run = self.begin(cell.suite, cell.title, cell.label, config, self._folder)
        for trial in record.trials:
            run.log(tried(trial), step=trial.number)
        self.end(run, scores(record), step=len(record.trials), ok=record.status == "ok")

    @abstractmethod
    def begin(
        self, project: str, name: str, group: str, config: Mapping[str, Scalar], folder: Path
    ) -> Any:
        """Open a run with ``log(scores, step=…)``; what is kept locally goes into ``folder``."""

    @abstractmethod
    def end(self, run: Any, scores: Mapping[str, float], *, step: int, ok: bool) -> None:
        """Log the final scores, and close the run."""
