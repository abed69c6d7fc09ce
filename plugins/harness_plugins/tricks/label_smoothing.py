"""Label smoothing: ask for less than certainty."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch.nn.functional as F

from harness.api import (
    FloatDistribution,
    HarnessError,
    Recipe,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
)


@dataclass(frozen=True)
class LabelSmoothing(Trick):
    """Move a ``share`` of each label's probability to all classes alike."""

    name: ClassVar[str] = "label_smoothing"
    family: ClassVar[str] = "loss"
    citation: ClassVar[str] = "Szegedy et al. 2016, Rethinking the Inception architecture"
    space: ClassVar[Space] = {"share": FloatDistribution(0.01, 0.3, log=True)}
    defaults: ClassVar[Settings] = {"share": 0.1}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Smooth the labels of cross-entropy.

        Raises:
            HarnessError: the recipe has another criterion.
        """
        if recipe.criterion is not None:
            raise HarnessError(
                "label_smoothing smooths cross-entropy, and this training has another criterion",
                "Leave the trick out for this strategy",
            )
        smoothed = partial(F.cross_entropy, label_smoothing=hp["share"])
        return replace(recipe, criterion=smoothed)


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [LabelSmoothing]
