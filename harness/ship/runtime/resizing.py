"""Resize images of eight bits as torchvision does on a CPU, to the last bit.

That is a triangle or a cubic filter that is widened where an image shrinks, with weights of whole
numbers, along rows first and then along columns, rounded in between. This file needs NumPy alone:
models that are shipped have a copy of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""[H, W, channels]"""

SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
"""How far a filter reaches, in pixels of an image that does not shrink."""

CUBIC = -0.5
"""The cubic filter's only parameter (Keys 1981)."""


def fitted(
    image: Pixels, side: int, fit: str | None, interpolation: str, bars: list[int]
) -> Pixels:
    """Make an image a square of ``side`` pixels: ``crop`` (also where nothing is said) keeps the
    middle, ``squash`` distorts, and ``pad`` puts all of it between ``bars`` of this colour."""
    height, width = image.shape[:2]
    if (height, width) == (side, side):
        return image
    if fit == "squash":
        return resized(image, side, side, interpolation)
    if fit == "pad":
        longer = max(height, width)
        rows, columns = (max(1, round(side * edge / longer)) for edge in (height, width))
        square = np.empty((side, side, image.shape[2]), np.uint8)
        square[:] = np.array(bars, np.uint8)
        top, left = (side - rows) // 2, (side - columns) // 2
        inner = resized(image, rows, columns, interpolation)
        square[top : top + rows, left : left + columns] = inner
        return square
    shorter = min(height, width)
    rows, columns = (
        side if edge == shorter else int(side * edge / shorter) for edge in (height, width)
    )
    whole = resized(image, rows, columns, interpolation)
    top, left = (round((edge - side) / 2) for edge in (rows, columns))
    return whole[top : top + side, left : left + side]


def resized(image: Pixels, height: int, width: int, interpolation: str) -> Pixels:
    """Resize an image; a side that stays as it is is not touched."""
    if image.shape[1] != width:
        image = _along(image, width, interpolation)
    if image.shape[0] != height:
        turned = image.transpose(1, 0, 2)
        image = _along(turned, height, interpolation).transpose(1, 0, 2)
    return image


def _along(image: Pixels, size: int, interpolation: str) -> Pixels:
    """Resize the second axis."""
    weights, precision = _weights(image.shape[1], size, interpolation)
    half = 1 << (precision - 1)
    found = np.empty((image.shape[0], size, image.shape[2]), np.uint8)
    wide = image.astype(np.int32)
    for place, (first, own) in enumerate(weights):
        total = np.tensordot(wide[:, first : first + len(own)], own, axes=(1, 0)) + half
        found[:, place] = np.clip(total >> precision, 0, 255)
    return found


def _weights(
    given: int, wanted: int, interpolation: str
) -> tuple[list[tuple[int, NDArray[np.int32]]], int]:
    """For each new pixel the first that it is made of, and the weights of that one and the next;
    and how many bits these have behind the point."""
    scale = given / wanted
    widened = max(scale, 1.0)
    reach = SUPPORT[interpolation] * widened
    places = []
    for place in range(wanted):
        centre = scale * (place + 0.5)
        first = max(int(centre - reach + 0.5), 0)
        last = min(int(centre + reach + 0.5), given)
        distance = (np.arange(first, last) - centre + 0.5) / widened
        own = _filter(np.abs(distance), interpolation)
        places.append((first, own / own.sum()))
    largest = max(own.max() for _, own in places)
    precision = 0
    while precision < 22 and int(0.5 + largest * (1 << (precision + 1))) < 1 << 15:
        precision += 1
    whole = [
        (first, np.trunc(own * (1 << precision) + np.where(own < 0, -0.5, 0.5)).astype(np.int32))
        for first, own in places
    ]
    return whole, precision


def _filter(distance: NDArray[np.float64], interpolation: str) -> NDArray[np.float64]:
    if interpolation == "bilinear":
        return np.maximum(1 - distance, 0)
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance - 4
    return np.where(distance < 1, near, np.where(distance < 2, CUBIC * far, 0))
