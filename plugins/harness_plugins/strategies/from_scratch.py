"""No transfer: the same model and budget from random weights. What every gain is measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.api import Backbone, GradientStrategy, Recipe, Run, Settings, Strategy, Task, hookimpl


@dataclass(frozen=True)
class FromScratch(GradientStrategy):
    """Train all blocks from random weights: the baseline without transfer.

    Of four rates on CIFAR-10 and MNIST, 5 and 100 examples a class, three seeds, the default was
    the best on ``conv4`` throughout, and on EfficientNet-Lite0 at 100 examples; at 5 it was at most
    5 points behind 1e-2, which is up to 17 behind it elsewhere: docs/explanation/defaults.md.
    """

    name: ClassVar[str] = "from_scratch"
    family: ClassVar[str] = "baselines"
    baseline: ClassVar[bool] = True
    uses_weights: ClassVar[bool] = False
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "lr": 3e-3}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        fresh = run.fresh(backbone)
        return Recipe(fresh, fresh.parameters_from(0), lr=hp["lr"], weight_decay=hp["weight_decay"])


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [FromScratch]
