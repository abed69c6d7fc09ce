"""DANN: train on the source while the features hide from an adversary which domain they are of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import (
    Backbone,
    Batch,
    FloatDistribution,
    GradientStrategy,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    hookimpl,
)


@dataclass(frozen=True)
class Dann(GradientStrategy):
    """Train all blocks on the source domain, against a network that tells the domains apart.

    The adversary has one hidden layer of ``width`` units. What the features get of its gradient is
    reversed and grows to ``dann_weight`` times its own size, as λ grows in the paper.
    """

    width: int = 100

    name: ClassVar[str] = "dann"
    family: ClassVar[str] = "domain adaptation"
    citation: ClassVar[str] = "Ganin et al. 2016, Domain-adversarial training"
    protocols: ClassVar[frozenset[str]] = frozenset({"adaptation"})
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "dann_weight": FloatDistribution(1e-2, 1.0, log=True),
    }
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "dann_weight": 0.1}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        with run.seeded("adversary"):
            adversary = Adversary(backbone.num_features, self.width, hp["dann_weight"])
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            regularisers=[adversary],
        )


class Adversary(Regulariser):
    """Tells source features from target features, and turns its gradient round for them."""

    unlabelled: ClassVar[bool] = True

    def __init__(self, features: int, width: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.classify = nn.Sequential(
            nn.Linear(features, width), nn.ReLU(), nn.Linear(width, 1), nn.Flatten(0)
        )

    def penalty(self, batch: Batch) -> Tensor:
        assert batch.unlabelled is not None
        return self.loss(batch.features, batch.unlabelled.features, batch.progress)

    def loss(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """The adversary's loss: binary cross-entropy in nats, a scalar."""
        features = ReverseGradient.apply(
            torch.cat([source, target]), self.weight * reversal(progress)
        )
        of_source = torch.cat([source.new_ones(len(source)), target.new_zeros(len(target))])
        return F.binary_cross_entropy_with_logits(self.classify(features), of_source)


class ReverseGradient(torch.autograd.Function):
    """The identity, whose gradient is turned round and scaled (section 4.2)."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None


def reversal(progress: float) -> float:
    """λ at a share of the training, from 0 towards 1 (section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Dann]
