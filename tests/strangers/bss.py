"""BSS: features that are barely used by a batch are forgotten, and transfer no harm."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.api import FloatDistribution, GradientStrategy, Recipe, Regulariser, hookimpl


class SmallSingularValues(Regulariser):
    """The squares of the ``count`` smallest singular values of a batch's features (equation 5)."""

    def __init__(self, weight, count=1):
        super().__init__()
        self.weight, self.count = weight, count

    def penalty(self, batch):
        values = torch.linalg.svdvals(batch.features)
        return self.weight * values[-self.count :].square().sum()


@dataclass(frozen=True)
class Bss(GradientStrategy):
    """Full fine-tuning under batch spectral shrinkage."""

    name: ClassVar[str] = "bss"
    citation: ClassVar[str] = "Chen et al. 2019, Catastrophic forgetting meets negative transfer"
    space: ClassVar = {**GradientStrategy.space, "shrink": FloatDistribution(1e-4, 1.0, log=True)}
    defaults: ClassVar = {**GradientStrategy.defaults, "shrink": 1e-3}

    def recipe(self, backbone, task, hp, run):
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            regularisers=[SmallSingularValues(hp["shrink"])],
        )


@hookimpl
def harness_strategies():
    return [Bss]
