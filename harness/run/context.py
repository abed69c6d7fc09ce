"""What the harness lends a strategy while a cell runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import optuna
import torch
from torch import Tensor

from harness.data.examples import Inputs
from harness.model.backbone import Backbone
from harness.model.features import FeatureStore
from harness.run.meters import Clock

Progress = Callable[[str, int, int], None]
"""Takes a stage, how much of it is done, and of how much."""


class CellRun:
    """The :class:`harness.api.Run` of one cell (or of one artefact that cells share)."""

    def __init__(
        self,
        *,
        device: torch.device,
        seed: int,
        steps: int,
        batch_size: int,
        store: FeatureStore,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self.device, self.steps, self.batch_size = device, steps, batch_size
        self.clock = clock
        self.stage = "trial"
        self.trial: optuna.Trial | None = None
        self.curve: list[tuple[int, float]] = []
        self.features_reused = False
        """Whether some activations were computed by an earlier cell, and billed again."""
        self._seed, self._store, self._progress = seed, store, progress
        self._storing = True
        self._fresh: Backbone | None = None
        self._billed: dict[tuple[str, str, int], Tensor] = {}

    def generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(seed_of(self._seed, name))

    @contextmanager
    def seeded(self, name: str) -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self._seed, name))
            yield

    def fresh(self, backbone: Backbone) -> Backbone:
        if backbone.rebuild is None:
            raise RuntimeError("this backbone does not say how it is built")
        if self._fresh is None:
            with self.seeded("fresh"):
                self._fresh = backbone.rebuild().to(self.device).eval()
        return self._fresh

    def report(self, step: int, value: float) -> None:
        self.curve.append((step, value))
        if self.trial is not None:
            self.trial.report(value, step)
            if self.trial.should_prune():
                raise optuna.TrialPruned(f"pruned at step {step} with {value:.3f}")

    def progress(self, done: int, total: int) -> None:
        self._progress(self.stage, done, total)

    def billed(self) -> float:
        """All seconds so far; activations count as what computing them cost, once."""
        seconds = self.clock.seconds
        return sum(seconds.values()) - seconds["activations"]

    def scoring(self) -> AbstractContextManager[None]:
        return self.clock.phase("score")

    @contextmanager
    def computing(self) -> Iterator[None]:
        """A context in which nothing is taken from the store: each asks the model itself."""
        self._storing = False
        try:
            yield
        finally:
            self._storing = True

    def activations(self, backbone: Backbone, inputs: Inputs, block: int) -> Tensor | None:
        if not self._storing:
            return None
        with self.clock.phase("activations"):
            filled = self._store.fill(backbone, inputs, block)
            if filled is None:
                return None
            stored, fresh = filled.stored, filled.fresh
            billed = self._billed.setdefault(
                filled.key, torch.zeros(len(stored.known), dtype=torch.bool)
            )
            rows = inputs.rows.unique()
            due = rows[~billed[rows]]
            self.clock.seconds["features"] += float(stored.cost[due].sum())
            self.features_reused |= len(due) > fresh
            billed[due] = True
            return stored.activations[inputs.rows.to(stored.activations.device)]


def seed_of(seed: int, name: str) -> int:
    """A seed for one purpose, independent of those for others."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7])
