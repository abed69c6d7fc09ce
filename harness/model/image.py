"""A backbone for images: what is made of them, whatever their size and channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as image_ops

from harness.data.examples import Fit, RawBatch
from harness.errors import HarnessError
from harness.model.backbone import Backbone


class ImageBackbone(Backbone):
    """A backbone for images.

    Prepared inputs are uint8 ``[B, channels, input_size, input_size]``; they are scaled to 0–1
    and normalised by ``mean`` and ``std`` on the device, just before ``body``.
    """

    def __init__(
        self,
        body: nn.Module,
        blocks: Sequence[Sequence[str]],
        *,
        input_size: int,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        interpolation: str = "bilinear",
    ) -> None:
        size = (2, len(mean), input_size, input_size)
        generator = torch.Generator().manual_seed(0)
        example = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        super().__init__(body, blocks, example)
        self.input_size = input_size
        self.interpolation = image_ops.InterpolationMode(interpolation)
        shape = (len(mean), 1, 1)
        # Convolutions are faster where the channels of a pixel lie together: by 10 to 57 % for a
        # step of most networks that were tried on a CPU; a ResNet-18 of 64 pixels gains nothing.
        self.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(mean).reshape(shape) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(shape) * 255, persistent=False)

    mean: Tensor
    std: Tensor

    def features(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.body(self.normalise(inputs))
        return output

    def normalise(self, inputs: Tensor) -> Tensor:
        """Pixels 0–255 to the range that the weights were trained on."""
        scaled = (inputs.to(self.mean.dtype) - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)

    def preprocess(self, raw: RawBatch, fit: Fit = "crop") -> Tensor:
        """Make images square and of ``input_size``, and match the channels.

        ``crop`` resizes the shorter side and takes the middle; ``pad`` resizes the longer side
        and puts the rest between bars of the model's mean colour; ``squash`` resizes both.

        Raises:
            HarnessError: the channels are not the model's, and not grey for colour or the reverse.
        """
        if isinstance(raw, Tensor):
            return self._fit(raw, fit)
        return torch.cat(
            [self._fit(image[None], fit) for image in raw if isinstance(image, Tensor)]
        )

    def _fit(self, images: Tensor, fit: Fit) -> Tensor:
        images = self._coloured(images)
        side = self.input_size
        if list(images.shape[-2:]) != [side, side]:
            match fit:
                case "crop":
                    images = image_ops.center_crop(self._resized(images, [side]), [side, side])
                case "squash":
                    images = self._resized(images, [side, side])
                case "pad":
                    longer = max(images.shape[-2:])
                    shape = [max(1, round(side * edge / longer)) for edge in images.shape[-2:]]
                    images = self._between_bars(self._resized(images, shape))
        return images.contiguous()

    def _coloured(self, images: Tensor) -> Tensor:
        channels, wanted = images.shape[1], len(self.mean)
        if channels == wanted:
            return images
        if not channels_fit(channels, wanted):
            raise HarnessError(
                f"images of {channels} channels do not fit a model that takes {wanted}",
                "Give a model with as many, or images of 1 or 3 channels to a model of 3 or 1",
            )
        return image_ops.rgb_to_grayscale(images) if wanted == 1 else images.expand(-1, 3, -1, -1)

    def _resized(self, images: Tensor, size: list[int]) -> Tensor:
        resized: Tensor = image_ops.resize(
            images, size, interpolation=self.interpolation, antialias=True
        )
        return resized

    def _between_bars(self, images: Tensor) -> Tensor:
        """The images in the middle of a square of the mean colour, which normalises to zero."""
        height, width = images.shape[-2:]
        top, left = (self.input_size - height) // 2, (self.input_size - width) // 2
        colour = self.mean.round().to(images)
        square = colour.expand(len(images), -1, self.input_size, self.input_size).clone()
        square[..., top : top + height, left : left + width] = images
        return square


def channels_fit(given: int, wanted: int) -> bool:
    """Whether images can be given to a model: grey is repeated, and colour is mixed to grey."""
    return given == wanted or {given, wanted} == {1, 3}
