"""What a proposed suite will take on this machine."""

from __future__ import annotations

from harness.plan.step_cost import EACH, Sizes, StepCost
from harness.registry import Registry
from harness.run.place import room_for
from harness.start.looking import Found
from harness.suite.problems import TransferProblem
from harness.suite.schema import Suite


def at_once(suite: Suite, device: str) -> int:
    """Cells that run side by side: one on a GPU, else as many as there is room for."""
    return 1 if device == "cuda" else room_for(suite.budget.threads, suite.limits, [])


def estimate(suite: Suite, found: Found, cost: StepCost, registry: Registry, device: str) -> float:
    """Seconds that a suite of one model on the ``found`` data takes from nothing to its report.

    A strategy of the family ``probes`` costs the features of all examples, which all cells of
    probes share. Any other trains every block in each step of each trial, and predicts what
    validates and what is tested: an upper bound for one that trains less.
    """
    (problem,) = suite.problems
    assert isinstance(problem, TransferProblem)
    total = found.examples * cost.forward
    for shots in problem.shots:
        sizes = _sizes(found, problem, shots)
        for spec in suite.strategies:
            probe = registry.get("strategy", spec.name).cls.family == "probes"
            trained = 0.0 if probe else cost.training(suite.budget, sizes)
            total += len(suite.every_seed) * (EACH + trained) / at_once(suite, device)
    return total


def _sizes(found: Found, problem: TransferProblem, shots: int | str) -> Sizes:
    learned = sum(found.by_class.values())
    tested = round(problem.test_fraction * learned) if found.test is None else found.test
    if isinstance(shots, int):
        return Sizes(shots * len(found.by_class), shots * len(found.by_class), tested)
    left = learned - (tested if found.test is None else 0)
    validating = round(problem.val_fraction * left)
    return Sizes(left - validating, validating, tested)
