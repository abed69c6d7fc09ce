"""What cells have to wait for: weights and preparations that another cell is making just now."""

from __future__ import annotations

from collections.abc import Set
from typing import TypeAlias

from harness.contract import overrides
from harness.plan.cell import Cell
from harness.registry import Registry
from harness.suite.backbones import SourceWeights

Shared: TypeAlias = "tuple[object, ...]"
"""Something that the first cell to need it makes, and all others find made."""


class Making:
    """What the cells that run now are making, as far as the plan tells."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: set[Shared] = set()
        self._running: dict[str, Set[Shared]] = {}

    def begin(self, cell: Cell) -> None:
        self._running[cell.cell] = self._needs(cell)

    def end(self, cell: Cell) -> None:
        self._made |= self._running.pop(cell.cell, set())

    def delays(self, cell: Cell) -> bool:
        """Whether the cell, if it began now, would wait for a running one."""
        needs = self._needs(cell) - self._made
        return any(needs & others for others in self._running.values())

    def _needs(self, cell: Cell) -> Set[Shared]:
        strategy = self._registry.get("strategy", cell.strategy).cls
        needs: set[Shared] = set()
        weights = cell.backbone_spec.weights
        if strategy.uses_weights and isinstance(weights, SourceWeights):
            needs.add(("weights", cell.backbone, weights.seed))
        if overrides(strategy, "prepare"):
            needs.add(("prepared", cell.label, cell.backbone, cell.seed, repr(cell.source_spec)))
        return needs
