"""L2-SP: decay towards the weights it started from, and towards zero for the head."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from harness.api import FloatDistribution, GradientStrategy, Recipe, Regulariser, hookimpl


class StartingPoint(Regulariser):
    """Half of the squared distance from a backbone's weights (equation 3)."""

    def __init__(self, start, weight):
        super().__init__()
        self.start, self.weight = {n: p.detach() for n, p in start.body_parameters()}, weight

    def penalty(self, batch):
        moved = batch.model.backbone.body_parameters()
        return self.weight / 2 * sum((p - self.start[n]).square().sum() for n, p in moved)


@dataclass(frozen=True)
class L2SP(GradientStrategy):
    """Full fine-tuning by momentum, pulled back by ``alpha``; ``beta`` decays the new head."""

    name: ClassVar[str] = "l2sp"
    citation: ClassVar[str] = "Li et al. 2018, Explicit inductive bias for transfer learning"
    space: ClassVar = {
        "lr": FloatDistribution(1e-3, 1e-1, log=True),
        "alpha": FloatDistribution(1e-3, 1.0, log=True),
        "beta": FloatDistribution(1e-3, 1e-1, log=True),
    }
    defaults: ClassVar = {"lr": 1e-2, "alpha": 1e-1, "beta": 1e-2}

    def recipe(self, backbone, task, hp, run):
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay={"head": hp["beta"], "": 0.0},
            optimizer=partial(torch.optim.SGD, momentum=0.9),
            regularisers=[StartingPoint(backbone, hp["alpha"])],
        )


@hookimpl
def harness_strategies():
    return [L2SP]
