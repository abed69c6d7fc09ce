"""Thumbnails are small, and exact where the image is small itself."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.thumbnails import SIDE, thumbnail


def opened(told: str) -> Image.Image:
    kind, _, content = told.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
    assert kind == f"image/{image.format.lower()}"
    return image


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_keeps_every_pixel(channels: int) -> None:
    pixels = torch.randint(0, 256, (channels, 8, 9), dtype=torch.uint8)
    shown = np.asarray(opened(thumbnail(pixels)))
    assert np.array_equal(shown.reshape(8, 9, channels), pixels.permute(1, 2, 0).numpy())


def test_a_large_image_becomes_small_and_keeps_its_shape() -> None:
    image = opened(thumbnail(torch.full((3, 300, 150), 200, dtype=torch.uint8)))
    assert image.size == (SIDE // 2, SIDE)
    assert np.abs(np.asarray(image).astype(int) - 200).max() <= 2


def test_other_channels_are_not_shown() -> None:
    pixels = torch.randint(0, 256, (5, 4, 4), dtype=torch.uint8)
    assert thumbnail(pixels) == thumbnail(pixels[:3])
    assert thumbnail(pixels[:2]) == thumbnail(pixels[:1])


@pytest.mark.parametrize(
    ("shape", "kind"), [((1, 32, 32), "png"), ((3, 16, 16), "png"), ((3, 32, 32), "jpeg")]
)
def test_no_thumbnail_takes_many_bytes(shape: tuple[int, ...], kind: str) -> None:
    noise = torch.randint(0, 256, shape, dtype=torch.uint8)
    told = thumbnail(noise)
    assert told.startswith(f"image/{kind};")
    assert len(told) < 3000
