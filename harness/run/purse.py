"""A run within a time: it begins whole blocks only, so that what is compared stays balanced."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.plan.cell import Cell

Block: TypeAlias = tuple[object, ...]
"""One task: a problem, its shots and ways, a backbone and a seed. All strategies have a cell
each."""


@dataclass
class Purse:
    """Seconds of wall clock that a run may take, from now on.

    Args:
        seconds: how many.
        expected: the seconds that cells will take, one after another, as far as is known by now.
        at_once: how many run side by side.
    """

    seconds: float
    expected: Callable[[Sequence[Cell]], float]
    at_once: int
    _started: float = field(default_factory=time.monotonic)
    _begun: dict[Block, bool] = field(default_factory=dict)

    def affords(self, cell: Cell, left: Iterable[Cell]) -> bool:
        """Whether the cell's block has begun, or fits beside those that have; it is asked once.

        Args:
            left: the cells of this run that have not ended.
        """
        block = block_of(cell)
        if block not in self._begun:
            self._begun[block] = True
            meant = [each for each in left if self._begun.get(block_of(each))]
            spent = time.monotonic() - self._started
            self._begun[block] = spent + self.expected(meant) / self.at_once <= self.seconds
        return self._begun[block]


def block_of(cell: Cell) -> Block:
    return cell.problem, cell.protocol, cell.shots, cell.ways, cell.backbone, cell.seed
