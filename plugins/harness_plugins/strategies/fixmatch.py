"""FixMatch: what the model is sure of on an input has to hold for a changed view of it too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import (
    Backbone,
    Batch,
    FloatDistribution,
    GradientStrategy,
    HarnessError,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Strategy,
    Task,
    hookimpl,
)
from harness_plugins.tricks.randaugment import Operating

MAGNITUDE = 10
"""Of RandAugment's 0 to 30. The paper draws one for each operation."""


@dataclass(frozen=True)
class FixMatch(GradientStrategy):
    """Train all blocks on labelled images, and on changed unlabelled ones with sure answers.

    Unlabelled images whose likeliest class is at least as probable as ``confidence`` are given it
    as label for a view of them that RandAugment has changed, by two operations; the loss of that
    is added, ``unlabelled_weight`` times. What is sure is judged by the image as ``[budget]
    augment`` shows it, which should shift and, but for letters and digits, flip: the paper's weak
    views. Defaults are the paper's, which has seven unlabelled images for each labelled one, where
    here a batch has as many, and cuts squares out of changed views.
    """

    name: ClassVar[str] = "fixmatch"
    family: ClassVar[str] = "semi-supervised learning"
    citation: ClassVar[str] = (
        "Sohn et al. 2020, FixMatch: Simplifying semi-supervised learning with consistency and "
        "confidence"
    )
    modalities: ClassVar[frozenset[str]] = frozenset({"image"})
    protocols: ClassVar[frozenset[str]] = frozenset({"transfer"})
    needs_unlabelled: ClassVar[bool] = True
    starts_from: ClassVar[str | None] = "full_finetune"
    space: ClassVar[Space] = {
        **GradientStrategy.space,
        "confidence": FloatDistribution(0.5, 0.95),
        "unlabelled_weight": FloatDistribution(1e-1, 1e1, log=True),
    }
    defaults: ClassVar[Settings] = {
        **GradientStrategy.defaults,
        "confidence": 0.95,
        "unlabelled_weight": 1.0,
    }
    frozen_space: ClassVar[Space] = {"lr": FloatDistribution(1e-5, 1e-3, log=True)}
    frozen_defaults: ClassVar[Settings] = {"lr": 2e-4}

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        """
        Raises:
            HarnessError: images are neither grey nor coloured.
        """
        if (channels := backbone.example.shape[1]) not in (1, 3):
            raise HarnessError(
                f"fixmatch changes grey and colour images, and the model takes {channels} channels",
                "Take pseudo_label, which changes none",
            )
        return Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            regularisers=[Consistency(hp["confidence"], hp["unlabelled_weight"])],
        )


class Consistency(Regulariser):
    """Unlabelled inputs are followed by changed views of them, and sure answers hold for both."""

    unlabelled: ClassVar[bool] = True

    def __init__(self, confidence: float, weight: float) -> None:
        super().__init__()
        self.confidence, self.weight = confidence, weight
        self.changing = Operating(2, MAGNITUDE)

    def batch(self, batch: Batch) -> Batch:
        weak = batch.unlabelled
        assert weak is not None
        strong = self.changing.batch(weak)
        inputs, index = (
            torch.cat([getattr(each, name) for each in (weak, strong)])
            for name in ("inputs", "index")
        )
        return replace(batch, unlabelled=replace(weak, inputs=inputs, index=index))

    def penalty(self, batch: Batch) -> Tensor:
        assert batch.unlabelled is not None
        weak, strong = batch.unlabelled.logits.chunk(2)
        return self.weight * consistency(weak, strong, self.confidence)


def consistency(weak: Tensor, strong: Tensor, confidence: float) -> Tensor:
    """The cross-entropy in nats of answers ``strong`` ``[b, classes]`` with the likeliest classes
    of ``weak`` ones, which are taken as given, where those are at least as probable as
    ``confidence``; a mean over all ``b`` (equation 4)."""
    probability, label = weak.detach().softmax(1).max(1)
    losses = F.cross_entropy(strong, label, reduction="none")
    return (losses * (probability >= confidence)).mean()


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [FixMatch]
