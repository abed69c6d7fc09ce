"""MCC: train on the source while classes are not confused with each other on the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

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
class Mcc(GradientStrategy):
    """Train all blocks on the source domain, with less confusion of classes on the target.

    Predictions of a batch of unlabelled target inputs, softened by ``temperature``, tell which
    classes are taken for each other; the share of that is added to the loss, ``mcc_weight`` times.
    The temperature is the paper's.
    """

    temperature: float = 2.5

    name: ClassVar[str] = "mcc"
    family: ClassVar[str] = "domain adaptation"
    citation: ClassVar[str] = (
        "Jin et al. 2020, Minimum class confusion for versatile domain adaptation"
    )
    protocols: ClassVar[frozenset[str]] = frozenset({"adaptation"})
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "mcc_weight": FloatDistribution(1e-1, 1e1, log=True),
    }
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "mcc_weight": 1.0}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            regularisers=[ClassConfusion(hp["mcc_weight"], self.temperature)],
        )


class ClassConfusion(Regulariser):
    """The confusion of classes on a batch's unlabelled inputs, ``weight`` times."""

    unlabelled: ClassVar[bool] = True

    def __init__(self, weight: float, temperature: float) -> None:
        super().__init__()
        self.weight, self.temperature = weight, temperature

    def penalty(self, batch: Batch) -> Tensor:
        assert batch.unlabelled is not None
        return self.weight * class_confusion(batch.unlabelled.logits.float(), self.temperature)


def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """The share of confusion, 0–1, of logits ``[n, classes]`` (equations 1 to 5), a scalar.

    An input's weight goes by the entropy of its prediction, and is taken as given: no gradient
    goes through it.
    """
    shares = (logits / temperature).softmax(1)
    certainty = 1 + torch.exp(-torch.special.entr(shares).sum(1).detach())
    weights = len(shares) * certainty / certainty.sum()
    confusion = (shares * weights[:, None]).T @ shares
    # A class that no prediction has any share of is confused with none.
    smallest = torch.finfo(confusion.dtype).tiny
    confusion = confusion / confusion.sum(1, keepdim=True).clamp_min(smallest)
    return (confusion.sum() - confusion.trace()) / len(confusion)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Mcc]
