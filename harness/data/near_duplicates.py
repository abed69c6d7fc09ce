"""Images that are nearly the same: recompressed, resized, or cropped a little.

Coarse pixels propose pairs, of each image against all of another and against its four corners; the
window that fits best is then aligned, and the correlation of the aligned pixels decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32
"""Pixels of the squares that are compared."""

COARSE = 8
"""Pixels of the squares by which pairs are proposed."""

FINE = 16
"""Pixels of the squares whose correlation decides: what recompression does is finer."""

WINDOWS = ((1.0, 0.0, 0.0), *((0.93, x, y) for x in (0.0, 0.07) for y in (0.0, 0.07)))
"""Side, left and top of parts of an image, in its own sides, that another may be a copy of: all of
it, and four corners. A copy of what is between them is near enough to be proposed."""

PROPOSED = 0.9
"""Coarse correlation of a proposal, at least."""

NEIGHBOURS = 5
"""Proposals for an image, at most."""

ALIKE = 0.95
"""Aligned correlation of near duplicates, at least, as far as that is not usual in the data."""

SAME = 0.998
"""Aligned correlation by which images are near duplicates whatever is usual."""

UNUSUAL = 1 / 3
"""A near duplicate is nearer to an image than its middle neighbour by this factor, at least: where
all images are alike, such as digits on black, a high correlation means little."""

FLAT = 1.0
"""Grey levels by which pixels differ, as a root mean square, at least: less is noise."""

DETAIL = 0.8
"""Correlation of what is left of grey pixels without the plane that fits them best, at least: any
two skies or walls have that plane in common."""

STEPS = 6
"""Of Gauss and Newton, damped after Levenberg and Marquardt, by which a window is aligned."""

SHIFT = 0.01
"""By which parameters of a window differ for a derivative."""

CHUNK = 512
"""Pairs, or rows of images, at once."""


@dataclass(frozen=True)
class Pair:
    """Two images by their rows, the first lower, and the correlation of their aligned pixels."""

    one: int
    other: int
    correlation: float


def square(image: Tensor) -> Tensor:
    """What is compared of an image, uint8 ``[C, H, W]``: float32 ``[1 or 3, SIDE, SIDE]``, all of
    it, distorted."""
    channels = image[:3] if len(image) >= 3 else image[:1]
    pixels = F.interpolate(channels[None].float(), (SIDE, SIDE), mode="bilinear", antialias=True)
    return pixels[0]


def near_duplicates(squares: Sequence[Tensor], device: str = "cpu") -> list[Pair]:
    """Find pairs of images that are nearly the same, each once, the likeliest first.

    A crop is found where it has at least four fifths of the area; a turned or mirrored copy is not.
    Images of one colour, or that only grow darker to one side, have no near duplicates.

    Args:
        squares: what :func:`square` makes of each.
        device: where they are compared.
    """
    if not squares:
        return []
    colour = any(len(pixels) == 3 for pixels in squares)
    stacked = torch.stack([pixels.expand(3 if colour else 1, -1, -1) for pixels in squares]).to(
        device
    )
    known: dict[tuple[int, int], float] = {}
    for rows, others, windows in _proposals(stacked):
        found = _aligned(stacked, rows, others, windows)
        usual = found.new_full((len(stacked), NEIGHBOURS), PROPOSED)
        first = torch.searchsorted(rows, rows)
        usual[rows, torch.arange(len(rows), device=rows.device) - first] = found
        middle = usual.median(1).values[rows]
        sure = (found >= SAME) | ((found >= ALIKE) & (1 - found <= UNUSUAL * (1 - middle)))
        pairs = torch.stack([rows, others], 1)[sure].sort(1).values
        for (one, other), value in zip(pairs.tolist(), found[sure].tolist(), strict=True):
            known[one, other] = max(value, known.get((one, other), -1.0))
    pairs_found = [Pair(one, other, value) for (one, other), value in known.items()]
    return sorted(pairs_found, key=lambda pair: (-pair.correlation, pair.one, pair.other))


def _proposals(squares: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows in rising order, a few at a time, with others that each may be a copy of, and the
    windows, ``[n, 4]``, in which these were looked at."""
    windows = torch.tensor(WINDOWS, device=squares.device)
    side, left, top = windows.unbind(1)
    starts = torch.stack([side, side, 2 * left + side - 1, 2 * top + side - 1], 1)
    parts = [_unit(_through(squares, start.expand(len(squares), -1), COARSE)) for start in starts]
    for rows in torch.arange(len(squares), device=squares.device).split(CHUNK):
        best = squares.new_full((len(rows), len(squares)), -1.0)
        which = torch.zeros_like(best, dtype=torch.int64)
        for number, part in enumerate(parts):
            alike = parts[0][rows] @ part.T
            which = torch.where(alike > best, number, which)
            best = torch.maximum(best, alike)
        best.scatter_(1, rows[:, None], -1.0)
        found, others = best.topk(min(NEIGHBOURS, len(squares)), dim=1)
        near = found >= PROPOSED
        of_row = rows[:, None].expand_as(others)
        yield of_row[near], others[near], starts[which.gather(1, others)[near]]


