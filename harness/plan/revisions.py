"""Corrections of the core that changed numbers, named in the meaning of the cells they changed.

A cell's key does not hash the core's code. Where a correction changes a result, the affected cells
have to run again, and no others: each of them has the correction's name in its meaning.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from harness.contract import Strategy
from harness.plan import keys
from harness.plan.datasets import Datasets
from harness.plan.resolve import ResolvedProblem, ResolvedStrategy
from harness.plan.targets import source_manifest, target_manifest
from harness.shots import Shots
from harness.suite.budget import Budget
from harness.suite.problems import AdaptationProblem, EpisodesProblem

POOLED = "batch norm pooled over slices"
"""Where batch norm was recalibrated by more training inputs than a batch has, each slice of them
weighed alike, whatever its size, and how slices differ was left out of the variance."""

TIES = "ties over episodes"
"""Trials with as many right answers over all validation episodes were told apart by the last bit of
their means, and the tie did not go to the lower loss."""


INFORMATION = "states by information"
"""Where a suite selects by the information of predictions on the target, the state of a training
that is kept, its early end and its pruning followed accuracy on the source, or nothing."""


def revisions(
    datasets: Datasets,
    problem: ResolvedProblem,
    strategy: ResolvedStrategy,
    budget: Budget,
    shots: Shots,
    seed: int,
) -> dict[str, list[str]]:
    """The entry ``revisions`` of a cell's meaning, or nothing where no correction concerns it."""
    found = sorted(_revisions(datasets, problem, strategy, budget, shots, seed))
    return {"revisions": found} if found else {}


def _revisions(
    datasets: Datasets,
    resolved: ResolvedProblem,
    strategy: ResolvedStrategy,
    budget: Budget,
    shots: Shots,
    seed: int,
) -> Iterator[Any]:
    yield from resolved.loaded.corrections
    cls: type[Strategy] = strategy.plugin.cls
    problem = resolved.spec
    if _recalibrates(cls, strategy.plugin.file):
        examples = _training_examples(cls, datasets, resolved, shots, seed)
        if examples > budget.batch_size:
            yield POOLED
    tuned = strategy.configured.space or strategy.configured.prepare_space
    if isinstance(problem, EpisodesProblem) and budget.trials != 1 and tuned:
        yield TIES
    blind = isinstance(problem, AdaptationProblem) and problem.selection == "information"
    if blind and not cls.sees_target_labels:
        yield INFORMATION


@cache
def _recalibrates(strategy: type[Strategy], file: Path) -> bool:
    """Whether ``Recalibration`` is in the source of a strategy, which is in ``file``, or of one
    that it inherits from: its recipe is there only once there is a task."""
    own = [cls for cls in strategy.__mro__ if issubclass(cls, Strategy)]
    modules = [
        sys.modules.get(cls.__module__) for cls in own if cls.__module__ != Strategy.__module__
    ]
    files = {file, *(Path(found) for m in modules if (found := getattr(m, "__file__", None)))}
    sources = {source for each in files for source in keys.sources(each.resolve())}
    return any(b"Recalibration" in source.read_bytes() for source in sources)


def _training_examples(
    strategy: type[Strategy],
    datasets: Datasets,
    resolved: ResolvedProblem,
    shots: Shots,
    seed: int,
) -> int:
    """How many examples a task trains on."""
    problem = resolved.spec
    if isinstance(problem, EpisodesProblem):
        assert isinstance(shots, int)
        return problem.ways * shots
    if isinstance(problem, AdaptationProblem) and not strategy.sees_target_labels:
        return len(source_manifest(datasets, problem, shots, seed).train)
    return len(target_manifest(datasets, problem, shots, seed).train)
