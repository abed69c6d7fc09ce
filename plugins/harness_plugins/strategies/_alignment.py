"""Alignment of two domains: all blocks train on the source, and a penalty looks at the target."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from harness.api import (
    Backbone,
    Batch,
    GradientStrategy,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Task,
)


class Aligning(GradientStrategy):
    """Train all blocks on the source domain, with a penalty beside its loss."""

    family: ClassVar[str] = "domain adaptation"
    protocols: ClassVar[frozenset[str]] = frozenset({"adaptation"})

    @abstractmethod
    def penalty(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Regulariser:
        """What the domains are aligned by."""

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            regularisers=[self.penalty(backbone, task, hp, run)],
        )


class Discrepancy(Regulariser):
    """How far a batch and its unlabelled inputs are apart, ``weight`` times."""

    unlabelled: ClassVar[bool] = True

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    @abstractmethod
    def between(self, source: Batch, target: Batch) -> Tensor:
        """A scalar."""

    def penalty(self, batch: Batch) -> Tensor:
        assert batch.unlabelled is not None
        return self.weight * self.between(batch, batch.unlabelled)
