"""Weather in front of an image, float ``[C, H, W]``: fog, snow and frost.

Hendrycks & Dietterich lay parts of photographs of frozen windows over an image; the frost here is
drawn, and so is the snow, by the recipe that they tell. Neither is the original.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness_plugins.datasets._blurs import Image, enlarged, motion

LUMA = np.array([0.299, 0.587, 0.114])
"""Of red, green and blue in grey (ITU-R BT.601)."""

ICE = np.array([0.86, 0.93, 1.0])
"""The colour of frost that is lit by the sky."""


def fog(image: Image, thickness: float, decay: float, draws: np.random.Generator) -> Image:
    """The image behind clouds of brightness, as bright at most as it was."""
    _, height, width = image.shape
    clouds = plasma(height, width, decay, draws)
    brightest = float(image.max())
    return (image + thickness * clouds) * brightest / (brightest + thickness)


def plasma(height: int, width: int, decay: float, draws: np.random.Generator) -> Image:
    """A fractal landscape of heights 0–1, ``[height, width]``, by the diamond-square algorithm
    (Fournier et al. 1982) on a torus; at half the distance it is rougher by ``decay ** -2``."""
    step = size = 1 << (max(height, width, 2) - 1).bit_length()
    land = np.zeros((size, size))
    roughness = 1.0

    def between(*neighbours: Image) -> Image:
        mean: Image = np.mean(neighbours, axis=0)
        return mean + draws.uniform(-roughness, roughness, mean.shape)

    while step > 1:
        half = step // 2
        corners = land[::step, ::step]
        south, east = np.roll(corners, -1, 0), np.roll(corners, -1, 1)
        middles = between(corners, south, east, np.roll(south, -1, 1))
        land[half::step, half::step] = middles
        land[::step, half::step] = between(middles, np.roll(middles, 1, 0), corners, east)
        land[half::step, ::step] = between(middles, np.roll(middles, 1, 1), corners, south)
        step, roughness = half, roughness / decay**2
    part: Image = (land[:height, :width] - land.min()) / np.ptp(land)
    return part


def snow(
    image: Image,
    mean: float,
    spread: float,
    size: float,
    least: float,
    radius: int,
    sigma: float,
    kept: float,
    draws: np.random.Generator,
) -> Image:
    """Falling flakes in front of a paler image.

    Args:
        mean: of the noise that flakes are made of; ``spread`` is its standard deviation.
        size: how many times it is enlarged.
        least: the noise that is a flake.
        radius: of the motion blur that lets flakes fall, in pixels, as ``sigma``.
        kept: of the image's own colours; the rest is whitened.
    """
    noise = draws.normal(mean, spread, (1, *image.shape[1:]))
    flakes = enlarged(noise, np.array([size]))[0]
    flakes = np.where(flakes < least, 0, flakes).clip(0, 1)
    flakes = motion(flakes, radius, sigma, draws.uniform(-135, -45))
    whitened = np.maximum(image, grey(image) * 1.5 + 0.5)
    return kept * image + (1 - kept) * whitened + flakes + flakes[:, ::-1, ::-1]


def grey(image: Image) -> Image:
    """The brightness of an image, ``[1, H, W]``."""
    weights: NDArray[np.float64] = LUMA if len(image) == 3 else np.ones(1)
    return np.tensordot(weights, image, 1)[None]


def frost(image: Image, kept: float, thickness: float, draws: np.random.Generator) -> Image:
    """Ice on the window before the image."""
    return kept * image + thickness * ice(image, draws)


def ice(image: Image, draws: np.random.Generator) -> Image:
    """Needles of ice in three directions, dense on the ridges of a landscape; as large as the
    image, 0–1."""
    _, height, width = image.shape
    land = plasma(height, width, 1.3, draws)
    ridges = (1 - np.abs(2 * land - 1)) ** 2
    length = max(1, max(height, width) // 8)
    needles = np.zeros((1, height, width))
    for turn in draws.uniform(0, 60) + np.array([0, 60, 120]):
        seeds = draws.random((1, height, width)) ** 40 * ridges
        # From a seed a needle grows both ways.
        for degrees in (turn, turn + 180):
            needles += motion(seeds, length, length / 2, degrees)
    needles /= max(needles.max(), 1e-12)
    bright = (0.1 + 0.4 * ridges + 0.9 * np.sqrt(needles) * (0.2 + ridges)).clip(0, 1)
    return bright * (ICE[:, None, None] if len(image) == 3 else 1)
