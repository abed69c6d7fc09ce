"""Class weights: let what is learned from rare classes count for more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import CategoricalDistribution, Recipe, Run, Settings, Space, Task, Trick, hookimpl
from harness_plugins.tricks._cross_entropy import cross_entropy_of


@dataclass(frozen=True)
class ClassWeights(Trick):
    """Weigh each class in the loss by its frequency, inverted, or by its effective number.

    The effective number of n examples is (1 - β^n) / (1 - β), which approaches n as ``beta``
    approaches 1: 1, the default, is inverse frequency, and the others are those that the paper
    tries. The weights of all training examples have a mean of 1, so that the rate need not change.
    Name it after label_smoothing; ``balanced`` is the other way to the same end: take one of them.
    """

    name: ClassVar[str] = "class_weights"
    family: ClassVar[str] = "loss"
    citation: ClassVar[str] = "Cui et al. 2019, Class-balanced loss"
    space: ClassVar[Space] = {"beta": CategoricalDistribution([0.9, 0.99, 0.999, 0.9999, 1.0])}
    defaults: ClassVar[Settings] = {"beta": 1.0}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Weigh the classes in cross-entropy.

        Raises:
            HarnessError: the recipe has another criterion.
        """
        plain = cross_entropy_of(recipe, task, self.name)
        counts = task.train.labels.bincount(minlength=task.classes)
        return replace(recipe, criterion=replace(plain, weight=weights(counts, hp["beta"])))


def weights(counts: Tensor, beta: float) -> Tensor:
    """Weights float32 ``[classes]`` of classes with ``counts`` examples, int64 ``[classes]``. A
    class without any weighs as much as one of one."""
    number = counts.clamp_min(1).double()
    if beta < 1:
        number = -torch.expm1(number * torch.tensor(beta).double().log()) / (1 - beta)
    weight = 1 / number
    return (weight * counts.sum() / (weight * counts).sum()).float()


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [ClassWeights]
