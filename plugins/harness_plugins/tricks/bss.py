"""BSS: shrink the features that a batch hardly uses, which carry over what does harm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import (
    Batch,
    FloatDistribution,
    HarnessError,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
)


class SpectralShrinkage(Regulariser):
    """``weight`` times the squares of the ``count`` smallest singular values of a batch's features
    (equation 5)."""

    def __init__(self, weight: float, count: int) -> None:
        super().__init__()
        self.weight, self.count = weight, count

    def penalty(self, batch: Batch) -> Tensor:
        values = torch.linalg.svdvals(batch.features)  # the largest first
        smallest: Tensor = values[-self.count :]
        return self.weight * smallest.square().sum()


@dataclass(frozen=True)
class Bss(Trick):
    """Batch spectral shrinkage: penalise the ``count`` smallest singular values of the features.

    The paper takes one of them, at a weight of 1e-3, where the gradient of the loss at its random
    head is ten times that of the penalty. A head of zeros gives the backbone none at first, and
    AdamW makes a full step of whatever there is: on ImageNet's weights 1e-3 halves the accuracy
    that there is with 20 photographs a class, and 1e-5 costs 1 or 2 points. ``lp_ft``, whose head
    is solved for, stands the paper's weight.
    """

    count: int = 1

    name: ClassVar[str] = "bss"
    family: ClassVar[str] = "regularisation"
    citation: ClassVar[str] = "Chen et al. 2019, Catastrophic forgetting meets negative transfer"
    space: ClassVar[Space] = {"weight": FloatDistribution(1e-6, 1e-2, log=True)}
    defaults: ClassVar[Settings] = {"weight": 1e-5}

    def __post_init__(self) -> None:
        if self.count < 1:
            raise HarnessError(f"bss's count is {self.count}", "Give 1 or more")

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Add the penalty.

        Raises:
            HarnessError: nothing but the head trains.
        """
        if not recipe.trainable:
            raise HarnessError(
                "bss shrinks features, and here nothing trains that changes them",
                "Leave the trick out for this strategy",
            )
        shrinkage = SpectralShrinkage(hp["weight"], self.count)
        return replace(recipe, regularisers=[*recipe.regularisers, shrinkage])


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Bss]
