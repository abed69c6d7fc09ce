"""Image files as tensors, and what there is to know of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import ExifTags
from torch import Tensor

from harness.data.pixels import MAPPED, bits, flattened, inverted, opened, pixels, pixels_of


@dataclass(frozen=True)
class Facts:
    """What is known of a file that was decoded: its size in pixels, upright, its channels, whether
    it has more frames than the first, which is used, and what corrections have changed in its
    pixels since such files were first decoded: see :data:`CORRECTIONS`."""

    height: int
    width: int
    channels: int = 3
    frames: bool = False
    turned: bool = False
    flattened: bool = False
    rescaled: bool = False


CORRECTIONS = {
    "turned": "images upright",
    "flattened": "transparency on white",
    "rescaled": "TIFF of 12 bits or with white as zero",
}
"""Names of what changed in the pixels of some files, for the meaning of cells that see them."""


def decode(content: bytes) -> Tensor:
    """The pixels of an image file, uint8 ``[1 or 3, H, W]``.

    Raises:
        Exception: as :func:`harness.data.pixels.pixels`.
    """
    found = pixels(content)
    return torch.from_numpy(found.reshape(*found.shape[:2], -1)).permute(2, 0, 1)


def examine(content: bytes) -> Facts:
    """Decode an image file to see that it can be, and what there is to know of it.

    Raises:
        Exception: as :func:`decode` does.
    """
    with opened(content) as image:
        # Before it is loaded: then a TIFF is upright already, and its tag is gone.
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
        frames = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
        mode, kind, packing = image.mode, image.format, image.info.get("compression")
        mapped = kind == "TIFF" and packing == "raw" and mode in MAPPED and turn in (5, 6, 7, 8)
        rescaled = mode.startswith("I;16") and (bits(image), inverted(image)) != (16, False)
        image.load()
        transparent = flattened(image) is not image
        height, width, *colours = pixels_of(image).shape
    deep = mode.startswith("I;16") and kind != "TIFF" and turn in range(2, 9)
    channels = 3 if colours else 1
    return Facts(height, width, channels, frames, mapped or deep, transparent, rescaled)
