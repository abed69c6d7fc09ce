"""Pseudo-label: learn from the labelled, and from what the model itself says of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
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

BEGIN, END = 1 / 6, 5 / 6
"""Shares of the training between which the weight grows."""


@dataclass(frozen=True)
class PseudoLabel(GradientStrategy):
    """Train all blocks on labelled examples, and on unlabelled ones with their likeliest class.

    Classes are those of the model as it is in each step. Their loss is added with a weight that
    grows evenly from nothing to ``unlabelled_weight`` in the middle of the training, since the
    first answers are mostly wrong; the paper's default is 3, and its growth is given in epochs.
    """

    name: ClassVar[str] = "pseudo_label"
    family: ClassVar[str] = "semi-supervised learning"
    citation: ClassVar[str] = (
        "Lee 2013, Pseudo-label: The simple and efficient semi-supervised learning method for deep "
        "neural networks"
    )
    protocols: ClassVar[frozenset[str]] = frozenset({"transfer"})
    needs_unlabelled: ClassVar[bool] = True
    starts_from: ClassVar[str | None] = "full_finetune"
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "unlabelled_weight": FloatDistribution(1e-1, 1e1, log=True),
    }
    defaults: ClassVar[Settings] = {**GradientStrategy.defaults, "unlabelled_weight": 3.0}
    frozen_space: ClassVar[Space] = {"lr": FloatDistribution(1e-5, 1e-3, log=True)}
    frozen_defaults: ClassVar[Settings] = {"lr": 2e-4}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            regularisers=[Likeliest(hp["unlabelled_weight"])],
        )


class Likeliest(Regulariser):
    """The cross-entropy of a batch's unlabelled inputs with their likeliest classes, of a weight
    that grows to ``weight`` (equations 15 and 16)."""

    unlabelled: ClassVar[bool] = True

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def penalty(self, batch: Batch) -> Tensor:
        assert batch.unlabelled is not None
        logits = batch.unlabelled.logits
        return self.weight * growth(batch.progress) * F.cross_entropy(logits, logits.argmax(1))


def growth(progress: float) -> float:
    """The share of the weight, 0–1, at a share of the training."""
    return min(1.0, max(0.0, (progress - BEGIN) / (END - BEGIN)))


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [PseudoLabel]
