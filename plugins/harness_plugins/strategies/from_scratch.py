"""No transfer: the same model and budget from random weights. What every gain is measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.api import Backbone, GradientStrategy, Recipe, Run, Settings, Strategy, Task, hookimpl


@dataclass(frozen=True)
class FromScratch(GradientStrategy):
    """Train all blocks from random weights: the baseline without transfer."""

    name: ClassVar[str] = "from_scratch"
    family: ClassVar[str] = "baselines"
    baseline: ClassVar[bool] = True
    uses_weights: ClassVar[bool] = False

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        fresh = run.fresh(backbone)
        return Recipe(fresh, fresh.parameters_from(0), lr=hp["lr"], weight_decay=hp["weight_decay"])


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [FromScratch]
