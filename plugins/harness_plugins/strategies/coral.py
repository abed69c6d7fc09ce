"""Deep CORAL: train on the source while its features' covariance is drawn to the target's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
    Unsupported,
    hookimpl,
)
from harness_plugins.strategies._alignment import Aligning, Discrepancy
from harness_plugins.strategies.source_only import SourceOnly


@dataclass(frozen=True)
class Coral(Aligning):
    """Train all blocks on the source domain, with the features' covariance drawn to the target's.

    The distance between the covariances of a source batch and of a batch of unlabelled target
    inputs is added to the loss, ``coral_weight`` times. The paper takes those of what the
    classifier answers; here they are of what it is given, the features.
    """

    name: ClassVar[str] = "coral"
    citation: ClassVar[str] = "Sun & Saenko 2016, Deep CORAL"
    space: ClassVar[Space] = {
        **SourceOnly.space,
        "coral_weight": FloatDistribution(1e-1, 1e2, log=True),
    }
    defaults: ClassVar[Settings] = {**SourceOnly.defaults, "coral_weight": 1.0}

    def penalty(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Regulariser:
        return CovarianceDistance(hp["coral_weight"])


class CovarianceDistance(Discrepancy):
    """The CORAL loss of the features of a batch and of its unlabelled inputs, ``weight`` times."""

    def between(self, source: Batch, target: Batch) -> Tensor:
        if min(len(source), len(target)) < 2:
            raise Unsupported(
                "coral goes by how features of one domain vary, and here a batch has one example: "
                "raise batch_size, and give two or more of each domain"
            )
        return coral_loss(source.features, target.features)


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """‖C_S − C_T‖²_F / 4d² of features ``[n, d]`` and ``[m, d]`` (equations 1 to 3), a scalar."""
    width = source.shape[1]
    difference = covariance(source) - covariance(target)
    return difference.square().sum() / (4 * width**2)


def covariance(features: Tensor) -> Tensor:
    """``torch.cov`` of features ``[n, d]``, which would wait for a GPU to say whether ``n > 1``."""
    centred = (features - features.mean(0)).T
    return centred @ centred.T / (len(features) - 1)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Coral]
