"""Run a suite: what has a record is done, the rest goes to the executor, round after round.

A cell is left for a later round while another runner is at it, and taken up again where the suite
asks for another attempt. Where a suite adds seeds, the cells that are needed are found anew when
all that were needed before have ended.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from harness.errors import HarnessError
from harness.executor import Executor
from harness.plan.cell import Cell
from harness.plan.cells import Planned
from harness.record.files import remove_leftovers
from harness.record.journal import Journal, begun
from harness.record.schema import Record, Status
from harness.record.store import Store
from harness.registry import load_once
from harness.run import stopping
from harness.run.events import Events
from harness.run.job import CellJob, HelpJob
from harness.run.order import Making
from harness.run.place import Place
from harness.run.purse import Purse
from harness.run.status import KEPT

WAIT = 0.5
"""Seconds between looks at cells that other runners are at."""

BAD: frozenset[Status] = frozenset({"failed", "timeout", "oom", "crashed", "diverged"})
"""Ends that tell of a fault; ``unsupported`` is told by the plugin, and ``interrupted`` asked
for."""

IDLE_ROUNDS = 5
"""Rounds without any progress after which an executor is held to leave cells undone."""


def unfinished(cells: Sequence[Cell], store: Store, retry: Collection[str] = ()) -> list[Cell]:
    """The cells without a record, or with one whose status is to be tried again: ``interrupted``
    always is."""
    again = {*retry, "interrupted"}
    records = {cell.cell: store.judged(cell)[0] for cell in cells}
    return [
        cell for cell in cells if (record := records[cell.cell]) is None or record.status in again
    ]


def run_suite(
    planned: Planned,
    chosen: Sequence[Cell],
    executor: Executor,
    place: Place,
    events: Events,
    *,
    retry: Collection[str] = (),
    needed: Callable[[], frozenset[str]] | None = None,
    purse: Purse | None = None,
    waits: bool = True,
    warn: Callable[[str], None],
) -> Store:
    """Run the chosen cells that are not done, and leave a record of each.

    Other runners may be at work on the same folder: no cell is done twice. Returns early when this
    process is asked to stop (:mod:`harness.run.stopping`).

    Args:
        needed: tells the keys of the cells that are needed so far, where that is not all of them.
        purse: the time that there is, if it is limited: what does not fit is left undone.
        waits: whether cells that other runners are at are waited for, to do them where these fail.
        warn: is told, in a line each, what was found in the folder and set aside.
    """
    store = Store(place.directory)
    for line in store.set_aside(planned.cells):
        warn(line)
    store.adopt((cell, cell.meaning) for cell in planned.cells)
    for folder in (place.directory, place.cache):
        remove_leftovers(folder)
    _drop_ended(planned.cells, store)
    known: frozenset[str] = frozenset()
    while not known or not stopping.asked():
        wanted = planned.keys if needed is None else needed()
        if known and wanted <= known:
            break
        store.write_plan(planned.to_json(wanted))
        cells = [cell for cell in chosen if cell.cell in wanted]
        todo = [cell for cell in unfinished(cells, store, retry) if cell.cell not in known]
        known |= wanted
        told = {"suite": planned.suite.name, "directory": place.directory}
        events.emit("harness_suite_started", {**told, "cells": cells, "todo": len(todo)})
        rounds = _Rounds(todo, executor, place, events, purse, waits)
        try:
            rounds.run()
        finally:
            events.emit("harness_suite_finished", told)
        if rounds.hopeless:
            warn(rounds.hopeless)
            break
    return store


def _drop_ended(cells: Sequence[Cell], store: Store) -> None:
    """Forget what is left of cells that have ended, where a kill came just after the record."""
    left = begun(store.directory)
    for cell in cells:
        if cell.cell in left:
            record, _ = store.judged(cell)
            if record is not None and record.status not in KEPT:
                Journal(store.directory, cell.cell).drop_ended(store.record_file(cell.cell))


class _Rounds:
    """The jobs that are left, and what becomes of them."""

    def __init__(
        self,
        todo: Sequence[Cell],
        executor: Executor,
        place: Place,
        events: Events,
        purse: Purse | None,
        waits: bool,
    ) -> None:
        store = Store(place.directory)
        self._executor, self._place, self._events = executor, place, events
        self._purse, self._waits = purse, waits
        self._left: dict[str, CellJob] = {}
        for cell in todo:
            record, _ = store.judged(cell)
            self._left[cell.cell] = CellJob(cell, place, record.attempts if record else 0)
        self._announced: set[str] = set()
        self._bad = Counter[Status]()
        self.hopeless = ""
        self._making = Making(load_once(place.sources))

    def run(self) -> None:
        idle = 0
        while self._left and not self._ends:
            self._executor.run(self._wanted(), self._emit, workers=self._place.workers)
            moved = self._settle()
            if not self._left or self._ends:
                return
            others = [self._place.is_locked(key) for key in self._left]
            if all(others) and not moved and not self._waits:
                return
            idle = 0 if any(others) or moved else idle + 1
            if idle == IDLE_ROUNDS:
                job = next(iter(self._left.values()))
                raise HarnessError(
                    f"executor {self._executor.name} left {len(self._left)} cells undone, such as "
                    f"{job.title}",
                    "Use another executor",
                )
            if not moved:
                time.sleep(WAIT)

    @property
    def _ends(self) -> bool:
        return stopping.asked() or bool(self.hopeless)

    def _wanted(self) -> Iterator[CellJob]:
        """Jobs in the plan's order, but that one which would wait for what a running cell makes
        lets others go first. Each is looked at when the executor has room for it."""
        left = list(self._left.values())
        while left and not self._ends:
            at_once = (at for at, job in enumerate(left) if not self._making.delays(job.cell))
            job = left.pop(next(at_once, 0))
            if not self._affords(job):
                del self._left[job.cell.cell]
            elif job.wanted():
                self._making.begin(job.cell)
                yield job
            else:
                self._done_elsewhere(job)
        yield from self._helping()

    def _helping(self) -> Iterator[HelpJob]:
        """For workers that are free when there is no cell to begin: trials of those that run."""
        for job in self._left.values():
            others = range(1, len(self._place.workers)) if job.files is not None else ()
            for number in others:
                helper = HelpJob(job.cell, self._place, job.attempts, number)
                if helper.wanted() and not self._ends:
                    yield helper

    def _affords(self, job: CellJob) -> bool:
        if self._purse is None:
            return True
        left = (other.cell for key, other in self._left.items() if key not in self._announced)
        return self._purse.affords(job.cell, left)

    def _settle(self) -> bool:
        """Drop what is done, and keep what the suite wants to begin anew; whether there was any."""
        moved = False
        for key, job in list(self._left.items()):
            record = job.settled()
            if record is None:
                continue
            moved = True
            if self._is_tried_again(record):
                self._left[key] = CellJob(job.cell, self._place, record.attempts)
                continue
            del self._left[key]
            self._done_elsewhere(job)
        return moved

    def _is_tried_again(self, record: Record) -> bool:
        limits = self._place.limits
        return record.status in limits.retry and record.attempts <= limits.retries

    def _done_elsewhere(self, job: CellJob) -> None:
        """Tell of a cell that another runner did, once."""
        record = job.settled()
        if record is None or job.cell.cell in self._announced or self._is_tried_again(record):
            return
        self._emit("harness_cell_finished", {"cell": job.cell, "record": record, "elsewhere": True})

    def _emit(self, hook: str, arguments: Mapping[str, Any]) -> None:
        if hook == "harness_cell_finished":
            self._announced.add(arguments["cell"].cell)
            self._making.end(arguments["cell"])
            self._judge(arguments["record"])
            arguments = {"elsewhere": False, **arguments}
        self._events.emit(hook, arguments)

    def _judge(self, record: Record) -> None:
        """Count bad ends: a full disk or a broken plugin fails every cell, and going on is idle."""
        if record.status not in BAD:
            self._bad.clear()
            return
        self._bad[record.status] += 1
        if self._bad.total() == self._place.limits.failures:
            told = ", ".join(f"{count} {status}" for status, count in self._bad.most_common())
            self.hopeless = (
                f"stopped, as the last {self._bad.total()} cells all came to a bad end ({told}), "
                f"such as {record.title}: {record.reason}. Mend it, and the same command with "
                f"--retry {','.join(sorted(self._bad))} goes on; limits.failures = 0 never stops"
            )
