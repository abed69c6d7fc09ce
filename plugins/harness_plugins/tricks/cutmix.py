"""CutMix: learn from an image with a box of another in it, and as much of both labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from harness.api import (
    Batch,
    FloatDistribution,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
    sent,
)
from harness_plugins.tricks.mixup import probabilities


class Cutting(Regulariser):
    """In each image, a box of another image of the batch in the place of its own: one box for all.

    The share λ of an image that is to be left is drawn from Beta(α, α) for each batch, and the
    box's centre anywhere in the image. What is beyond the edge is cut off, and the targets are
    mixed by what is really left.
    """

    def __init__(self, alpha: float, classes: int) -> None:
        super().__init__()
        self.alpha, self.classes = alpha, classes

    def batch(self, batch: Batch) -> Batch:
        seed = int(torch.randint(2**63 - 1, (), generator=batch.generator))
        draws = np.random.default_rng(seed)
        order = torch.randperm(len(batch), generator=batch.generator)
        others = sent(order, batch.inputs.device)
        height, width = batch.inputs.shape[-2:]
        centre = int(draws.integers(height)), int(draws.integers(width))
        rows, columns = box((height, width), draws.beta(self.alpha, self.alpha), centre)
        inputs = batch.inputs.clone()
        inputs[..., rows, columns] = batch.inputs[others][..., rows, columns]
        cut = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        targets = probabilities(batch.targets, self.classes)
        targets = (1 - cut) * targets + cut * targets[others]
        return batch.mixed(others, 1 - cut, inputs, targets)


def box(size: tuple[int, int], left: float, centre: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a box of the image's shape that leaves a share of it, as far as it is
    within: of ``size`` and around ``centre``, height and width each."""
    spans = [int(side * (1 - left) ** 0.5) for side in size]
    rows, columns = (
        slice(max(0, middle - span // 2), min(side, middle + (span + 1) // 2))
        for side, span, middle in zip(size, spans, centre, strict=True)
    )
    return rows, columns


@dataclass(frozen=True)
class Cutmix(Trick):
    """Train on images that have a box of another image of the batch in them.

    The paper draws the box's size uniformly, which an ``alpha`` of 1 does. Every batch is cut, as
    for its results on ImageNet.
    """

    name: ClassVar[str] = "cutmix"
    family: ClassVar[str] = "inputs"
    citation: ClassVar[str] = "Yun et al. 2019, CutMix"
    modalities: ClassVar[frozenset[str]] = frozenset({"image"})
    space: ClassVar[Space] = {"alpha": FloatDistribution(0.1, 1.0, log=True)}
    defaults: ClassVar[Settings] = {"alpha": 1.0}

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        cutting = Cutting(hp["alpha"], task.classes)
        return replace(recipe, regularisers=[*recipe.regularisers, cutting])


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [Cutmix]
