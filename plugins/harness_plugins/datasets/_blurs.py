"""Blurs of an image, float ``[C, H, W]``: defocus, frosted glass, motion and zoom."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

Image: TypeAlias = NDArray[np.float64]


def defocus(image: Image, radius: float, smoothing: float) -> Image:
    """The image through a round aperture, mirrored at the edges."""
    kernel = disk(radius, smoothing)
    reach = len(kernel) // 2
    padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    channels = torch.from_numpy(padded).float()[:, None]
    weights = torch.from_numpy(kernel).float()[None, None]
    return F.conv2d(channels, weights)[:, 0].double().numpy()


def disk(radius: float, smoothing: float) -> Image:
    """Equal weights within ``radius`` pixels, smoothed by a Gaussian of ``smoothing`` pixels that
    is cut off after one pixel, or after two for large disks; their sum is 1."""
    cut = 1 if radius <= 8 else 2
    reach = math.floor(radius) + cut
    squares = np.arange(-reach, reach + 1) ** 2
    flat = (squares[:, None] + squares <= radius**2).astype(np.float64)
    taps = np.exp(-(np.arange(-cut, cut + 1) ** 2) / (2 * smoothing**2))
    taps /= taps.sum()
    smooth: Image = ndimage.convolve1d(ndimage.convolve1d(flat, taps, 0), taps, 1)
    smooth /= smooth.sum()
    return smooth


def glass(image: Image, sigma: float, reach: int, rounds: int, draws: np.random.Generator) -> Image:
    """The image where each pixel takes the colour of one that is up to ``reach`` pixels away,
    ``rounds`` times, between two Gaussian blurs of ``sigma`` pixels."""
    _, height, width = image.shape
    rows, columns = np.indices((height, width))
    image = ndimage.gaussian_filter(image, (0, sigma, sigma), mode="nearest")
    for _ in range(rounds):
        down, right = draws.integers(-reach, reach, (2, height, width))
        image = image[:, (rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)]
    return ndimage.gaussian_filter(image, (0, sigma, sigma), mode="nearest")


def motion(image: Image, radius: int, sigma: float, degrees: float) -> Image:
    """The image drawn out along a line: each pixel is a mean of those that lie in a direction from
    it, with the weights of half a Gaussian of ``sigma`` pixels; edges are repeated. ImageMagick's
    motion blur does the same, over ``2 * radius + 1`` pixels."""
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    angle = math.radians(degrees)
    down = np.ceil(steps * math.sin(angle) - 0.5).astype(int)
    right = np.ceil(steps * math.cos(angle) - 0.5).astype(int)
    _, height, width = image.shape
    reach = 2 * radius + 1
    padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    blurred = np.zeros_like(image)
    for weight, y, x in zip(weights, reach + down, reach + right, strict=True):
        blurred += weight * padded[:, y : y + height, x : x + width]
    return blurred


def zoom(image: Image, factors: NDArray[np.float64]) -> Image:
    """The mean of the image and of all its enlargements by ``factors``."""
    mean: Image = (image + enlarged(image, factors).sum(0)) / (len(factors) + 1)
    return mean


def enlarged(image: Image, factors: NDArray[np.float64]) -> Image:
    """The middle of the image by each factor as large, ``[factors, C, H, W]``, interpolated
    linearly."""
    maps = torch.zeros(len(factors), 2, 3, dtype=torch.float64)
    maps[:, 0, 0] = maps[:, 1, 1] = torch.from_numpy(1 / factors)
    size = len(factors), *image.shape
    grid = F.affine_grid(maps, list(size), align_corners=False)
    images = torch.from_numpy(image).expand(size)
    sampled = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return sampled.numpy()
