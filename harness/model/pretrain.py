"""Weights that the harness makes itself: supervised training on a source dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness.data.examples import Source, Task
from harness.model.backbone import Backbone
from harness.model.fit import Recipe, fit, validate

if TYPE_CHECKING:
    from harness.api import Run

HELD_BACK = 0.05
"""The share of source examples that checks the pretraining and picks its best state."""


def pretrain(
    backbone: Backbone, source: Source, run: Run, *, lr: float, weight_decay: float
) -> tuple[Backbone, float]:
    """Train all blocks on the labelled source by the one training loop.

    Returns:
        The trained backbone, in evaluation mode, and its accuracy on held-back source examples.
    """
    examples = source.examples
    order = torch.randperm(len(examples), generator=run.generator("held back"))
    cut = max(1, round(HELD_BACK * len(examples)))
    task = Task(examples.subset(order[cut:]), source.classes, examples.subset(order[:cut]))
    recipe = Recipe(backbone, backbone.parameters_from(0), lr=lr, weight_decay=weight_decay)
    model = fit(recipe, task, run)
    assert task.val is not None
    accuracy, _ = validate(model, task.val)
    return model.backbone.eval(), accuracy
