"""Full fine-tune: every block trains, starting from the source's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.api import (
    Backbone,
    FloatDistribution,
    GradientStrategy,
    Recipe,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    hookimpl,
)


@dataclass(frozen=True)
class FullFinetune(GradientStrategy):
    """Train all blocks and the head, starting from the source's weights.

    The rates are those that were least behind the best of four on three networks that learned from
    a source, and of what the reference comparisons tried on published weights
    (docs/explanation/defaults.md).
    """

    name: ClassVar[str] = "full_finetune"
    family: ClassVar[str] = "fine-tuning"
    citation: ClassVar[str] = "Girshick et al. 2014, Rich feature hierarchies"
    frozen_space: ClassVar[Space] = {"lr": FloatDistribution(1e-5, 1e-3, log=True)}
    frozen_defaults: ClassVar[Settings] = {"lr": 2e-4}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            backbone, backbone.parameters_from(0), lr=hp["lr"], weight_decay=hp["weight_decay"]
        )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [FullFinetune]
