"""Why a cell has to run, or that it has not: what it means now beside what it meant then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.plan.cell import Cell
from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.plan.keys import differences
from harness.record.reading import InvalidFile
from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.registry import Registry
from harness.suite.read import parse
from harness.suite.schema import Suite


@dataclass(frozen=True)
class Candidate:
    """A cell as it is now, its record or why there is none that counts, and every record of the
    same title."""

    cell: Cell
    record: Record | None
    invalid: InvalidFile | None
    before: list[Record]

    def known_as(self, start: str) -> bool:
        """Whether the cell's key begins so, now or in one of its records."""
        return any(c.cell.startswith(start) for c in (self.cell, *self.before))

    def explained(self) -> Iterator[str]:
        yield f"{self.cell.cell}  {self.cell.title}"
        if self.record is not None:
            yield f"is done ({self.record.status}): nothing that it depends on has changed"
        elif self.invalid is not None:
            yield f"has to run again: its record {self.invalid}"
        elif not self.before:
            yield "has to run: there is no record of such a cell yet"
        else:
            yield "has to run again, because since the nearest record"
            changes = (list(differences(old.meaning, self.cell.meaning)) for old in self.before)
            yield from (f"  {line}" for line in min(changes, key=len))


def candidates(store: Store, registry: Registry, start: str) -> Iterator[Candidate]:
    """The cells of a results folder's suite, as it was last run but with today's data and code.

    Where the folder knows cells whose keys begin with ``start``, just those that share a strategy,
    a problem and a backbone with one of them: what the others need may not be there.

    Raises:
        HarnessError: the folder can't be read, or the suite can't be run any more.
    """
    where = str(store.directory)
    known, records = store.plan(), store.records()
    suite = parse(known.config, where)
    asked = [cell for cell in (*known.cells, *records) if cell.cell.startswith(start)]
    planned = plan(narrowed(suite, asked), registry, Datasets(registry), where)
    before: dict[str, list[Record]] = {}
    for record in records:
        before.setdefault(record.title, []).append(record)
    for cell in planned.cells:
        yield Candidate(cell, *store.judged(cell), before.get(cell.title, []))


def narrowed(suite: Suite, asked: Sequence[Coordinates]) -> Suite:
    """The part of a suite that has some cells; all of it where it has none of them any more.
    Claims may speak of the rest, and no cell depends on them."""
    labels, problems, backbones = (
        {getattr(cell, name) for cell in asked} for name in ("label", "problem", "backbone")
    )
    args = (value for spec in suite.strategies for value in spec.args.values())
    named = {value for value in args if isinstance(value, str)}
    kept = {
        "strategies": tuple(spec for spec in suite.strategies if spec.title in labels),
        "problems": tuple(spec for spec in suite.problems if spec.title in problems),
        "backbones": tuple(
            spec if spec.title in backbones else spec.model_copy(update={"compared": False})
            for spec in suite.backbones
            if spec.title in backbones or spec.title in named
        ),
    }
    return suite.model_copy(update={**kept, "claims": ()}) if all(kept.values()) else suite
