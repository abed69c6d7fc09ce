"""What cells will leave on disk: by what others left, else by the size of their models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from harness.contract import overrides
from harness.plan.cell import Cell
from harness.record.schema import Record

if TYPE_CHECKING:
    from harness.registry import Registry

FLOAT = 4
"""Bytes of a parameter."""

BESIDES = 2**19
"""Bytes that a cell leaves beside its model: its record, its answers, thumbnails of errors."""


def disk(cells: Sequence[Cell], records: Iterable[Record], registry: Registry) -> dict[str, int]:
    """Bytes that each cell keeps until the report is written, which may remove models: those of the
    parameters that train.

    They are as many as in records of its strategy on its backbone; else none for a strategy that
    trains nothing of the backbone, and all for any other. What many cells share is not counted:
    activations, which have a limit of their own (``limits.features``), and weights that are
    learned first.
    """
    known = [record for record in records if record.status == "ok"]
    trained = {(record.backbone, record.label): record.trainable_params for record in known}
    totals = {record.backbone: record.total_params or 0 for record in known}

    def parameters(cell: Cell) -> int:
        if (like := trained.get((cell.backbone, cell.label))) is not None:
            return like
        strategy = registry.get("strategy", cell.strategy).cls
        if strategy.family == "probes" and not overrides(strategy, "prepare"):
            return 0
        if cell.backbone not in totals:
            totals[cell.backbone] = _parameters(cell, registry)
        return totals[cell.backbone]

    return {cell.cell: BESIDES + FLOAT * parameters(cell) for cell in cells}


def _parameters(cell: Cell, registry: Registry) -> int:
    spec = cell.backbone_spec
    factory = registry.backbone_for(spec.model).cls()
    with torch.random.fork_rng(devices=[]):
        try:
            built = factory.build(
                spec.model, input_size=spec.input_size, pretrained=False, args=spec.args
            )
        except Exception:  # it is the cell's to say why, and its record's to keep
            return 0
    return sum(parameter.numel() for parameter in built.parameters())
