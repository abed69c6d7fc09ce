"""Full fine-tune: every block trains, starting from the source's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.api import Backbone, GradientStrategy, Recipe, Run, Settings, Strategy, Task, hookimpl


@dataclass(frozen=True)
class FullFinetune(GradientStrategy):
    """Train all blocks and the head, starting from the source's weights."""

    name: ClassVar[str] = "full_finetune"
    citation: ClassVar[str] = "Girshick et al. 2014, Rich feature hierarchies"

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            backbone, backbone.parameters_from(0), lr=hp["lr"], weight_decay=hp["weight_decay"]
        )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [FullFinetune]
