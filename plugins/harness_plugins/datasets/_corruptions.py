"""The fifteen common corruptions of Hendrycks & Dietterich 2019, each at five severities.

Parameters are theirs: those of CIFAR-10-C for images whose shorter side is below 64 pixels, those
of ImageNet-C for others. What they count in pixels is in pixels of the image here too, but for
the elastic transform, which they scale with the image in CIFAR-10-C and is scaled so in both. In
:mod:`._weather` stands what is not as theirs.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image as Pillow
from scipy import ndimage
from torch import Tensor

from harness_plugins.datasets import _blurs, _weather
from harness_plugins.datasets._blurs import Image

Draws: TypeAlias = np.random.Generator

SMALL = 64
"""Pixels of the shorter side, from which on an image is corrupted as ImageNet's are."""

ELASTIC = 244 / 224
"""What ImageNet-C takes for a side, by the side of its images."""


@dataclass(frozen=True)
class Corruption:
    """What changes an image, and the parameters that it is given at severities 1 to 5."""

    apply: Callable[..., Image]
    small: tuple[Any, ...]
    large: tuple[Any, ...]


def corrupt(pixels: Tensor, corruption: str, severity: int, draws: Draws) -> Tensor:
    """A corrupted image, uint8 ``[1 or 3, H, W]`` as the given one."""
    kind = CORRUPTIONS[corruption]
    parameters = (kind.small if min(pixels.shape[1:]) < SMALL else kind.large)[severity - 1]
    image = pixels.numpy().astype(np.float64) / 255
    given = parameters if isinstance(parameters, tuple) else (parameters,)
    return torch.from_numpy(_whole(kind.apply(image, *given, draws)))


def _whole(image: Image) -> Any:
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def gaussian_noise(image: Image, scale: float, draws: Draws) -> Image:
    return image + draws.normal(0, scale, image.shape)


def shot_noise(image: Image, photons: float, draws: Draws) -> Image:
    return draws.poisson(image * photons) / photons


def impulse_noise(image: Image, share: float, draws: Draws) -> Image:
    """Black or white, by the toss of a coin, in a share of the values of each channel."""
    hit, white = draws.random((2, *image.shape))
    return np.where(hit < share, white < 0.5, image)


def defocus_blur(image: Image, radius: float, smoothing: float, draws: Draws) -> Image:
    return _blurs.defocus(image, radius, smoothing)


def motion_blur(image: Image, radius: int, sigma: float, draws: Draws) -> Image:
    return _blurs.motion(image, radius, sigma, draws.uniform(-45, 45))


def zoom_blur(image: Image, end: float, step: float, draws: Draws) -> Image:
    return _blurs.zoom(image, np.arange(1, end, step))


def brightness(image: Image, more: float, draws: Draws) -> Image:
    """``more`` of the value in HSV: the colours keep their hue and saturation."""
    value = image.max(0)
    lifted = (value + more).clip(0, 1)
    scale = np.where(value > 0, value, 1)
    brighter: Image = np.where(value > 0, image * lifted / scale, lifted)
    return brighter


def contrast(image: Image, kept: float, draws: Draws) -> Image:
    """Closer to the mean of each channel."""
    mean: Image = image.mean((1, 2), keepdims=True)
    return mean + kept * (image - mean)


def elastic_transform(
    image: Image, strength: float, smoothness: float, shear: float, draws: Draws
) -> Image:
    """The image on stretched rubber: a random affine map, and after it shifts of single pixels.

    Args:
        strength: of the shifts, as a share of the shorter side; ``smoothness`` is likewise the
            deviation of the Gaussian that makes neighbours shift alike.
        shear: how far the affine map moves three points, likewise.
    """
    _, height, width = image.shape
    side = min(height, width)
    third = max(1, side // 3)
    points = np.array([[third, third], [third, -third], [-third, -third]], dtype=np.float64)
    moved = points + draws.uniform(-shear * side, shear * side, points.shape)
    # Where a pixel comes from is asked, so the map goes from where points are moved to.
    affine = np.linalg.solve(np.column_stack([moved, np.ones(3)]), points)
    shifts = draws.uniform(-1, 1, (2, height, width))
    deviation = smoothness * side
    shifts = ndimage.gaussian_filter(
        shifts, (0, deviation, deviation), mode="reflect", truncate=3.0
    )
    middle = np.array([height // 2, width // 2])[:, None, None]
    places = np.indices((height, width)) - middle + strength * side * shifts
    origin = np.tensordot(affine[:2].T, places, 1) + affine[2][:, None, None] + middle
    return np.stack([ndimage.map_coordinates(one, origin, order=1, mode="mirror") for one in image])


def pixelate(image: Image, share: float, draws: Draws) -> Image:
    picture = _picture(image)
    width, height = picture.size
    small = max(1, int(width * share)), max(1, int(height * share))
    coarse = picture.resize(small, Pillow.Resampling.BOX)
    return _image(coarse.resize((width, height), Pillow.Resampling.BOX))


def jpeg_compression(image: Image, quality: int, draws: Draws) -> Image:
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=quality)
    with Pillow.open(file) as picture:
        return _image(picture)


def _picture(image: Image) -> Pillow.Image:
    pixels = _whole(image)
    return Pillow.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, 2))


def _image(picture: Pillow.Image) -> Image:
    pixels = np.atleast_3d(np.asarray(picture, dtype=np.float64))
    return np.moveaxis(pixels, 2, 0) / 255


CORRUPTIONS: Mapping[str, Corruption] = {
    "gaussian_noise": Corruption(
        gaussian_noise, small=(0.04, 0.06, 0.08, 0.09, 0.10), large=(0.08, 0.12, 0.18, 0.26, 0.38)
    ),
    "shot_noise": Corruption(shot_noise, small=(500, 250, 100, 75, 50), large=(60, 25, 12, 5, 3)),
    "impulse_noise": Corruption(
        impulse_noise, small=(0.01, 0.02, 0.03, 0.05, 0.07), large=(0.03, 0.06, 0.09, 0.17, 0.27)
    ),
    "defocus_blur": Corruption(
        defocus_blur,
        small=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        large=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "glass_blur": Corruption(
        _blurs.glass,
        small=((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        large=((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "motion_blur": Corruption(
        motion_blur,
        small=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        large=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "zoom_blur": Corruption(
        zoom_blur,
        small=((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        large=((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
    "snow": Corruption(
        _weather.snow,
        small=(
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        large=(
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "frost": Corruption(
        _weather.frost,
        small=((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        large=((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    ),
    "fog": Corruption(
        _weather.fog,
        small=((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        large=((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "brightness": Corruption(
        brightness, small=(0.05, 0.1, 0.15, 0.2, 0.3), large=(0.1, 0.2, 0.3, 0.4, 0.5)
    ),
    "contrast": Corruption(
        contrast, small=(0.75, 0.5, 0.4, 0.3, 0.15), large=(0.4, 0.3, 0.2, 0.1, 0.05)
    ),
    "elastic_transform": Corruption(
        elastic_transform,
        small=(
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        large=tuple(
            tuple(ELASTIC * share for share in shares)
            for shares in (
                (2, 0.7, 0.1),
                (2, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            )
        ),
    ),
    "pixelate": Corruption(
        pixelate, small=(0.95, 0.9, 0.85, 0.75, 0.65), large=(0.6, 0.5, 0.4, 0.3, 0.25)
    ),
    "jpeg_compression": Corruption(
        jpeg_compression, small=(80, 65, 58, 50, 40), large=(25, 18, 15, 10, 7)
    ),
}
