"""A cell as an executor sees it: something that pickles, runs, and leaves a record."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import torch

from harness.api import Emit
from harness.plan.cells import Cell
from harness.plugins import Sources, load_once
from harness.record import provenance
from harness.record.schema import Coordinates, Record, Status
from harness.record.store import Store
from harness.run.cell import run_cell
from harness.run.workbench import Workbench


@dataclass(frozen=True)
class Place:
    """Where cells run and where what they leave goes."""

    sources: Sources
    directory: Path
    cache: Path
    device: str
    threads: int


@dataclass(frozen=True)
class CellJob:
    """A cell and its place."""

    cell: Cell
    place: Place

    @property
    def title(self) -> str:
        return self.cell.title

    @property
    def device(self) -> str:
        return self.place.device

    def run(self, emit: Emit) -> None:
        torch.set_num_threads(self.place.threads)
        bench = _workbench(self.place.sources, self.place.device, self.place.cache)
        run_cell(self.cell, bench, Store(self.place.directory), emit)

    def lost(self, status: str, reason: str, emit: Emit) -> None:
        cell = self.cell
        record = Record(
            **{name: getattr(cell, name) for name in Coordinates.model_fields},
            status=cast(Status, status),
            reason=reason,
            config=cell.config(),
            meaning=cell.meaning,
            provenance=provenance.of_run(self.place.device, self.place.threads),
        )
        Store(self.place.directory).write_record(record)
        emit("harness_cell_finished", {"cell": cell, "record": record})


@cache
def _workbench(sources: Sources, device: str, cache: Path) -> Workbench:
    """One a process: cells that follow each other share data, weights and features."""
    return Workbench(load_once(sources), torch.device(device), cache)
