"""What a model's steps and predictions take on this machine: they are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from harness.model.threads import computing_with
from harness.registry import Registry
from harness.suite.budget import Budget

EXAMPLES = 8
"""Of the batch that is timed."""

EACH = 1.0
"""Seconds of a cell beside its training: its process, its record, its probe's solution."""


class Sizes(NamedTuple):
    """Examples that are learned from, that validate, and that are tested."""

    learned: int
    validating: int
    tested: int


@dataclass(frozen=True)
class StepCost:
    """Seconds that an example takes to be trained on in a step, and to be predicted."""

    step: float
    forward: float

    def training(self, budget: Budget, sizes: Sizes) -> float:
        """Seconds of a cell whose trials train every block in each step, validate and are tested
        once: an upper bound for what trains less."""
        batch = min(budget.batch_size, sizes.learned)
        trial = budget.steps * batch * self.step
        trial += budget.evaluations * sizes.validating * self.forward
        return (budget.trials or 1) * trial + sizes.tested * self.forward


def measure(
    model: str,
    input_size: int | None,
    args: Mapping[str, Any],
    registry: Registry,
    device: str,
    threads: int = 1,
) -> StepCost:
    """Time one step of all parameters, and one prediction, with random weights: the faster of two,
    as other work only ever slows it.

    Raises:
        Unsupported: the model can't be built so.
    """
    factory = registry.backbone_for(model).cls()
    with torch.random.fork_rng(devices=[]), computing_with(threads):
        torch.manual_seed(0)
        built = factory.build(model, input_size=input_size, pretrained=False, args=args)
        backbone = built.to(device)
        inputs = backbone.example[:1].repeat_interleave(EXAMPLES, 0)
        optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-4)

        def step() -> None:
            optimizer.zero_grad()
            features = backbone.features(inputs)
            labels = torch.arange(EXAMPLES, device=device) % features.shape[1]
            F.cross_entropy(features, labels).backward()
            optimizer.step()
            next(backbone.parameters()).sum().item()  # waits for the device

        @torch.no_grad()
        def predict() -> None:
            backbone.features(inputs).sum().item()

        step()  # the first one asks for memory
        times = {}
        for name, work, training in (("step", step, True), ("forward", predict, False)):
            backbone.train(training)
            times[name] = min(_seconds(work), _seconds(work)) / EXAMPLES
    return StepCost(**times)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
