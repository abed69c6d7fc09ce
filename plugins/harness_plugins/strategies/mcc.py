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
    Regulariser,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    hookimpl,
)
from harness_plugins.strategies._alignment import Aligning, Discrepancy
from harness_plugins.strategies.source_only import SourceOnly


@dataclass(frozen=True)
class Mcc(Aligning):
    """Train all blocks on the source domain, with less confusion of classes on the target.

    Predictions of a batch of unlabelled target inputs, softened by ``temperature``, tell which
    classes are taken for each other; the share of that is added to the loss, ``mcc_weight`` times.
    The temperature is the paper's.
    """

    temperature: float = 2.5

    name: ClassVar[str] = "mcc"
    citation: ClassVar[str] = (
        "Jin et al. 2020, Minimum class confusion for versatile domain adaptation"
    )
    space: ClassVar[Space] = {
        **SourceOnly.space,
        "mcc_weight": FloatDistribution(1e-1, 1e1, log=True),
    }
    defaults: ClassVar[Settings] = {**SourceOnly.defaults, "mcc_weight": 1.0}

    def penalty(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Regulariser:
        return ClassConfusion(hp["mcc_weight"], self.temperature)


class ClassConfusion(Discrepancy):
    """The confusion of classes on a batch's unlabelled inputs, ``weight`` times."""

    def __init__(self, weight: float, temperature: float) -> None:
        super().__init__(weight)
        self.temperature = temperature

    def between(self, source: Batch, target: Batch) -> Tensor:
        return class_confusion(target.logits.float(), self.temperature)


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
