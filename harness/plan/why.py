"""Why a cell has to run, or that it has not: what it means now beside what it meant then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.plan.cells import Cell, plan
from harness.plan.configure import Datasets
from harness.plan.keys import differences
from harness.plan.read import parse
from harness.plugins import Registry
from harness.record.belief import Doubt
from harness.record.schema import Record
from harness.record.store import Store


@dataclass(frozen=True)
class Candidate:
    """A cell as it is now, its record or why there is none that counts, and every record of the
    same title."""

    cell: Cell
    record: Record | None
    doubt: Doubt | None
    before: list[Record]

    def known_as(self, start: str) -> bool:
        """Whether the cell's key begins so, now or in one of its records."""
        return any(c.cell.startswith(start) for c in (self.cell, *self.before))

    def explained(self) -> Iterator[str]:
        yield f"{self.cell.cell}  {self.cell.title}"
        if self.record is not None:
            yield f"is done ({self.record.status}): nothing that it depends on has changed"
        elif self.doubt is not None:
            yield f"has to run again: its record {self.doubt}"
        elif not self.before:
            yield "has to run: there is no record of such a cell yet"
        else:
            yield "has to run again, because since the nearest record"
            changes = (list(differences(old.meaning, self.cell.meaning)) for old in self.before)
            yield from (f"  {line}" for line in min(changes, key=len))


def candidates(store: Store, registry: Registry) -> Iterator[Candidate]:
    """The cells of a results folder's suite, as it was last run but with today's data and code.

    Raises:
        HarnessError: the folder can't be read, or the suite can't be run any more.
    """
    where = str(store.directory)
    suite = parse(store.plan().config, where)
    planned = plan(suite, registry, Datasets(registry), where)
    before: dict[str, list[Record]] = {}
    for record in store.records():
        before.setdefault(record.title, []).append(record)
    for cell in planned.cells:
        yield Candidate(cell, *store.judged(cell), before.get(cell.title, []))
