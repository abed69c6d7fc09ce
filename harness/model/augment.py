"""Augment images: random views on the device, with a draw of its own for each image.

A random transform of :mod:`torchvision.transforms.v2` draws once a call: a batch that it is given
is turned, cropped or darkened as one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.data.examples import sent
from harness.errors import HarnessError

ASPECT = 4 / 3
"""The most that a crop is wider than high, or higher than wide."""

DRAWS = 11
"""Random numbers that an image takes: the same ones, whatever is asked for."""


@dataclass(frozen=True)
class Augment:
    """Random changes that leave an image's class what it is. By default, none.

    Every image has draws of its own, from a generator on the CPU, so that they are the same on
    every device; and one image's follow upon another's, so that they are the same in however many
    parts a batch is augmented.

    Args:
        crop_scale: the smallest share of an image's area that a crop keeps, above 0, up to 1. The
            crop is brought to the whole image's size; its sides are in a ratio of 3 : 4 to 4 : 3.
        shift: the farthest that an image moves, as a share of its width and of its height, 0 to 1.
        rotate: the farthest that it turns about its centre, in degrees, 0 to 180.
        flip: mirror half of the images. Right for photographs, wrong for characters.
        jitter: 0 changes no brightness; 1 multiplies it, as well as contrast and saturation, by
            0.2 to 1.8.

    Raises:
        HarnessError: a value is out of its range.
    """

    crop_scale: float = 1.0
    shift: float = 0.0
    rotate: float = 0.0
    flip: bool = False
    jitter: float = 0.0

    def __post_init__(self) -> None:
        wrong = [
            f"{name} = {getattr(self, name)} (give {range_})"
            for name, fits, range_ in (
                ("crop_scale", 0 < self.crop_scale <= 1, "above 0, up to 1"),
                ("shift", 0 <= self.shift <= 1, "0 to 1"),
                ("rotate", 0 <= self.rotate <= 180, "0 to 180 degrees"),
                ("jitter", 0 <= self.jitter <= 1, "0 to 1"),
            )
            if not fits
        ]
        if wrong:
            raise HarnessError(f"images cannot be augmented with {', '.join(wrong)}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A random view of each image.

        Args:
            images: ``[B, C, H, W]`` on any device, uint8 or in the range of it.
            generator: of the CPU.

        Returns:
            float32 ``[B, C, H, W]``, 0–255, on the images' device: with nothing to change, the
            very pixels.
        """
        return self.view(images, torch.rand(len(images), DRAWS, generator=generator).T)

    def view(self, images: Tensor, draws: Tensor) -> Tensor:
        """The view of each image that random numbers 0–1, ``[DRAWS, B]`` on the CPU, decide on."""
        area, aspect, x, y, mirror, *jitter, angle, right, down = draws
        views = images.float()
        if self.crop_scale < 1 or self.shift or self.rotate or self.flip:
            area = _between(self.crop_scale, 1.0, area)
            # No more oblong than an area so large leaves room for.
            oblong = (-area.log()).clamp(max=math.log(ASPECT))
            aspect = _between(-oblong, oblong, aspect).exp()
            size = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=1)
            centre = _between(-1, 1, torch.stack([x, y], dim=1)) * (1 - size)
            moved = _between(-2 * self.shift, 2 * self.shift, torch.stack([right, down], dim=1))
            angle = _between(-self.rotate, self.rotate, angle)
            mirrored = mirror < 0.5 * self.flip
            views = resampled(views, size, centre - moved, mirrored, angle)
        if self.jitter:
            span = 0.8 * self.jitter
            factors = _between(1 - span, 1 + span, torch.stack(jitter))
            views = colour_jitter(views, *sent(factors, images.device))
        return views


def _between(low: Tensor | float, high: Tensor | float, share: Tensor) -> Tensor:
    return low + (high - low) * share


def resampled(
    images: Tensor, size: Tensor, centre: Tensor, mirrored: Tensor, angle: Tensor
) -> Tensor:
    """What a window on each image shows, by bilinear interpolation. The edge's pixels go on
    beyond it.

    Args:
        images: float32 ``[B, C, H, W]``. All else is on the CPU.
        size: width and height of each window, float32 ``[B, 2]``; 1 is the whole image.
        centre: its centre, x and y, float32 ``[B, 2]``; -1 and 1 are the image's edges.
        mirrored: whether left and right then change places, bool ``[B]``.
        angle: degrees by which what is seen turns clockwise about the window's centre, as the
            window itself turns the other way; float32 ``[B]``.

    Returns:
        float32 ``[B, C, H, W]``: the window brought to the image's size.
    """
    high_by_wide = images.shape[2] / images.shape[3]
    cos, sin = angle.deg2rad().cos(), angle.deg2rad().sin()
    # From the window's coordinates to the image's, both -1 to 1 from edge to edge.
    x = torch.stack([cos, sin * high_by_wide], dim=1) * size
    y = torch.stack([-sin / high_by_wide, cos], dim=1) * size
    linear = torch.stack([x, y], dim=1)
    linear[:, :, 0] *= 1 - 2 * mirrored[:, None].to(linear.dtype)
    affine = sent(torch.cat([linear, centre[:, :, None]], dim=2), images.device)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    # An enlarged edge pixel reaches beyond its own centre, where black would be mixed in.
    return F.grid_sample(images, grid, "bilinear", padding_mode="border", align_corners=False)


def colour_jitter(
    images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor
) -> Tensor:
    """Scale the distance of images ``[B, C, H, W]`` from black, from their mean and from grey.

    By one factor an image, ``[B]`` each; 1 changes nothing. The result is clipped to 0–255.
    """
    for factor, dims in ((brightness, None), (contrast, (1, 2, 3)), (saturation, (1,))):
        origin = 0.0 if dims is None else images.mean(dims, keepdim=True)
        images = (origin + factor[:, None, None, None] * (images - origin)).clamp(0, 255)
    return images
