"""Target supervised: what could be reached if the target were labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.api import Backbone, GradientStrategy, Recipe, Run, Settings, Strategy, Task, hookimpl
from harness_plugins.strategies.source_only import SourceOnly


@dataclass(frozen=True)
class TargetSupervised(GradientStrategy):
    """Train all blocks on the target domain with its labels.

    A bound for domain adaptation, which is not shown them, and no competitor.
    """

    name: ClassVar[str] = "target_supervised"
    family: ClassVar[str] = "baselines"
    protocols: ClassVar[frozenset[str]] = frozenset({"adaptation"})
    sees_target_labels: ClassVar[bool] = True
    defaults: ClassVar[Settings] = SourceOnly.defaults

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            backbone, backbone.parameters_from(0), lr=hp["lr"], weight_decay=hp["weight_decay"]
        )


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [TargetSupervised]
