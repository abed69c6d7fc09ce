"""Warm-up: let the rates rise before the schedule begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from harness.api import FloatDistribution, Recipe, Run, Settings, Space, Task, Trick, hookimpl


@dataclass(frozen=True)
class LinearWarmup:
    """A schedule: in equal steps up to 1 during a ``share`` of the training, then ``after``, which
    is given the share that is done of the rest. ``step`` is the share that one step is, so that the
    first step is not taken at a rate of 0."""

    share: float
    step: float
    after: Callable[[float], float]

    def __call__(self, done: float) -> float:
        if done < self.share:
            return min(1.0, (done + self.step) / self.share)
        return self.after((done - self.share) / (1 - self.share))


@dataclass(frozen=True)
class Warmup(Trick):
    """Let all rates rise from near 0 to their peaks over the first ``share`` of the steps.

    The schedule that the training has without it follows, in what is left of the steps. The paper
    warms up for 5 of 90 epochs; where a training is short, moments that have seen few gradients
    are a larger part of it, and the default is a tenth.
    """

    name: ClassVar[str] = "warmup"
    family: ClassVar[str] = "optimisation"
    citation: ClassVar[str] = "Goyal et al. 2017, Accurate, large minibatch SGD"
    space: ClassVar[Space] = {"share": FloatDistribution(0.02, 0.5, log=True)}
    defaults: ClassVar[Settings] = {"share": 0.1}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        steps = min(recipe.steps or run.steps, run.steps)
        return replace(recipe, schedule=LinearWarmup(hp["share"], 1 / steps, recipe.schedule))


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Warmup]
