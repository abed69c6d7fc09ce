"""A network that tells domains apart, and the features that hide from it."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import Batch, Regulariser


class Adversary(Regulariser):
    """Tells source features from target features, and turns its gradient round for them.

    It has one hidden layer of ``width`` units. What the features get of its gradient grows to
    ``weight`` times its own size.
    """

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
        """The adversary's loss: binary cross-entropy in nats, a scalar, in which both domains count
        alike, however many there are of each in a batch."""
        features = ReverseGradient.apply(
            torch.cat([source, target]), self.weight * reversal(progress)
        )
        of_source = torch.cat([source.new_ones(len(source)), target.new_zeros(len(target))])
        half = len(features) / 2
        weight = torch.cat(
            [torch.full_like(part[:, 0], half / max(1, len(part))) for part in (source, target)]
        )
        answers = self.classify(features)
        return F.binary_cross_entropy_with_logits(answers, of_source, weight)


class ReverseGradient(torch.autograd.Function):
    """The identity, whose gradient is turned round and scaled (Ganin et al. 2016, section 4.2)."""

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
