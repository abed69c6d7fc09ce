"""MCC: on the target, a model should not confuse classes with each other."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness.api import FloatDistribution, GradientStrategy, Recipe, Regulariser, hookimpl


class Confusion(Regulariser):
    """How much classes are confused with each other on a batch of the target (equations 1 to 4)."""

    unlabelled = True

    def __init__(self, weight, temperature=2.5):
        super().__init__()
        self.weight, self.temperature = weight, temperature

    def penalty(self, batch):
        shares = (batch.unlabelled.logits / self.temperature).softmax(1)
        entropy = torch.special.entr(shares).sum(1).detach()
        certain = 1 + torch.exp(-entropy)
        weights = len(shares) * certain / certain.sum()
        confused = (shares * weights[:, None]).T @ shares
        confused = confused / confused.sum(1, keepdim=True)
        return self.weight * (1 - confused.diagonal().mean())


@dataclass(frozen=True)
class Mcc(GradientStrategy):
    """Full fine-tuning on the source that minimises class confusion on the target."""

    name: ClassVar[str] = "class_confusion"
    citation: ClassVar[str] = "Jin et al. 2020, Minimum class confusion for domain adaptation"
    protocols: ClassVar = frozenset({"adaptation"})
    space: ClassVar = {**GradientStrategy.space, "weight": FloatDistribution(0.1, 10.0, log=True)}
    defaults: ClassVar = {**GradientStrategy.defaults, "weight": 1.0}

    def recipe(self, backbone, task, hp, run):
        confusion, names = Confusion(hp["weight"]), backbone.parameters_from(0)
        return Recipe(backbone, names, lr=hp["lr"], regularisers=[confusion])


@hookimpl
def harness_strategies():
    return [Mcc]
