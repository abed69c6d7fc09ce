"""What a suite will take on this machine, by one step of its model that is timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from harness.registry import Registry
from harness.run.suite import room_for
from harness.run.threads import computing_with
from harness.start.looking import Found
from harness.suite.schema import Suite, TransferProblem

EXAMPLES = 8
"""Of the batch that is timed."""

EACH = 1.0
"""Seconds of a cell beside its training: its process, its record, its probe's solution."""


@dataclass(frozen=True)
class Cost:
    """Seconds that an example takes to be trained on in a step, and to be predicted."""

    step: float
    forward: float


def measure(model: str, input_size: int | None, registry: Registry, device: str) -> Cost:
    """Time one step of all parameters, and one prediction, with random weights: the faster of two,
    as other work only ever slows it.

    Raises:
        Unsupported: the model can't be built so.
    """
    factory = registry.backbone_for(model).cls()
    with torch.random.fork_rng(devices=[]), computing_with(1):
        torch.manual_seed(0)
        backbone = factory.build(model, input_size=input_size, pretrained=False, args={}).to(device)
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
    return Cost(**times)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def at_once(suite: Suite, device: str) -> int:
    """Cells that run side by side: one on a GPU, else as many as there is room for."""
    return 1 if device == "cuda" else room_for(suite.budget.threads, suite.limits, [])


def estimate(suite: Suite, found: Found, cost: Cost, registry: Registry, device: str) -> float:
    """Seconds that a suite of one model on the ``found`` data takes from nothing to its report.

    A strategy of the family ``probes`` costs the features of all examples, which all cells of
    probes share. Any other trains every block in each step of each trial, and predicts what
    validates and what is tested: an upper bound for one that trains less.
    """
    (problem,) = suite.problems
    assert isinstance(problem, TransferProblem)
    budget, trials = suite.budget, suite.budget.trials or 1
    total = found.examples * cost.forward
    for shots in problem.shots:
        learned, validating, tested = _sizes(found, problem, shots)
        batch = min(budget.batch_size, learned)
        training = budget.steps * batch * cost.step
        validation = budget.evaluations * validating * cost.forward
        for spec in suite.strategies:
            probe = registry.get("strategy", spec.name).cls.family == "probes"
            trained = 0.0 if probe else trials * (training + validation) + tested * cost.forward
            total += len(suite.every_seed) * (EACH + trained) / at_once(suite, device)
    return total


def _sizes(found: Found, problem: TransferProblem, shots: int | str) -> tuple[int, int, int]:
    """Examples that are learned from, that validate, and that are tested."""
    learned = sum(found.by_class.values())
    tested = round(problem.test_fraction * learned) if found.test is None else found.test
    if isinstance(shots, int):
        return shots * len(found.by_class), shots * len(found.by_class), tested
    left = learned - (tested if found.test is None else 0)
    validating = round(problem.val_fraction * left)
    return left - validating, validating, tested
