"""What adapting and predicting cost beyond seconds: FLOPs and throughput, measured on the side.

Nothing here is billed: it happens after the test, with the settings that were selected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from harness.contract import Settings, Strategy
from harness.data.examples import Inputs
from harness.data.resident import ResidentPool
from harness.data.task import Task
from harness.model.backbone import Backbone
from harness.model.run import Resumable
from harness.predictor import Predictor
from harness.run.context import CellRun

BATCHES = (1, 256)
"""Examples at once when throughput is measured: an answer while one waits, and many in bulk."""

REPEATS = 5
SECONDS = 0.05
"""Of measuring one batch size, after the first pass: what is begun then is the last."""


class Count:
    """FLOPs as torch counts them (a multiplication and an addition are two), in pieces that can
    be left out or added."""

    def __init__(self) -> None:
        self._mode = FlopCounterMode(display=False)
        self.besides = 0.0

    @contextmanager
    def counting(self) -> Iterator[Count]:
        with self._mode:
            yield self

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Work that is not to be counted."""
        before = self._mode.get_total_flops()
        try:
            yield
        finally:
            self.besides -= self._mode.get_total_flops() - before

    @property
    def total(self) -> float:
        return self._mode.get_total_flops() + self.besides


class CountedRun:
    """A :class:`harness.api.Run` of a few steps, whose work is counted: validation is not, and
    activations count as what computing them takes, whether or not they are stored."""

    def __init__(self, run: CellRun, steps: int, count: Count) -> None:
        self.device, self.batch_size, self.steps = run.device, run.batch_size, steps
        self.micro_batch, self.evaluations, self.patience = (
            run.micro_batch,
            run.evaluations,
            run.patience,
        )
        self.augment, self.autocast = run.augment, run.autocast
        self.batch_norm = run.batch_norm
        self.generator, self.seeded, self.fresh = run.generator, run.seeded, run.fresh
        self.backbone = run.backbone
        self._run, self._count = run, count
        self._counted: dict[tuple[str, str, int], set[int]] = {}
        self._after: list[tuple[int, float]] = []

    def report(self, step: int, value: float | Sequence[float]) -> None:
        """Nobody is waiting for it."""

    def progress(self, done: int, total: int) -> None:
        """Nobody is waiting for it."""

    def resume(self, training: Resumable) -> int:
        return 0

    def keep(self, step: int, training: Resumable) -> None:
        self._after.append((step, self._count.total))

    @property
    def second_step(self) -> float | None:
        """FLOPs of the second step, where there were two, of one loop, that told their ends."""
        match self._after:
            case [(1, before), (2, after)]:
                return after - before
        return None

    @property
    def loops(self) -> int:
        """How many trainings told that they began."""
        return sum(step == 1 for step, _ in self._after)

    @contextmanager
    def scoring(self) -> Iterator[None]:
        with self._count.aside():
            yield

    def activations(self, backbone: Backbone, inputs: Inputs, block: int) -> Tensor | None:
        with self._count.aside():
            stored = self._run.activations(backbone, inputs, block)
            if stored is None:
                return None
            each = flops_each(lambda batch: backbone.activations(batch, block), inputs)
        known = self._counted.setdefault(
            (backbone.digest(upto=block), inputs.pool.digest, block), set()
        )
        rows = set(inputs.rows.tolist()) - known
        known |= rows
        self._count.besides += len(rows) * each
        return stored


def adapting(
    strategy: Strategy,
    backbone: Backbone,
    task: Task,
    settings: Settings,
    run: CellRun,
    steps: int | None,
) -> float:
    """FLOPs of one ``adapt``, validation left out.

    Args:
        steps: optimiser steps that the real one took, where it told: then two steps are counted,
            and the rest is the second again, as every batch is of one size. Where several trainings
            share the steps of the run, two and four are counted, and the rest is by proportion.
            ``None`` does all of it again.
    """

    def flops(of: int) -> tuple[float, CountedRun]:
        count = Count()
        counted = CountedRun(run, of, count)
        with run.seeded("adapt"), count.counting():
            strategy.adapt(backbone, replace(task, val=None), settings, counted)
        return count.total, counted

    if steps is None or steps < 2:
        return flops(run.steps if steps is None else 1)[0]
    two, counted = flops(2)
    second = counted.second_step
    if counted.loops > 1:
        steps, second = run.steps, (flops(4)[0] - two) / 2
    elif second is None:  # the strategy has a loop of its own
        second = two - flops(1)[0]
    return two + (steps - 2) * second


def flops_each(function: Callable[[Tensor], Tensor], inputs: Inputs) -> float:
    """FLOPs that ``function`` of prepared inputs takes for one of them."""
    batch = inputs[:2]
    count = Count()
    with torch.no_grad(), count.counting():
        function(batch)
    return count.total / len(batch)


def predicting(
    predictor: Predictor, inputs: Inputs, run: CellRun
) -> tuple[float, dict[str, float]]:
    """FLOPs for one example, and examples a second by how many are predicted at once.

    Inputs are prepared and on the device, and nothing is taken from the store. The first pass is
    left out, and the median of the others counts.
    """
    pool = ResidentPool(inputs[: max(BATCHES)])

    def predict(size: int) -> float:
        """Seconds of one pass."""
        asked = Inputs(pool, torch.arange(size))
        started = time.perf_counter()
        predictor.logits(asked).cpu()
        return time.perf_counter() - started

    with run.computing():
        count = Count()
        with count.counting():
            predict(1)
        speeds = {}
        for size in sorted({min(size, len(pool)) for size in BATCHES}):
            predict(size)
            speeds[str(size)] = size / median(_repeated(partial(predict, size)))
    return count.total, speeds


def _repeated(measure: Callable[[], float]) -> list[float]:
    """Measurements in seconds: at most ``REPEATS``, and no more once ``SECONDS`` are spent."""
    found: list[float] = []
    while not found or (len(found) < REPEATS and sum(found) < SECONDS):
        found.append(measure())
    return found
