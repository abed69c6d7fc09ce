"""mixup: learn from pairs of examples, and from as much of both labels."""

import random
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F

from harness.api import FloatDistribution, GradientStrategy, Recipe, Regulariser, hookimpl, sent


class Mixup(Regulariser):
    """Each example and another of its batch, mixed by a share of Beta(``alpha``, ``alpha``)."""

    def __init__(self, alpha, classes):
        super().__init__()
        self.alpha, self.classes = alpha, classes

    def batch(self, batch):
        seed = int(torch.randint(2**31, (), generator=batch.generator))
        share = random.Random(seed).betavariate(self.alpha, self.alpha)
        order = torch.randperm(len(batch), generator=batch.generator)
        order = sent(order, batch.inputs.device)

        def mixed(values):
            return share * values + (1 - share) * values[order]

        targets = F.one_hot(batch.targets, self.classes).float()
        return replace(batch, inputs=mixed(batch.inputs.float()), targets=mixed(targets))


@dataclass(frozen=True)
class FinetuneMixup(GradientStrategy):
    """Full fine-tuning on mixed images."""

    name: ClassVar[str] = "finetune_mixup"
    citation: ClassVar[str] = "Zhang et al. 2018, mixup: Beyond empirical risk minimization"
    modalities: ClassVar = frozenset({"image"})
    space: ClassVar = {**GradientStrategy.space, "alpha": FloatDistribution(0.1, 1.0)}
    defaults: ClassVar = {**GradientStrategy.defaults, "alpha": 0.2}

    def recipe(self, backbone, task, hp, run):
        everything, mixup = backbone.parameters_from(0), Mixup(hp["alpha"], task.classes)
        return Recipe(backbone, everything, lr=hp["lr"], regularisers=[mixup])


@hookimpl
def harness_strategies():
    return [FinetuneMixup]
