"""Small pictures of images, to be shown and never learned from."""

from __future__ import annotations

import base64
import io

from PIL import Image
from torch import Tensor

SIDE = 64
"""Pixels of a thumbnail's longer side, at most."""

EXACT = 1024
"""Values up to which each is kept: so small an image has none to lose, and as a PNG few bytes."""


def thumbnail(pixels: Tensor) -> str:
    """Make a picture of an image, uint8 ``[C, H, W]``: of its first three channels or its first.

    Returns:
        What follows ``data:`` in the address of an embedded picture: ``image/png;base64,…`` or
        ``image/jpeg;base64,…``.
    """
    shown = pixels[:3] if len(pixels) >= 3 else pixels[0]
    image = Image.fromarray((shown.permute(1, 2, 0) if shown.ndim == 3 else shown).numpy())
    kind, options = ("png", {}) if shown.numel() <= EXACT else ("jpeg", {"quality": 80})
    image.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    image.save(content, kind, **options)
    return f"image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
