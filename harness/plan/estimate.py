"""What cells will cost: from like cells that were run here, else from counted operations."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.plan.cell import Cell
from harness.record.schema import Record
from harness.record.typical import Typical
from harness.suite.schema import BackboneSpec, EpisodesProblem

if TYPE_CHECKING:
    from harness.registry import Registry

REACHED = 0.6
"""The share of this machine's matrix-product rate that small convolutions come to."""

FEW_SHOT_BATCH = 32
"""Images a step, roughly, of a task of a few shots."""


def estimate(
    cells: Sequence[Cell], records: Iterable[Record], registry: Registry, device: str = "cpu"
) -> dict[str, float | None]:
    """Seconds for each cell, by key: the median of what the same strategy took on the same
    problem and backbone, or else an upper bound on ``device``: every block trained for every
    step. What is learned from a source once, for many cells, is not counted. ``None`` where the
    model can't be built."""
    typical = Typical(
        (record, record.seconds["total"])
        for record in records
        if record.status == "ok" and "total" in record.seconds
    )
    forward: dict[str, float | None] = {}
    for cell in cells:
        if typical.of(cell) is None and cell.backbone not in forward:
            forward[cell.backbone] = _forward_operations(cell.backbone_spec, registry)
    return {
        cell.cell: _bound(cell, forward[cell.backbone], device)
        if (known := typical.of(cell)) is None
        else known
        for cell in cells
    }


def _bound(cell: Cell, forward: float | None, device: str) -> float | None:
    budget, problem = cell.budget, cell.problem_spec
    if budget.seconds is not None or forward is None:
        return budget.seconds
    few = isinstance(cell.shots, int)
    batch = min(budget.batch_size, FEW_SHOT_BATCH) if few else budget.batch_size
    trainings = budget.trials or 1
    if isinstance(problem, EpisodesProblem):
        batch = min(budget.batch_size, problem.ways * int(cell.shots))
        trainings = trainings * problem.val_episodes + problem.episodes
    return 3 * forward * batch * budget.steps * trainings / (REACHED * _matrix_rate(device))


def _forward_operations(spec: BackboneSpec, registry: Registry) -> float | None:
    """Floating-point operations of one input through the model, as PyTorch counts them."""
    factory = registry.backbone_for(spec.model).cls()
    try:
        with torch.random.fork_rng(devices=[]):
            backbone = factory.build(
                spec.model, input_size=spec.input_size, pretrained=False, args=spec.args
            )
        with FlopCounterMode(display=False) as counter:
            backbone.num_features  # noqa: B018 (runs the model on its two examples)
    except Exception:  # it is the cell's to say why, and its record's to keep
        return None
    return float(counter.get_total_flops()) / 2


@cache
def _matrix_rate(device: str) -> float:
    """Operations a second of a float32 matrix product: the best of a few, as other work on the
    machine only ever slows it."""
    size, best = 1024, float("inf")
    left, right = torch.rand(2, size, size, device=device)
    for _ in range(6):
        started = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
