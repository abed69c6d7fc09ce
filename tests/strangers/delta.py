"""DELTA: features stay near the source's, each block's by how it behaves, not by its weights."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.api import FloatDistribution, GradientStrategy, Recipe, Regulariser, hookimpl


class BehaviourDistance(Regulariser):
    """Half of the mean squared distance of what leaves blocks from what left the source's."""

    def __init__(self, source, weight):
        super().__init__()
        self.source, self.weight = (source,), weight  # in a tuple: it does not train along
        self.taps = tuple(range(len(source.blocks) + 1))  # from the inputs on: all blocks run

    def penalty(self, batch):
        (source,) = self.source
        with torch.no_grad(), source.tapped(self.taps[:-1]) as theirs:
            last = source.features(batch.inputs)
        expected = {**theirs, self.taps[-1]: last}
        apart = [(batch.entering(n) - expected[n]).square().mean() for n in self.taps]
        return self.weight / 2 * torch.stack(apart).sum()


@dataclass(frozen=True)
class Delta(GradientStrategy):
    """Full fine-tuning that keeps features near those of the source, without attention."""

    name: ClassVar[str] = "delta"
    citation: ClassVar[str] = "Li et al. 2019, DELTA: Deep learning transfer using feature map"
    space: ClassVar = {**GradientStrategy.space, "near": FloatDistribution(1e-3, 10.0, log=True)}
    defaults: ClassVar = {**GradientStrategy.defaults, "near": 1e-1}

    def recipe(self, backbone, task, hp, run):
        distance = BehaviourDistance(backbone, hp["near"])
        return Recipe(backbone, backbone.parameters_from(0), lr=hp["lr"], regularisers=[distance])


@hookimpl
def harness_strategies():
    return [Delta]
