"""Activations of frozen backbones, computed once for all trials, strategies and cells."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.examples import Inputs
from harness.data.resident import SHARE_OF_MEMORY, free_bytes
from harness.model.backbone import Backbone

BATCH = 256


@dataclass
class Stored:
    """What enters one block for the inputs of one pool; rows are filled as they are needed.

    ``cost`` has the seconds that each row took when it was computed, so that whoever uses a row
    later can be billed for it.
    """

    activations: Tensor
    known: Tensor
    cost: Tensor

    @property
    def bytes(self) -> int:
        return self.activations.numel() * self.activations.element_size()


@dataclass(frozen=True)
class Filled:
    """An entry of the store, and how many of its rows were computed just now."""

    key: tuple[str, str, int]
    stored: Stored
    fresh: int


class FeatureStore:
    """Activations by weights, inputs and block, least recently used out first."""

    def __init__(self) -> None:
        self._stored: OrderedDict[tuple[str, str, int], Stored] = OrderedDict()

    def fill(self, backbone: Backbone, inputs: Inputs, block: int) -> Filled | None:
        """Make sure that the rows of ``inputs`` are known; ``None`` if they would not fit."""
        key = backbone.digest(), inputs.pool.digest, block
        stored = self._stored.get(key) or self._allocate(backbone, inputs, block)
        if stored is None:
            return None
        self._stored[key] = stored
        self._stored.move_to_end(key)
        missing = inputs.rows[~stored.known[inputs.rows]].unique()
        started = time.perf_counter()
        for start in range(0, len(missing), BATCH):
            rows = missing[start : start + BATCH]
            stored.activations[rows.to(stored.activations.device)] = _compute(
                backbone, inputs.pool.take(rows), block
            )
        if len(missing):
            _synchronise(stored.activations.device)
            stored.known[missing] = True
            stored.cost[missing] = (time.perf_counter() - started) / len(missing)
        return Filled(key, stored, len(missing))

    def _allocate(self, backbone: Backbone, inputs: Inputs, block: int) -> Stored | None:
        row = _compute(backbone, inputs.pool.take(inputs.rows[:1]), block)
        rows = len(inputs.pool)
        needed = row.numel() * row.element_size() * rows
        while needed > (limit := SHARE_OF_MEMORY * free_bytes(row.device)) and self._stored:
            self._stored.popitem(last=False)
        if needed > limit:
            return None
        return Stored(
            activations=row.new_empty((rows, *row.shape[1:])),
            known=torch.zeros(rows, dtype=torch.bool),
            cost=torch.zeros(rows, dtype=torch.float64),
        )


@torch.no_grad()
def _compute(backbone: Backbone, inputs: Tensor, block: int) -> Tensor:
    return backbone.activations(inputs, block)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
