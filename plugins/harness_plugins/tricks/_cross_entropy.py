"""Cross-entropy with what tricks add to it: weights of classes, and less of what is easy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.api import HarnessError, OneClass, Recipe, Task
from harness_plugins.tricks.mixup import probabilities


@dataclass(frozen=True, eq=False)
class CrossEntropy:
    """The mean over a batch of Σ_c w_c q_c (1 - p_c)^γ (-log p_c), of predictions p and targets q,
    classes or probabilities.

    Attributes:
        weight: w, float ``[classes]``; by default 1.
        gamma: γ.
        smoothing: the share of q that is moved to all classes alike before.
    """

    weight: Tensor | None = None
    gamma: float = 0.0
    smoothing: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        classes = logits.shape[1]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        wanted = probabilities(targets, classes).to(logits.dtype)
        wanted = (1 - self.smoothing) * wanted + self.smoothing / classes
        if self.weight is not None:
            wanted = self.weight.to(logits.dtype) * wanted
        told = logits.log_softmax(1)
        if self.gamma:
            # Where rounding leaves nothing of 1 - p, a power below 1 would have an infinite slope.
            left = (-told.expm1()).clamp_min(1e-12)
            wanted = wanted * left**self.gamma
        return -(wanted * told).sum(1).mean()


def cross_entropy_of(recipe: Recipe, task: Task, trick: str) -> CrossEntropy:
    """The criterion of a recipe in the form that ``trick`` can change.

    Raises:
        HarnessError: it is no cross-entropy of classes.
    """
    criterion = recipe.criterion
    if isinstance(task.target, OneClass):
        if criterion is None:
            return CrossEntropy()
        if isinstance(criterion, CrossEntropy):
            return criterion
        if isinstance(criterion, partial) and criterion.func is F.cross_entropy:
            keywords = dict(criterion.keywords)
            smoothing = keywords.pop("label_smoothing", 0.0)
            if not criterion.args and not keywords:
                return CrossEntropy(smoothing=smoothing)
    raise HarnessError(
        f"{trick} changes the cross-entropy of classes, and this training has another criterion",
        "Leave the trick out for this strategy",
    )
