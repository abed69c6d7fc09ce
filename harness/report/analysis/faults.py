"""What went wrong, told once for all the cells that it happened to."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from harness.errors import abridged
from harness.record.schema import Coordinates
from harness.record.store import PENDING
from harness.report.format import plural

MOST_NAMED = 12
"""Strategies, problems or seeds that a fault names."""


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong, and the cells that it happened to, each with the name of its log.
    The traceback is the first cell's."""

    status: str
    reason: str
    traceback: str
    cells: list[tuple[Coordinates, str | None]]

    @property
    def where(self) -> str:
        """Tell the cells in a few words: how many, and of which strategies, problems and seeds."""
        labels, problems, seeds = (
            abridged(dict.fromkeys(str(getattr(cell, name)) for cell, _ in self.cells), MOST_NAMED)
            for name in ("label", "problem", "seed")
        )
        if len(self.cells) == 1:
            return f"{labels} on {problems} (seed {seeds})"
        several = len({cell.seed for cell, _ in self.cells}) > 1
        told = f"{labels} on {problems} ({'seeds' if several else 'seed'} {seeds})"
        return f"{plural(len(self.cells), 'cell')}, {told}"

    def among(self, keys: Collection[str]) -> Fault:
        """Keep the cells with these keys alone."""
        return replace(self, cells=[one for one in self.cells if one[0].cell in keys])


Faults: TypeAlias = dict[tuple[str, str], Fault]
"""By status and reason."""


def note(
    faults: Faults,
    cell: Coordinates,
    status: str,
    reason: str | None,
    traceback: str | None = None,
    log: str | None = None,
) -> None:
    """Add a cell to what happened to it, which may have happened to others."""
    fault = Fault(status, reason or "", traceback or "", [])
    faults.setdefault((status, fault.reason), fault).cells.append((cell, log))


def in_order(faults: Iterable[Fault]) -> list[Fault]:
    """What is broken before what merely is not there, and of either most cells first."""
    return sorted(
        faults, key=lambda fault: (fault.status in ("unsupported", PENDING), -len(fault.cells))
    )
