"""Image files as pixels: upright, of eight bits, and without transparency."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000")
"""What a file may hold, whatever it is called: Pillow knows others that run programs (EPS). The
rare ones come last, as Pillow then looks for plugins it has not loaded yet. MPO comes as JPEG."""

BITS, INTERPRETATION, WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF, and a value of the second."""

RANGELESS = {"I": "32-bit integers", "F": "floating-point numbers"}
"""Modes whose pixels have no known range: what is black in them, and what white?"""

MAPPED = ("L", "P", "RGBA", "CMYK", "I;16", "I;16L", "I;16B")
"""Modes that Pillow maps into memory where a TIFF is not compressed."""


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


def is_image(path: Path) -> bool:
    """Whether a file begins as an image that can be opened, whatever its name."""
    try:
        with Image.open(path, formats=_formats()):
            return True
    except Exception:  # Pillow's parsers let through whatever a strange file provokes
        return False


def decode(content: bytes) -> Tensor:
    """The pixels of an image file, uint8 ``[1 or 3, H, W]``.

    Raises:
        Exception: it cannot be decoded, or its pixels have no known range. What a damaged file
            raises depends on its format.
    """
    with _opened(content) as image:
        pixels = _pixels(image)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)


def examine(content: bytes) -> Facts:
    """Decode an image file to see that it can be, and what there is to know of it.

    Raises:
        Exception: as :func:`decode` does.
    """
    with _opened(content) as image:
        # Before it is loaded: then a TIFF is upright already, and its tag is gone.
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
        frames = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
        mode, kind, packing = image.mode, image.format, image.info.get("compression")
        mapped = kind == "TIFF" and packing == "raw" and mode in MAPPED and turn in (5, 6, 7, 8)
        rescaled = mode.startswith("I;16") and (_bits(image), _inverted(image)) != (16, False)
        image.load()
        flattened = _flattened(image) is not image
        height, width, *colours = _pixels(image).shape
    deep = mode.startswith("I;16") and kind != "TIFF" and turn in range(2, 9)
    channels = 3 if colours else 1
    return Facts(height, width, channels, frames, mapped or deep, flattened, rescaled)


def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _opened(content: bytes) -> Image.Image:
    """From memory: what Pillow maps into memory itself, it turns wrongly."""
    try:
        return Image.open(io.BytesIO(content), formats=_formats())
    except UnidentifiedImageError:
        raise ValueError(f"it is not one of {', '.join(_formats())}") from None


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """``[H, W]`` or ``[H, W, 3]``."""
    bits, inverted = _bits(image), _inverted(image)
    upright = ImageOps.exif_transpose(image)
    if bits:  # Pillow's own conversion would clip at 255
        grey = np.asarray(upright).astype(np.uint16) >> bits - 8
        return (255 - grey if inverted else grey).astype(np.uint8)
    if upright.mode in RANGELESS:
        raise ValueError(
            f"its pixels are {RANGELESS[upright.mode]} of unknown range; save it with 8 or 16 bits"
        )
    flat = _flattened(upright)
    return np.array(flat.convert("L" if upright.mode in ("1", "L") else "RGB"))


def _bits(image: Image.Image) -> int:
    """How many bits a pixel of deep grey has; 0 of other images."""
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        return int(_tags(image).get(BITS, (16,))[0])
    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    return 16 if deep else 0


def _inverted(image: Image.Image) -> bool:
    """Whether deep grey has white as zero, which Pillow sees to in eight bits only."""
    return image.format == "TIFF" and _tags(image).get(INTERPRETATION) == WHITE_IS_ZERO


def _tags(image: Image.Image) -> Any:
    return image.tag_v2  # type: ignore[attr-defined]  # a TIFF's


def _flattened(image: Image.Image) -> Image.Image:
    """The image on white where it is transparent anywhere: what is stored below is not to be
    seen, and often is black throughout. Else the same image."""
    if not image.has_transparency_data or image.mode.startswith("I"):
        return image
    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema() == (255, 255):
        return image
    white = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(white, layered)
