"""What a cell will take, from what others took: the same cell with other seeds, else what its
strategy and what its task have added to others."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeAlias

import numpy as np

from harness.record.schema import Coordinates, Record

Task: TypeAlias = tuple[Hashable, ...]

SHORTEST = 1e-3
"""Seconds, of which there are logarithms."""


def took(record: Record) -> tuple[Record, float] | None:
    """A cell that ended ok, and the seconds that it was at work itself: phases that it found done
    are billed to it, and cost it nothing."""
    if record.status != "ok" or "total" not in record.seconds:
        return None
    found = sum(record.seconds.get(phase, 0.0) for phase in {*record.cached} - {"pretrain"})
    return record, max(record.seconds["total"] - found, 0.0)


class Typical:
    """Seconds of cells that ended ok, by what they are.

    For cells without their like, logarithms of seconds are taken to be a sum of what the strategy
    adds to their mean and what the task does, by least squares: of the many ways to share a sum
    that no cell tells apart, the one of least squares too, so that what was never seen adds
    nothing.

    Args:
        took: cells, and the seconds that each took.
    """

    def __init__(self, took: Iterable[tuple[Coordinates, float]]) -> None:
        known: dict[tuple[str, Task], list[float]] = defaultdict(list)
        for cell, seconds in took:
            known[cell.label, _task(cell)].append(seconds)
        self._medians = {kind: statistics.median(seconds) for kind, seconds in known.items()}
        self._mean, self._added = _shares(
            {kind: math.log(max(seconds, SHORTEST)) for kind, seconds in self._medians.items()}
        )

    def of(self, cell: Coordinates) -> float | None:
        """Seconds of cells that differ by seed alone; ``None`` where there was none."""
        return self._medians.get((cell.label, _task(cell)))

    def near(self, cell: Coordinates) -> float | None:
        """The same, else by the cell's strategy and its task, as far as they are known; ``None``
        where nothing is."""
        known = self.of(cell)
        if known is not None or not self._medians:
            return known
        added = (self._added.get(line, 0.0) for line in (cell.label, _task(cell)))
        return math.exp(self._mean + sum(added))


def _task(cell: Coordinates) -> Task:
    return cell.problem, cell.protocol, cell.shots, cell.ways, cell.backbone


def _shares(logs: Mapping[tuple[str, Task], float]) -> tuple[float, dict[Hashable, float]]:
    """The mean of an incomplete two-way table, and what each line adds to it."""
    lines = {line: at for at, line in enumerate({line: None for kind in logs for line in kind})}
    if not lines:
        return 0.0, {}
    values = np.array([*logs.values()])
    design = np.zeros((len(logs), len(lines)))
    for row, kind in enumerate(logs):
        design[row, [lines[line] for line in kind]] = 1
    added, *_ = np.linalg.lstsq(design, values - values.mean(), rcond=None)
    return float(values.mean()), {line: float(added[at]) for line, at in lines.items()}
