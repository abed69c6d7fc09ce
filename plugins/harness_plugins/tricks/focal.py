"""Focal loss: leave aside what is learned already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from harness.api import FloatDistribution, Recipe, Run, Settings, Space, Task, Trick, hookimpl
from harness_plugins.tricks._cross_entropy import cross_entropy_of


@dataclass(frozen=True)
class Focal(Trick):
    """Scale down the loss of examples that are classified well: by (1 - p)^γ.

    p is the probability that the model gives to the class; of targets that are probabilities each
    class has its own term. The paper finds a ``gamma`` of 2 best of those from 0 to 5. Its α, a
    weight of each class, is ``class_weights``; name both after label_smoothing.
    """

    name: ClassVar[str] = "focal"
    family: ClassVar[str] = "loss"
    citation: ClassVar[str] = "Lin et al. 2017, Focal loss for dense object detection"
    space: ClassVar[Space] = {"gamma": FloatDistribution(0.5, 5.0, log=True)}
    defaults: ClassVar[Settings] = {"gamma": 2.0}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Scale the terms of cross-entropy.

        Raises:
            HarnessError: the recipe has another criterion.
        """
        plain = cross_entropy_of(recipe, task, self.name)
        return replace(recipe, criterion=replace(plain, gamma=hp["gamma"]))


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Focal]
