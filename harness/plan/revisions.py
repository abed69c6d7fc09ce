"""Corrections of the core that changed numbers, named in the meaning of the cells they changed.

A cell's key does not hash the core's code. Where a correction changes a result, the affected cells
have to run again, and no others: each of them has the correction's name in its meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.plan.configure import Datasets
from harness.plan.suite import BackboneSpec, Problem, StrategySpec
from harness.plugins import Registry


def revisions(
    registry: Registry,
    datasets: Datasets,
    backbone: BackboneSpec,
    problem: Problem,
    strategy: StrategySpec,
) -> dict[str, list[str]]:
    """The entry ``revisions`` of a cell's meaning, or nothing where no correction concerns it."""
    found = sorted(_revisions(registry, datasets, backbone, problem, strategy))
    return {"revisions": found} if found else {}


def _revisions(
    registry: Registry,
    datasets: Datasets,
    backbone: BackboneSpec,
    problem: Problem,
    strategy: StrategySpec,
) -> Iterator[Any]:
    yield from datasets.load(problem.dataset, problem.args).corrections
