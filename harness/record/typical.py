"""What cells like one took: the same strategy on the same problem and backbone, other seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from harness.record.schema import Coordinates


class Typical:
    """Median seconds of cells that ended ok, by what they are.

    Args:
        took: cells, and the seconds that each took.
    """

    def __init__(self, took: Iterable[tuple[Coordinates, float]]) -> None:
        known: dict[object, list[float]] = {}
        for cell, seconds in took:
            for group in (_kind(cell), cell.label, None):
                known.setdefault(group, []).append(seconds)
        self._medians = {group: statistics.median(seconds) for group, seconds in known.items()}

    def of(self, cell: Coordinates) -> float | None:
        """Seconds of cells that differ by seed alone; ``None`` where there was none."""
        return self._medians.get(_kind(cell))

    def near(self, cell: Coordinates) -> float | None:
        """The same, else of cells of its strategy, else of all."""
        groups = (_kind(cell), cell.label, None)
        return next((self._medians[group] for group in groups if group in self._medians), None)


def _kind(cell: Coordinates) -> tuple[object, ...]:
    return cell.label, cell.problem, cell.protocol, cell.shots, cell.ways, cell.backbone
