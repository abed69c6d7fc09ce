"""Adversarial training: learn from images that are changed to be misjudged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from harness.api import (
    Batch,
    FloatDistribution,
    HarnessError,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    evaluating,
    hookimpl,
    sent,
)


class Attack(Regulariser):
    """Images within ``radius`` levels of each pixel's own, whose loss is higher.

    In one step along the sign of the gradient, or in several of 2.5 radii altogether from a point
    that is drawn. The model is asked as it predicts, so that its statistics stay what they are,
    about ``most`` images at once.
    """

    def __init__(
        self,
        radius: float,
        steps: int,
        criterion: Callable[[Tensor, Tensor], Tensor],
        most: int,
    ) -> None:
        super().__init__()
        self.radius, self.steps, self.criterion, self.most = radius, steps, criterion, most

    def batch(self, batch: Batch) -> Batch:
        clean = batch.inputs.float()
        inputs, pace = clean, self.radius
        if self.steps > 1:
            drawn = torch.rand(clean.shape, generator=batch.generator)
            inputs = clean + self.radius * (2 * sent(drawn, clean.device) - 1)
            pace = 2.5 * self.radius / self.steps
        alone = replace(batch, unlabelled=None)
        with evaluating(batch.model.backbone), evaluating(batch.model.head):
            for _ in range(self.steps):
                inputs = inputs.clamp(0, 255)
                slope = self._slope(replace(alone, inputs=inputs))
                away = (inputs + pace * slope.sign() - clean).clamp(-self.radius, self.radius)
                inputs = clean + away
        return replace(batch, inputs=inputs.clamp(0, 255))

    def _slope(self, batch: Batch) -> Tensor:
        """The gradient of the loss by the inputs."""
        found: list[Tensor] = []
        for part in batch.split([len(rows) for rows in batch.index.split(self.most)]):
            inputs = part.inputs.detach().requires_grad_()
            assert part.targets is not None
            loss = self.criterion(replace(part, inputs=inputs).logits, part.targets)
            found += torch.autograd.grad(loss, inputs)
        return torch.cat(found)


@dataclass(frozen=True)
class Adversarial(Trick):
    """Train on images that are changed, by at most ``radius`` of 255 levels, to be misjudged.

    In one ``steps``, the fast gradient sign method; in more, projected gradient descent from a
    random start (Madry et al. 2018), of which each step costs as much as a step of training. They
    take 8 levels on all of CIFAR-10, which with 20 photographs a class costs a third of what
    ImageNet's weights know, and 1 costs 5 points. What is raised is the loss of the task, without
    other tricks'. Name it after all that changes images.
    """

    steps: int = 1

    name: ClassVar[str] = "adversarial"
    family: ClassVar[str] = "inputs"
    citation: ClassVar[str] = "Goodfellow et al. 2015, Explaining adversarial examples"
    modalities: ClassVar[frozenset[str]] = frozenset({"image"})
    space: ClassVar[Space] = {"radius": FloatDistribution(0.25, 16.0, log=True)}
    defaults: ClassVar[Settings] = {"radius": 1.0}

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise HarnessError(f"adversarial's steps are {self.steps}", "Give 1 or more")

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        attack = Attack(hp["radius"], self.steps, task.target.criterion, run.micro_batch)
        return replace(recipe, regularisers=[*recipe.regularisers, attack])


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Adversarial]
