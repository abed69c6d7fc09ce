"""Partial freeze: the first blocks stay as they are, the last ones train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.api import (
    Backbone,
    FloatDistribution,
    GradientStrategy,
    IntDistribution,
    Recipe,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    hookimpl,
)


@dataclass(frozen=True)
class PartialFreeze(GradientStrategy):
    """Train the last blocks and the head; how many is a hyperparameter.

    ``train_blocks`` counts from the output; the first block stays frozen whatever it says. Two are
    up to 8 points ahead of one, on weights that were learned here and on ImageNet's; three cost
    more and bring 1 or 2 (docs/explanation/defaults.md).
    """

    name: ClassVar[str] = "partial_freeze"
    family: ClassVar[str] = "fine-tuning"
    citation: ClassVar[str] = "Yosinski et al. 2014, How transferable are features"
    space: ClassVar[Space] = {**GradientStrategy.space, "train_blocks": IntDistribution(1, 4)}
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "lr": 3e-3, "train_blocks": 2}
    frozen_space: ClassVar[Space] = {"lr": FloatDistribution(1e-5, 1e-3, log=True)}
    frozen_defaults: ClassVar[Settings] = {"lr": 2e-4}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        first = max(1, len(backbone.blocks) - hp["train_blocks"])
        return Recipe(
            backbone,
            backbone.parameters_from(first),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
        )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [PartialFreeze]
