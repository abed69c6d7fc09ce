"""LP-FT: first a linear probe, then all blocks from the head that it found."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    fit,
    hookimpl,
    standardised_head,
)


@dataclass(frozen=True)
class LpFt(GradientStrategy):
    """Train a linear head on frozen features, then all blocks together with it.

    A head that starts at random pulls features away from where they were good before it knows
    anything; one that fits them does not. Half of the steps go to each stage. The first runs on
    features that are computed once, and only the second is validated.
    """

    name: ClassVar[str] = "lp_ft"
    citation: ClassVar[str] = "Kumar et al. 2022, Fine-tuning can distort pretrained features"
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "probe_lr": FloatDistribution(1e-3, 1.0, log=True),
    }
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "probe_lr": 1e-1}
    frozen_space: ClassVar[Space] = {"lr": FloatDistribution(1e-5, 1e-3, log=True)}
    frozen_defaults: ClassVar[Settings] = {"lr": 2e-4}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        half = max(1, run.steps // 2)
        decay = hp["weight_decay"]
        head = standardised_head(backbone, task, run)
        stage = Recipe(backbone, (), lr=hp["probe_lr"], weight_decay=decay, head=head, steps=half)
        probe = fit(stage, replace(task, val=None), run)
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=decay,
            head=probe.head.plain(),
            steps=max(1, run.steps - half),
        )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [LpFt]
