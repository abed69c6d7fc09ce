"""CDAN: train on the source while features and predictions hide together which domain it is."""

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
    hookimpl,
)
from harness_plugins.strategies._adversary import Adversary
from harness_plugins.strategies._alignment import Aligning
from harness_plugins.strategies.source_only import SourceOnly


@dataclass(frozen=True)
class Cdan(Aligning):
    """Train all blocks on the source, against a network that tells domains by predictions too.

    It is :mod:`dann <harness_plugins.strategies.dann>`, whose adversary sees the product of each
    feature with each class's probability, so that domains are aligned class by class. ``width`` is
    of its one hidden layer. Neither the paper's weights by entropy nor its random projection, for
    many features and classes, are there. Its weight of 1 is the paper's, and was the best of five
    between digits of two sources: docs/explanation/defaults.md.
    """

    width: int = 100

    name: ClassVar[str] = "cdan"
    citation: ClassVar[str] = "Long et al. 2018, Conditional adversarial domain adaptation"
    space: ClassVar[Space] = {
        **SourceOnly.space,
        "cdan_weight": FloatDistribution(1e-1, 10.0, log=True),
    }
    defaults: ClassVar[Settings] = {**SourceOnly.defaults, "cdan_weight": 1.0}

    def penalty(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Regulariser:
        inputs = backbone.num_features * task.classes
        with run.seeded("adversary"):
            return ConditionalAdversary(inputs, self.width, hp["cdan_weight"])


class ConditionalAdversary(Adversary):
    """Tells source from target by features and predictions together."""

    def penalty(self, batch: Batch) -> Tensor:
        assert batch.unlabelled is not None
        source, target = (multilinear(b.features, b.logits) for b in (batch, batch.unlabelled))
        return self.loss(source, target, batch.progress)


def multilinear(features: Tensor, logits: Tensor) -> Tensor:
    """Products of features ``[n, d]`` and probabilities of logits ``[n, c]``: ``[n, c * d]``, all
    features times the first class's before those times the second's (equation 5).

    Probabilities are taken as given: no gradient goes through them.
    """
    shares = logits.detach().float().softmax(1)
    return (shares[:, :, None] * features[:, None]).flatten(1)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [Cdan]
