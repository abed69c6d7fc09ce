"""``conv4``: the four-block convolutional network of the MAML and prototypical-network papers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from harness.api import BackboneFactory, ImageBackbone, Unsupported, hookimpl


class Conv4(BackboneFactory):
    """Four 3×3 convolutions of 64 channels, each with batch norm, ReLU and 2×2 max-pooling.

    ``args``: ``width`` (64 channels), ``channels`` (1 for grey, 3 for colour). What is left of
    the image after four poolings is flattened: 64 features at 28 pixels.
    """

    name: ClassVar[str] = "conv4"
    citation: ClassVar[str] = "Vinyals et al. 2016; Finn et al. 2017, section 5.2"

    def build(
        self, model: str, *, input_size: int | None, pretrained: bool, args: Mapping[str, Any]
    ) -> ImageBackbone:
        if pretrained:
            raise Unsupported("conv4 has no published weights; use weights = 'random' or a source")
        options = {"width": 64, "channels": 1, **args}
        if unknown := set(options) - {"width", "channels"}:
            raise Unsupported(f"conv4 takes width and channels, not {sorted(unknown)}")
        size = input_size or 28
        if size < 16:
            raise Unsupported(f"conv4 halves its input four times: {size} pixels are too few")
        width, channels = options["width"], options["channels"]
        body = nn.Sequential(
            *(_block(channels if index == 0 else width, width) for index in range(4)),
            nn.Flatten(),
        )
        return ImageBackbone(
            body,
            blocks=[[str(index)] for index in range(4)],
            input_size=size,
            mean=[0.5] * channels,
            std=[0.5] * channels,
        )


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)
    )


@hookimpl
def harness_backbones() -> list[type[BackboneFactory]]:
    return [Conv4]
