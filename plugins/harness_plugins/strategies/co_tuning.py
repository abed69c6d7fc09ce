"""Co-tuning: fine-tune the source's head too, towards what the task's classes are to the source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.api import (
    Backbone,
    Batch,
    Examples,
    FloatDistribution,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Source,
    Space,
    Strategy,
    Task,
    hookimpl,
)
from harness_plugins.strategies._logistic_regression import solve
from harness_plugins.strategies._source_head import source_head, source_logits, with_source_head
from harness_plugins.strategies.full_finetune import FullFinetune

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Of the regression of the task's classes on the source's: the one that validates best counts."""

WITHOUT_VALIDATION = 1e-3


class SourceClasses(Regulariser):
    """``weight`` times the cross-entropy between the source's classes that an example's own class
    stands for and those that the source's head tells of it (equation 4). The head trains along.

    Args:
        relationship: p(source class | class), ``[classes, source classes]``.
    """

    def __init__(self, head: nn.Linear, relationship: Tensor, weight: float) -> None:
        super().__init__()
        self.head, self.relationship, self.weight = head, relationship, weight

    def penalty(self, batch: Batch) -> Tensor:
        targets = batch.targets
        assert targets is not None
        soft = targets.is_floating_point()
        expected = targets @ self.relationship if soft else self.relationship[targets]
        told = self.head(batch.features).log_softmax(1)
        agreed: Tensor = (expected * told).sum(1).mean()
        return -self.weight * agreed


@dataclass(frozen=True)
class CoTuning(FullFinetune):
    """Full fine-tuning of two heads, the new one and the source's.

    The new one learns the labels, and the source's the source's classes that stand for each label;
    its loss counts ``weight`` times.

    Which ones do is learned before training, the paper's "reverse" way: a logistic regression tells
    classes from the probabilities of the source's classes; its penalty is chosen by validation, and
    Bayes' rule turns it round. The source's head is fitted to the source once, by logistic
    regression too, or is the classifier of published weights where there is no source, and is not
    calibrated further. Both losses count alike by default.
    """

    name: ClassVar[str] = "co_tuning"
    family: ClassVar[str] = "staying near the source"
    citation: ClassVar[str] = "You et al. 2020, Co-tuning for transfer learning, NeurIPS"
    needs_source: ClassVar[bool] = True
    takes_source_head: ClassVar[bool] = True
    space: ClassVar[Space] = {
        **FullFinetune.space,
        "weight": FloatDistribution(0.1, 10.0, log=True),
    }
    defaults: ClassVar[Settings] = {**FullFinetune.defaults, "weight": 1.0}

    def prepare(
        self, backbone: Backbone, source: Source | None, hp: Settings, run: Run
    ) -> Backbone:
        return with_source_head(backbone, source, run)

    def recipe(self, backbone: Backbone, task: Task, hp: Settings, run: Run) -> Recipe:
        found = relationship(backbone, task, run)
        classes = SourceClasses(source_head(backbone), found, hp["weight"])
        recipe = super().recipe(backbone, task, hp, run)
        return replace(recipe, regularisers=[*recipe.regularisers, classes])


@torch.no_grad()
def relationship(backbone: Backbone, task: Task, run: Run) -> Tensor:
    """p(source class | class), float32 ``[classes, source classes]``."""

    def shares(examples: Examples) -> Tensor:
        return source_logits(backbone, task, examples.inputs, run).double().softmax(1)

    seen, penalties = shares(task.train), (WITHOUT_VALIDATION,) if task.val is None else PENALTIES
    prior = seen.mean(0)
    labels = task.train.labels[None]
    weights, biases = solve((seen - prior)[None], labels, task.classes, penalties)
    models = [*zip(weights[:, 0], biases[:, 0], strict=True)]
    weight, bias = models[0]
    if task.val is not None:
        val = shares(task.val) - prior
        losses = [F.cross_entropy(val @ w.T + b, task.val.labels) for w, b in models]
        weight, bias = models[int(torch.stack(losses).argmin())]
    # The regression's answer where the source is sure of a class: p(class | source class).
    forward = (weight - (weight @ prior)[:, None] + bias[:, None]).softmax(0)
    joint: Tensor = forward * prior
    return (joint / joint.sum(1, keepdim=True)).float()


@hookimpl
def harness_strategies() -> list[type[Strategy]]:
    return [CoTuning]
