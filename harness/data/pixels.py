"""Image files as pixels: upright, of eight bits, and without transparency.

This file needs Pillow and NumPy alone: models that are shipped have a copy of it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000")
"""What a file may hold, whatever it is called: Pillow knows others that run programs (EPS). The
rare ones come last, as Pillow then looks for plugins it has not loaded yet. MPO comes as JPEG."""

BITS, INTERPRETATION, WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF, and a value of the second."""

RANGELESS = {"I": "32-bit integers", "F": "floating-point numbers"}
"""Modes whose pixels have no known range: what is black in them, and what white?"""

MAPPED = ("L", "P", "RGBA", "CMYK", "I;16", "I;16L", "I;16B")
"""Modes that Pillow maps into memory where a TIFF is not compressed."""


def is_image(path: Path) -> bool:
    """Whether a file begins as an image that can be opened, whatever its name."""
    try:
        with Image.open(path, formats=_formats()):
            return True
    except Exception:  # Pillow's parsers let through whatever a strange file provokes
        return False


def pixels(content: bytes) -> NDArray[np.uint8]:
    """The pixels of an image file, ``[H, W]`` where it is grey, or ``[H, W, 3]``.

    Raises:
        Exception: it cannot be decoded, or its pixels have no known range. What a damaged file
            raises depends on its format.
    """
    with opened(content) as image:
        return pixels_of(image)


def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def opened(content: bytes) -> Image.Image:
    """From memory: what Pillow maps into memory itself, it turns wrongly."""
    try:
        return Image.open(io.BytesIO(content), formats=_formats())
    except UnidentifiedImageError:
        raise ValueError(f"it is not one of {', '.join(_formats())}") from None


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    """``[H, W]`` or ``[H, W, 3]``."""
    depth, white_is_zero = bits(image), inverted(image)
    upright = ImageOps.exif_transpose(image)
    if depth:  # Pillow's own conversion would clip at 255
        grey = np.asarray(upright).astype(np.uint16) >> depth - 8
        return (255 - grey if white_is_zero else grey).astype(np.uint8)
    if upright.mode in RANGELESS:
        raise ValueError(
            f"its pixels are {RANGELESS[upright.mode]} of unknown range; save it with 8 or 16 bits"
        )
    flat = flattened(upright)
    return np.array(flat.convert("L" if upright.mode in ("1", "L") else "RGB"))


def bits(image: Image.Image) -> int:
    """How many bits a pixel of deep grey has; 0 of other images."""
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        return int(_tags(image).get(BITS, (16,))[0])
    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    return 16 if deep else 0


def inverted(image: Image.Image) -> bool:
    """Whether deep grey has white as zero, which Pillow sees to in eight bits only."""
    return image.format == "TIFF" and _tags(image).get(INTERPRETATION) == WHITE_IS_ZERO


def _tags(image: Image.Image) -> Any:
    return image.tag_v2  # type: ignore[attr-defined]  # a TIFF's


def flattened(image: Image.Image) -> Image.Image:
    """The image on white where it is transparent anywhere: what is stored below is not to be
    seen, and often is black throughout. Else the same image."""
    if not image.has_transparency_data or image.mode.startswith("I"):
        return image
    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema() == (255, 255):
        return image
    white = Image.new("RGBA", layered.size, "white")
    return Image.alpha_composite(white, layered)
