"""A cell as an executor sees it: something that pickles, runs, and leaves a record."""

from __future__ import annotations

import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import psutil
import torch

from harness.data.examples import Pool
from harness.executor import Emit
from harness.model.threads import libraries
from harness.plan.cell import Cell
from harness.plan.datasets import Datasets
from harness.plan.fingerprint import backbone_fingerprint, source_fingerprint
from harness.record import owners, provenance
from harness.record.journal import Journal
from harness.record.schema import Coordinates, Record, Status
from harness.record.store import Store
from harness.record.trial_files import TrialFiles
from harness.record.trial_storage import TrialStorage
from harness.registry import Sources, load_once
from harness.run.cell import help_cell, run_cell
from harness.run.heartbeat import Heartbeat
from harness.run.malloc import keep_freed
from harness.run.place import GIB, Place
from harness.run.resources import LRU, Resources
from harness.run.shared_trials import divisible
from harness.run.status import KEPT
from harness.suite.budget import Limits
from harness.suite.problems import EpisodesProblem


@dataclass(frozen=True)
class CellJob:
    """A cell and its place. ``attempts`` says how often the cell was begun when the job was
    planned: a record that says more is the work of another runner."""

    cell: Cell
    place: Place
    attempts: int = 0

    @property
    def title(self) -> str:
        return self.cell.title

    @property
    def timeout(self) -> float | None:
        return self.place.limits.timeout

    @property
    def memory(self) -> int | None:
        if self.place.limits.memory is not None:
            return round(self.place.limits.memory * GIB)
        if any(device != "cpu" for device in self.place.workers):
            return None  # drivers map more than they take
        # What is free is a limit too: beyond it, the machine would end any process, or stand still.
        return int(psutil.virtual_memory().available)

    @property
    def threads(self) -> int:
        return self.cell.budget.threads

    @property
    def log(self) -> Path:
        return self._journal.log

    @property
    def _journal(self) -> Journal:
        return Journal(self.place.directory, self.cell.cell)

    @property
    def _store(self) -> Store:
        return Store(self.place.directory)

    def settled(self) -> Record | None:
        """The record that was asked for, once it is there."""
        record, _ = self._store.judged(self.cell)
        return record if record is not None and record.attempts > self.attempts else None

    def wanted(self) -> bool:
        """Whether it is to be done, and nobody is at it."""
        return not self.place.is_locked(self.cell.cell) and self.settled() is None

    def warm(self) -> None:
        cell = self.cell
        datasets = _datasets(self.place.sources)
        registry = load_once(self.place.sources)
        provenance.environment()
        libraries()
        with suppress(Exception):  # it will fail in the cell, and be told there
            loaded = datasets.load(cell.dataset, cell.problem_spec.args)
            if cell.protocol != "episodes":
                datasets.near_duplicates(loaded)  # which all splits are looked through for
            source_fingerprint(datasets, cell.source_spec, cell.problem_spec.fit)
            backbone_fingerprint(registry, datasets, cell.backbone_spec)
            # On the CPU whatever the device is: a fork can't use one that was opened before it.
            self._resources("cpu").warm(cell, provenance.cores() or 1)

    def run(self, emit: Emit, device: str) -> None:
        with self.place.lock(self.cell.cell) as ours:
            if not ours or self.settled() is not None:
                return
            self._divide(device)
            with Heartbeat(self.place.directory, self.cell.cell, device, emit) as alive:
                resources, attempts = self._resources(device), self.attempts + 1
                run_cell(self.cell, resources, self._store, alive.emit, attempts, self.files)

    @property
    def files(self) -> TrialFiles | None:
        """Those of its trials, if other workers may do some of them."""
        cell, place = self.cell, self.place
        one_task = not isinstance(cell.problem_spec, EpisodesProblem)
        shares = place.share and not place.limits.accumulate
        if not (shares and one_task and divisible(cell.budget)):
            return None
        where = place.directory, cell.cell, cell.budget.threads
        if place.trial_storage is not None:
            trials = cell.budget.trials or 0
            return TrialStorage(*where, place.trial_storage, self.attempts + 1, trials)
        return TrialFiles(*where) if place.locks else None

    def _divide(self, device: str) -> None:
        """Take of this process's memory and of the device what is its own."""
        keep_freed()
        if device.startswith("cuda"):
            share = (1 - self.place.limits.device_headroom) / self._neighbours(device)
            torch.cuda.set_per_process_memory_fraction(share, torch.device(device))

    def _resources(self, device: str) -> Resources:
        place = self.place
        return _resources(place.sources, device, place.cache, place.limits, place.readers)

    def _neighbours(self, device: str) -> int:
        """How many workers share the device."""
        return Counter(self.place.workers)[device]

    def lost(self, status: str, reason: str, emit: Emit, device: str) -> None:
        cell = self.cell
        with self.place.lock(cell.cell) as ours:
            if not ours:  # another runner goes on with it
                return
            owners.remove(self.place.directory, cell.cell)
            record = self.settled()
            if record is None:
                record = Record(
                    **{name: getattr(cell, name) for name in Coordinates.model_fields},
                    status=cast(Status, status),
                    reason=reason,
                    attempts=self.attempts + 1,
                    log=self._journal.logged(),
                    config=cell.config(),
                    meaning=cell.meaning,
                    trials=self._journal.read(self.threads).trials,
                    provenance=provenance.of_run(device, self.threads),
                )
                self._store.write_record(record)
            if record.status not in KEPT:  # it may have been killed just after its record
                self._journal.drop()
        emit("harness_cell_finished", {"cell": cell, "record": record})


@dataclass(frozen=True)
class HelpJob(CellJob):
    """Trials of a cell that another process runs, and writes the record of; one of several
    helpers, which are numbered."""

    helper: int = 0

    @property
    def title(self) -> str:
        return f"trials of {self.cell.title}"

    @property
    def log(self) -> Path:
        return super().log.with_suffix(f".help-{self.helper}.log")

    def wanted(self) -> bool:
        return self.settled() is None

    def run(self, emit: Emit, device: str) -> None:
        if self.files is None or not self.wanted():
            return
        self._divide(device)
        try:
            help_cell(self.cell, self._resources(device), self.files, lambda: not self.wanted())
        except Exception:  # the cell's own process meets it too, and its record tells
            traceback.print_exc()

    def lost(self, status: str, reason: str, emit: Emit, device: str) -> None:
        """What it was at is done by the cell's own process."""


@cache
def _datasets(sources: Sources) -> Datasets:
    """One a process, for resources on any device."""
    return Datasets(load_once(sources))


@cache
def _resources(
    sources: Sources, device: str, cache: Path, limits: Limits, readers: int
) -> Resources:
    """One a process: cells that follow each other share data, weights and features."""
    resources = Resources(load_once(sources), torch.device(device), cache, limits, readers)
    resources.datasets, resources.on_host = _datasets(sources), _on_host()
    return resources


@cache
def _on_host() -> LRU[Pool]:
    """One a process, as above."""
    return LRU(6)
