"""Activations of frozen backbones, computed once for all trials, cells and processes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from harness.data.examples import Inputs, Pool
from harness.data.resident import SHARE_OF_MEMORY, free_bytes
from harness.model.backbone import Backbone

BATCH = 256

LEAST = 32
"""Inputs that go through the model at once at least, repeated where there are fewer: kernels for
smaller batches round otherwise, and a row would depend on who asked for it first."""

GIVEN = 4
"""Gathered rows that are remembered: those of training, validation and test, and one to spare."""

AGREEMENT = 1e-2
"""The largest distance of a stored row from one computed anew, relative to its length."""


class ActivationKey(NamedTuple):
    """What activations depend on."""

    backbone: str
    inputs: str
    block: int
    numerics: str


@dataclass(frozen=True)
class StoredRows:
    """Some rows of a pool.

    Attributes:
        rows: int64 ``[m]``, on the CPU.
        activations: what enters the block for each, ``[m, ...]``.
        cost: the seconds that each took when it was computed, float64 ``[m]``: whoever uses it
            later is billed for it.
    """

    rows: Tensor
    activations: Tensor
    cost: Tensor


class Cache(Protocol):
    """Where parts are kept for other processes."""

    def parts(self, key: ActivationKey, known: frozenset[str]) -> Iterator[tuple[str, StoredRows]]:
        """Parts that are not ``known`` yet, on the CPU, each with its name."""
        ...

    def put(self, key: ActivationKey, part: StoredRows) -> None: ...

    def discard(self, key: ActivationKey, name: str) -> None:
        """Throw away a part that is wrong."""
        ...

    def alone(self, key: ActivationKey) -> AbstractContextManager[object]:
        """A context that one process at a time is in."""
        ...


class Stored:
    """What enters one block for some inputs of one pool."""

    def __init__(self, rows: int, row_bytes: int, device: torch.device) -> None:
        self.row_bytes = row_bytes
        self.cost = torch.zeros(rows, dtype=torch.float64)
        self.known_parts: frozenset[str] = frozenset()
        self.unkept: list[StoredRows] = []
        self._device = device
        self._blocks: list[Tensor] = []
        self._block = torch.full((rows,), -1, dtype=torch.int64)
        self._at = torch.zeros(rows, dtype=torch.int64)
        self._given: OrderedDict[bytes, tuple[Tensor, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.cost)

    def missing(self, rows: Tensor) -> Tensor:
        return rows[self._block[rows] < 0]

    def add(self, part: StoredRows) -> None:
        self._block[part.rows] = len(self._blocks)
        self._at[part.rows] = torch.arange(len(part.rows))
        self.cost[part.rows] = part.cost
        self._blocks.append(part.activations)

    def take(self, rows: Tensor) -> Tensor:
        """The activations of ``rows`` that are there, ``[len(rows), ...]`` on the device.

        The same tensor when asked for the same rows, unless its values were changed since.
        """
        name = rows.numpy().tobytes()
        given = self._given.pop(name, None)
        if given is None or given[0]._version != given[1]:
            gathered = self._gather(rows)
            given = gathered, gathered._version
        self._given[name] = given
        if len(self._given) > GIVEN:
            self._given.popitem(last=False)
        return given[0]

    def _gather(self, rows: Tensor) -> Tensor:
        blocks, at = self._block[rows], self._at[rows]
        gathered = self._blocks[0].new_empty(
            (len(rows), *self._blocks[0].shape[1:]), device=self._device
        )
        for number in blocks.unique().tolist():
            block = self._blocks[number]
            mine = (blocks == number).nonzero().flatten()
            taken = block[at[mine].to(block.device)]
            gathered[mine.to(self._device)] = taken.to(self._device)
        return gathered


@dataclass(frozen=True)
class Filled:
    """An entry of the store, and how many of its rows were computed just now."""

    key: ActivationKey
    stored: Stored
    fresh: int


class FeatureStore:
    """Activations by weights, inputs, block and numerics, least recently used out first.

    Args:
        cache: where they outlive the process.
    """

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache
        self._stored: OrderedDict[ActivationKey, Stored] = OrderedDict()

    def fill(self, backbone: Backbone, inputs: Inputs, block: int) -> Filled | None:
        """Make sure that the rows of ``inputs`` are known; ``None`` if they would not fit."""
        pool, device = inputs.pool, backbone.device
        key = ActivationKey(backbone.digest(upto=block), pool.digest, block, numerics(device))
        stored = self._stored.get(key)
        if stored is None:
            row = _few(backbone, pool, inputs.rows[:1], block)
            stored = Stored(len(pool), row.numel() * row.element_size(), device)
        wanted = inputs.rows.unique()
        missing = stored.missing(wanted)
        if not self._make_room(key, (len(missing) + len(inputs)) * stored.row_bytes, device):
            return None
        self._stored[key] = stored
        self._stored.move_to_end(key)
        if not len(missing):
            return Filled(key, stored, 0)
        many = len(missing) > BATCH
        with self._cache.alone(key) if self._cache and many else nullcontext():
            self._fetch(key, stored, backbone, pool)
            missing = stored.missing(wanted)
            if len(missing):
                part = compute(backbone, pool, missing, block)
                stored.add(part)
                stored.unkept.append(part)
            if many:
                self._keep(key, stored)
        return Filled(key, stored, len(missing))

    def keep(self) -> None:
        """Put what was computed since in the cache."""
        for key, stored in self._stored.items():
            self._keep(key, stored)

    def _keep(self, key: ActivationKey, stored: Stored) -> None:
        if self._cache and stored.unkept:
            parts = stored.unkept
            whole = StoredRows(
                torch.cat([part.rows for part in parts]),
                torch.cat([part.activations for part in parts]),
                torch.cat([part.cost for part in parts]),
            )
            self._cache.put(key, whole)
        stored.unkept = []

    def _fetch(self, key: ActivationKey, stored: Stored, backbone: Backbone, pool: Pool) -> None:
        """What the cache has, but for parts that the model does not agree with: a digest says
        nothing of the code that computes."""
        if self._cache is None:
            return
        for name, part in self._cache.parts(key, stored.known_parts):
            stored.known_parts |= {name}
            anew = _few(backbone, pool, part.rows[:1], key.block).cpu()
            if agree(part.activations[:1], anew):
                stored.add(part)
            else:
                self._cache.discard(key, name)

    def _make_room(self, key: ActivationKey, needed: int, device: torch.device) -> bool:
        others = [other for other in self._stored if other != key]
        while needed > (limit := SHARE_OF_MEMORY * free_bytes(device)) and others:
            self._keep(others[0], self._stored[others[0]])
            del self._stored[others.pop(0)]
        return needed <= limit


def compute(backbone: Backbone, pool: Pool, rows: Tensor, block: int) -> StoredRows:
    """What enters ``block`` for some rows of a pool, with what each took, reading included."""
    activations, cost = [], []
    device = backbone.device
    batches = rows.split(BATCH)
    started = _now(device)
    for batch, inputs in zip(batches, pool.stream(map(_at_least, batches)), strict=True):
        activations.append(_activations(backbone, inputs, block)[: len(batch)])
        ended = _now(device)
        each = (ended - started) / len(inputs)
        cost.append(torch.full((len(batch),), each, dtype=torch.float64))
        started = ended
    return StoredRows(rows, torch.cat(activations), torch.cat(cost))


def agree(stored: Tensor, anew: Tensor) -> bool:
    """Whether two activations are the same but for rounding."""
    if stored.shape != anew.shape or stored.dtype != anew.dtype:
        return False
    distance = (stored.double() - anew.double()).norm()
    return bool(distance <= AGREEMENT * anew.double().norm())


def numerics(device: torch.device) -> str:
    """What besides the model decides on how activations are rounded."""
    threads = f"{device.type} with {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else threads
    kind = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    return f"{name}, {kind}, {torch.get_float32_matmul_precision()}"


def _few(backbone: Backbone, pool: Pool, rows: Tensor, block: int) -> Tensor:
    return _activations(backbone, pool.take(_at_least(rows)), block)[: len(rows)]


@torch.no_grad()
def _activations(backbone: Backbone, inputs: Tensor, block: int) -> Tensor:
    return backbone.activations(inputs, block)


def _at_least(rows: Tensor) -> Tensor:
    """The rows, and the first again as often as a batch needs."""
    return torch.cat([rows, rows[:1].expand(max(0, LEAST - len(rows)))])


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
