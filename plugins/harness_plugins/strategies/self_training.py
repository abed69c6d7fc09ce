"""Self-training: learn from the source, then also from what one is sure of on the target."""

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
    fit,
    hookimpl,
)
from harness_plugins.strategies.source_only import SourceOnly

UNSURE = -100
"""The label of an input that has none."""


@dataclass(frozen=True)
class SelfTraining(GradientStrategy):
    """Train all blocks on the source domain, then go on with predictions on the target as labels.

    In each of ``rounds``, target inputs whose prediction is more probable than ``confidence`` are
    given it as label, anew, and training goes on from the last round with their loss added to the
    source's. The source alone and each round take as many steps, the last what is left of them;
    where there are fewer steps than that, there are fewer rounds. Tricks amend the last round. The
    defaults are not of the paper: docs/explanation/defaults.md.
    """

    rounds: int = 3

    name: ClassVar[str] = "self_training"
    family: ClassVar[str] = "domain adaptation"
    citation: ClassVar[str] = (
        "Yarowsky 1995, Unsupervised word sense disambiguation rivaling supervised methods"
    )
    protocols: ClassVar[frozenset[str]] = frozenset({"adaptation"})
    space: ClassVar[Space] = {
        **SourceOnly.space,
        "confidence": FloatDistribution(0.5, 0.99),
    }
    defaults: ClassVar[Settings] = {**SourceOnly.defaults, "confidence": 0.8}

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise HarnessError(f"self_training's rounds are {self.rounds}", "Give 1 or more")

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        rounds = min(self.rounds, run.steps - 1)
        steps = run.steps // (rounds + 1)
        stage = Recipe(
            backbone,
            backbone.parameters_from(0),
            lr=hp["lr"],
            weight_decay=hp["weight_decay"],
            steps=steps,
        )
        if task.unlabelled is None:  # refused where it trains, and of the form of what it gives
            return replace(stage, regularisers=[PseudoLabels(torch.empty(0, dtype=torch.int64))])
        for done in range(steps, steps * rounds + 1, steps):
            model = fit(stage, replace(task, val=None), run)
            labels = pseudo_labels(model.logits(task.unlabelled), hp["confidence"])
            stage = replace(
                stage,
                backbone=model.backbone,
                head=model.head,
                regularisers=[PseudoLabels(labels)],
                steps_before=done,
            )
        return replace(stage, steps=run.steps - steps * rounds)


class PseudoLabels(Regulariser):
    """The cross-entropy of the unlabelled inputs that have one of ``labels``, int64 ``[n]``: its
    sum over a batch, by the batch's size, so that few labels weigh little."""

    unlabelled: ClassVar[bool] = True
    labels: Tensor

    def __init__(self, labels: Tensor) -> None:
        super().__init__()
        self.register_buffer("labels", labels)

    def penalty(self, batch: Batch) -> Tensor:
        assert batch.unlabelled is not None
        labels = self.labels[batch.unlabelled.index]
        logits = batch.unlabelled.logits
        total = F.cross_entropy(logits, labels, ignore_index=UNSURE, reduction="sum")
        return total / len(labels)


def pseudo_labels(logits: Tensor, confidence: float) -> Tensor:
    """The likeliest class, int64 ``[n]``, of logits ``[n, classes]``; ``UNSURE`` where it is not
    more probable than ``confidence``."""
    probability, label = logits.softmax(1).max(1)
    return torch.where(probability > confidence, label, UNSURE)


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [SelfTraining]
