"""RandAugment: a few operations on each image, drawn anew each time, of one strength."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.transforms.v2 import RandAugment as Operations

from harness.api import (
    Backbone,
    Batch,
    HarnessError,
    IntDistribution,
    Recipe,
    Regulariser,
    Run,
    Settings,
    Space,
    Task,
    Trick,
    hookimpl,
)


class Operating(Regulariser):
    """``count`` operations on each image, as torchvision draws them."""

    def __init__(self, count: int, magnitude: int) -> None:
        super().__init__()
        self.operations = Operations(count, magnitude)

    def batch(self, batch: Batch) -> Batch:
        seed = int(torch.randint(2**63 - 1, (), generator=batch.generator))
        # They are made for whole pixels; mixed or shifted images have others.
        pixels = batch.inputs.round().clamp(0, 255).to(torch.uint8)
        with torch.random.fork_rng(devices=[]):  # torchvision knows no other generator
            torch.default_generator.manual_seed(seed)
            views = torch.stack([self.view(image) for image in pixels])
        return replace(batch, inputs=views.to(batch.inputs.dtype))

    def view(self, image: Tensor) -> Tensor:
        """An image uint8 ``[C, H, W]`` after operations of its own."""
        changed: Tensor = self.operations(image)
        return changed


@dataclass(frozen=True)
class RandAugment(Trick):
    """Change each image by ``count`` operations drawn from 14, such as shear, rotate, equalize.

    All of one ``magnitude``, of 0 to 30; the paper takes two operations of magnitude 9 for
    ResNet-50 on ImageNet. They see pixels of 0 to 255, after the views of ``[budget] augment`` and
    before the model normalises them. Name it before mixup, cutmix and adversarial.
    """

    count: int = 2

    name: ClassVar[str] = "randaugment"
    family: ClassVar[str] = "inputs"
    citation: ClassVar[str] = "Cubuk et al. 2020, RandAugment"
    modalities: ClassVar[frozenset[str]] = frozenset({"image"})
    space: ClassVar[Space] = {"magnitude": IntDistribution(1, 20)}
    defaults: ClassVar[Settings] = {"magnitude": 9}

    def __post_init__(self) -> None:
        if self.count < 1:
            raise HarnessError(f"randaugment's count is {self.count}", "Give 1 or more")

    def check_backbone(self, backbone: Backbone) -> None:
        if (channels := backbone.example.shape[1]) not in (1, 3):
            raise HarnessError(
                f"randaugment changes grey and colour images, and the model takes {channels} "
                "channels",
                "Leave the trick out for this model",
            )

    def amend(self, recipe: Recipe, task: Task, hp: Settings, run: Run) -> Recipe:
        """Change the images of each batch.

        Raises:
            HarnessError: they are neither grey nor coloured.
        """
        self.check_backbone(recipe.backbone)
        operating = Operating(self.count, hp["magnitude"])
        return replace(recipe, regularisers=[*recipe.regularisers, operating])


@hookimpl
def harness_tricks() -> list[type[Trick]]:
    return [RandAugment]
