"""What a report needs of the records beyond the tidy frame, collected record by record.

Ten thousand records hold too much to keep whole: each is read, used and let go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from harness.record.schema import Coordinates, Record
from harness.record.store import PENDING, Store
from harness.report.words import value_text

HOURS = {"started", "finished"}
"""Facts of provenance that say nothing of how a result came about; where any other differs between
cells, a report warns."""


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong, and the cells that it befell."""

    status: str
    reason: str
    traceback: str
    cells: list[Coordinates]


@dataclass(frozen=True)
class Fact:
    """A fact of provenance: each value it has in the records, and in how many."""

    name: str
    values: Mapping[str, int]

    @property
    def warns(self) -> bool:
        return len(self.values) > 1 and self.name not in HOURS


@dataclass(frozen=True)
class Details:
    """``trials``: cell, number, state, value, where accuracy selected · ``curves``: cell, step,
    value, of the selected trial · ``tuned``: its settings, by cell · ``faults`` and ``facts``;
    broken cells before those that are pending or unsupported, most cells first."""

    trials: pd.DataFrame
    curves: pd.DataFrame
    tuned: Mapping[str, Mapping[str, Any]]
    faults: list[Fault]
    facts: list[Fact]


def collect(store: Store, cells: list[Coordinates]) -> Details:
    """Go through the records of the planned cells once."""
    gathered = _Gathered()
    for cell in cells:
        gathered.add(cell, store.record(cell.cell))
    return Details(
        trials=pd.DataFrame(gathered.trials, columns=["cell", "number", "state", "value"]),
        curves=pd.DataFrame(gathered.curves, columns=["cell", "step", "value"]),
        tuned=gathered.tuned,
        faults=sorted(
            gathered.faults.values(),
            # What is broken before what merely is not there.
            key=lambda fault: (fault.status in ("unsupported", PENDING), -len(fault.cells)),
        ),
        facts=gathered.facts(),
    )


@dataclass
class _Gathered:
    trials: list[tuple[str, int, str, float | None]] = field(default_factory=list)
    curves: list[tuple[str, int, float]] = field(default_factory=list)
    tuned: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[tuple[str, str, str], Fault] = field(default_factory=dict)
    seen: dict[str, Counter[str]] = field(default_factory=dict)
    records: int = 0

    def add(self, cell: Coordinates, record: Record | None) -> None:
        if record is None:
            self._fault(cell, PENDING, "", "")
            return
        self.records += 1
        for name, value in flat(record.provenance).items():
            self.seen.setdefault(name, Counter())[value] += 1
        by_accuracy = "information_val" not in record.metrics
        for trial in record.trials:
            if by_accuracy:
                self.trials.append((cell.cell, trial.number, trial.state, trial.value))
            if trial.number == record.selected:
                self.tuned[cell.cell] = trial.settings
                self.curves += [(cell.cell, step, value) for step, value in trial.curve]
        if record.status != "ok":
            self._fault(cell, record.status, record.reason or "", record.traceback or "")

    def _fault(self, cell: Coordinates, status: str, reason: str, traceback: str) -> None:
        fault = Fault(status, reason, traceback, [])
        self.faults.setdefault((status, reason, traceback), fault).cells.append(cell)

    def facts(self) -> list[Fact]:
        for values in self.seen.values():
            if absent := self.records - values.total():
                values["(not recorded)"] = absent
        return [Fact(name, dict(values.most_common())) for name, values in self.seen.items()]


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested mapping as one of dotted names, such as ``versions.torch``."""
    found: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value_text(value)
    return found