def _aligned(squares: Tensor, rows: Tensor, others: Tensor, starts: Tensor) -> Tensor:
    """The correlation of each row's image with the window of the other that fits it best, found
    from where a window starts; no more than of a mere proposal where they have no detail in
    common."""
    if not len(rows):
        return squares.new_zeros(0)
    return torch.cat(
        [
            _fitted(squares[row], squares[other], start)
            for row, other, start in zip(
                rows.split(CHUNK), others.split(CHUNK), starts.split(CHUNK), strict=True
            )
        ]
    )


def _fitted(images: Tensor, others: Tensor, at: Tensor) -> Tensor:
    wanted = _unit(F.interpolate(images, (FINE, FINE), mode="area"))
    nudges = SHIFT * torch.eye(4, device=at.device)
    seen = _unit(_through(others, at, FINE))
    best = (seen * wanted).sum(1)
    damping = torch.full_like(best, 1e-3)
    for _ in range(STEPS):
        moved = [_unit(_through(others, at + nudge, FINE)) for nudge in nudges]
        slopes = torch.stack([(each - seen) / SHIFT for each in moved], 2)
        curved = slopes.mT @ slopes
        damped = curved + torch.diag_embed(
            curved.diagonal(dim1=1, dim2=2) * damping[:, None] + 1e-6
        )
        step = torch.linalg.solve(damped, (slopes.mT @ (wanted - seen)[:, :, None])[:, :, 0])
        tried = at + step.clamp(-0.1, 0.1)
        tried[:, :2] = tried[:, :2].clamp(0.75, 1.05)
        now = _unit(_through(others, tried, FINE))
        value = (now * wanted).sum(1)
        better = value > best
        at, best = torch.where(better[:, None], tried, at), torch.where(better, value, best)
        seen = torch.where(better[:, None], now, seen)
        damping = torch.where(better, damping / 3, damping * 5)
    details = _detail(F.interpolate(images, (FINE, FINE), mode="area"))
    alike = (details * _detail(_through(others, at, FINE))).sum(1)
    return torch.where(alike >= DETAIL, best, best.clamp_max(PROPOSED))


def _through(squares: Tensor, windows: Tensor, size: int) -> Tensor:
    """What is seen of each image through its window, ``[n, C, size, size]``.

    Args:
        windows: ``[n, 4]``, width and height in sides of the image, and the middle, from -1 to 1.
    """
    width, height, x, y = windows.unbind(1)
    none = torch.zeros_like(width)
    theta = torch.stack([width, none, x, none, height, y], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(squares.shape), align_corners=False)
    seen = F.grid_sample(squares, grid, padding_mode="border", align_corners=False)
    return F.interpolate(seen, (size, size), mode="area")


def _unit(pixels: Tensor) -> Tensor:
    """Pixels less their mean, of length 1, ``[n, pixels]``; of one colour only they stay 0."""
    flat = pixels.flatten(1)
    return _of_length_1(flat - flat.mean(1, keepdim=True))


def _detail(pixels: Tensor) -> Tensor:
    """Grey pixels less the plane that fits them best, likewise."""
    grey = pixels.mean(1)
    along = torch.linspace(-1, 1, grey.shape[-1], device=grey.device).expand(grey.shape[-1], -1)
    plane = torch.stack([along, along.T]).flatten(1)
    plane = plane / plane.norm(dim=1, keepdim=True)
    flat = grey.flatten(1)
    level = flat - flat.mean(1, keepdim=True)
    return _of_length_1(level - (level @ plane.T) @ plane)


def _of_length_1(pixels: Tensor) -> Tensor:
    length = pixels.norm(dim=1, keepdim=True)
    unit = pixels / length.clamp_min(1e-6)
    return torch.where(length > FLAT * pixels.shape[1] ** 0.5, unit, 0.0)
