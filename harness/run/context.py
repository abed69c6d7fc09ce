"""What the harness lends a strategy while a cell runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import optuna
import torch
from torch import Tensor

from harness.data.examples import Inputs, Pool
from harness.hashing import seed_of
from harness.model.augment import Augment
from harness.model.backbone import Backbone
from harness.model.batch_norm import BatchNorm
from harness.model.feature_store import FeatureStore
from harness.model.precision import Precision, autocast
from harness.model.run import Resumable, SecondModel
from harness.record.journal import Partial
from harness.run import stopping
from harness.run.billing import Billing
from harness.run.checkpoint import Checkpoint
from harness.run.meters import Clock
from harness.run.resuming import Curve, Resuming
from harness.run.seeding import seeded

OnProgress = Callable[[str, int, int], None]
"""Takes a stage, how much of it is done, and of how much."""

UNBILLED = frozenset({"activations", "checkpoint"})
"""Phases of the clock that are the harness's own: activations are billed under ``features``, at
what computing them took, and leaving checkpoints is no part of a method."""


class CellRun:
    """The :class:`harness.api.Run` of one cell (or of one artefact that cells share).

    With a ``checkpoint``, a training that was cut short between :meth:`begin` and :meth:`end` goes
    on where it stopped.
    """

    def __init__(
        self,
        *,
        device: torch.device,
        seed: int,
        steps: int,
        batch_size: int,
        evaluations: int = 4,
        patience: int | None = None,
        augment: Augment | None = None,
        precision: Precision = "float32",
        batch_norm: BatchNorm = "train",
        models: Mapping[str, SecondModel] | None = None,
        store: FeatureStore,
        clock: Clock,
        progress: OnProgress,
        stage: str = "adapt",
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.device, self.steps, self.batch_size = device, steps, batch_size
        self.micro_batch = batch_size
        self.evaluations, self.patience = evaluations, patience
        self.augment, self.precision, self.batch_norm = augment, precision, batch_norm
        self.clock = clock
        self.trial: optuna.Trial | None = None
        self.curve: Curve = []
        self.features_reused = False
        """Whether some activations were computed by an earlier cell, and billed again."""
        self._models = dict(models or {})
        self._seed, self._store, self._checkpoint = seed, store, checkpoint
        self._progress, self._stage = progress, stage
        self._storing = True
        self._fresh: Backbone | None = None
        self._billing = Billing()
        self._resuming: Resuming | None = None

    def generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(seed_of(self._seed, name))

    @contextmanager
    def seeded(self, name: str) -> Iterator[None]:
        with seeded(seed_of(self._seed, name), self.device):
            yield

    def fresh(self, backbone: Backbone) -> Backbone:
        if backbone.rebuild is None:
            raise RuntimeError("this backbone does not say how it is built")
        if self._fresh is None:
            with self.seeded("fresh"):
                self._fresh = backbone.rebuild().to(self.device).eval()
        self._fresh.derive_from(backbone)
        return self._fresh

    def backbone(self, label: str) -> SecondModel:
        if label not in self._models:
            raise ValueError(f"the strategy's backbones() does not name '{label}'")
        return self._models[label]

    def lend(self, label: str, pool: Pool, prepared: Pool) -> None:
        """From now on a second model takes the inputs of ``pool`` as they are in ``prepared``."""
        known = self._models[label]
        self._models[label] = replace(known, pools={**known.pools, pool.digest: prepared})

    def autocast(self) -> AbstractContextManager[object]:
        return autocast(self.precision, self.device)

    def report(self, step: int, value: float | Sequence[float]) -> None:
        self.note(step, value)
        if self.trial is None or isinstance(value, Sequence):
            return
        if self.trial.should_prune():
            raise optuna.TrialPruned(f"pruned at step {step} with {value:.3f}")

    def note(self, step: int, value: float | Sequence[float]) -> None:
        """Add to the curve, and tell the tuner what is of one setting. What is no plain number,
        such as a tensor of one value, becomes one."""
        step = int(step)
        value = [*map(float, value)] if isinstance(value, Sequence) else float(value)
        self.curve.append((step, value))
        if self.trial is not None and not isinstance(value, Sequence):
            self.trial.report(value, step)

    def progress(self, done: int, total: int) -> None:
        self._progress(self._stage, done, total)

    def billed(self) -> float:
        """All seconds so far; activations count as what computing them cost, once."""
        seconds = self.clock.seconds
        return sum(spent for phase, spent in seconds.items() if phase not in UNBILLED)

    def scoring(self) -> AbstractContextManager[None]:
        return self.clock.phase("score")

    def begin(
        self,
        name: int | str,
        trial: optuna.Trial | None = None,
        curve: Curve | None = None,
        at_once: int | None = None,
    ) -> None:
        """A trial begins, or the making of an artefact; its trainings can be gone on with.

        Args:
            name: the trial's number, or what the artefact is.
            trial: is told what is reported, and may prune.
            curve: is given what is reported.
            at_once: how many examples of a batch go through the model at once; by default as many
                as in the trial before.
        """
        self.trial, self.curve = trial, [] if curve is None else curve
        self.micro_batch = at_once or self.micro_batch
        self._resuming = None
        if self._checkpoint is not None:
            self._resuming = Resuming(
                self._checkpoint, name, clock=self.clock, curve=self.curve, device=self.device
            )

    def end(self) -> None:
        """What was begun has ended, and is not gone on with."""
        if self._resuming is not None:
            self._resuming.end()
        self.trial, self._resuming = None, None

    def halve(self) -> None:
        """From now on half as many examples go through the model at once; what the trial has
        reported is forgotten."""
        self.micro_batch = math.ceil(self.micro_batch / 2)
        self.curve.clear()

    def resume(self, training: Resumable) -> int:
        if self._resuming is None:
            return 0
        done, reported = self._resuming.resume(training)
        with self.clock.aside():  # it was billed when it was reported first
            for step, value in reported:
                self.note(step, value)
        return done

    def keep(self, step: int, training: Resumable) -> None:
        asked = stopping.asked()
        if self._resuming is not None and (asked or self._resuming.due):
            self._resuming.keep(step, training)
        if asked:
            raise KeyboardInterrupt

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
        with self.clock.phase("activations"), self.autocast():
            filled = self._store.fill(backbone, inputs, block)
            if filled is None:
                return None
            stored, fresh = filled.stored, filled.fresh
            due = self._billing.due(filled.key, inputs.rows.unique(), len(stored))
            self.clock.seconds["features"] += float(stored.cost[due].sum())
            self.features_reused |= len(due) > fresh
            return stored.take(inputs.rows)

    def paid(self) -> dict[str, str]:
        """Which activations this cell is billed for by now."""
        return self._billing.read()

    def go_on(self, done: Partial) -> None:
        """After what an earlier process did: it is not billed again."""
        self._billing.add(done.billed)
        self.features_reused = done.features_reused
        self.micro_batch = min([self.micro_batch, *(t.at_once for t in done.trials if t.at_once)])
