"""No transfer: the same model and budget from random weights. What every gain is measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.api import Backbone, GradientStrategy, Recipe, Run, Settings, Strategy, Task, hookimpl


@dataclass(frozen=True)
class FromScratch(GradientStrategy):
    """Train all blocks from random weights: the baseline without transfer.

    Convolutional networks with batch norm would have 3e-3 to 1e-2, transformers 1e-3 or less: the
    rate is between. On CIFAR-10, MNIST and digits, with few and more examples and three seeds, it
    was at most 15 points behind the best of its network, and 1e-3 and 3e-3 were 21 and 30
    (docs/explanation/defaults.md).
    """

    name: ClassVar[str] = "from_scratch"
    family: ClassVar[str] = "baselines"
    baseline: ClassVar[bool] = True
    uses_weights: ClassVar[bool] = False
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "lr": 2e-3}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        fresh = run.fresh(backbone)
        return Recipe(fresh, fresh.parameters_from(0), lr=hp["lr"], weight_decay=hp["weight_decay"])


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [FromScratch]
