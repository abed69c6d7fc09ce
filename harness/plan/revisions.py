"""Corrections of the core that changed numbers, named in the meaning of the cells they changed.

A cell's key does not hash the core's code. Where a correction changes a result, the affected cells
have to run again, and no others: each of them has the correction's name in its meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.plan import configure
from harness.plan.configure import Datasets
from harness.plan.suite import BackboneSpec, EpisodesProblem, Problem, StrategySpec
from harness.plugins import Registry

TIES = "ties over episodes"
"""Trials with as many right answers over all validation episodes were told apart by the last bit of
their means, and the tie did not go to the lower loss."""


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
    if isinstance(problem, EpisodesProblem):
        configured = configure.strategy(registry, strategy)
        if configured.space or configured.prepare_space:
            yield TIES
