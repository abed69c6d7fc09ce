"""Prepared inputs: on the device as one tensor where they fit, read in batches where not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import psutil
import torch
from torch import Tensor

from harness.data.examples import Pool, RawBatch, RawInputs, tensor_digest

Preprocess = Callable[[RawBatch], Tensor]

BATCH = 256
SHARE_OF_MEMORY = 0.25
"""Of the device's free memory, what one pool may take."""


class ResidentPool:
    """All prepared inputs of a split, one tensor ``[N, ...]`` on the device."""

    def __init__(self, prepared: Tensor) -> None:
        self.prepared = prepared
        self.digest = tensor_digest(prepared)

    def __len__(self) -> int:
        return len(self.prepared)

    def take(self, rows: Tensor) -> Tensor:
        return self.prepared[rows.to(self.prepared.device)]


class StreamedPool:
    """Inputs that are read and prepared each time they are asked for.

    Strategies hold pools, and may not find their way from one to the files: a folder's names are
    labels. So a pool does not have its raw inputs as an attribute.
    """

    def __init__(self, raw: RawInputs, preprocess: Preprocess, device: torch.device) -> None:
        _raw[self] = raw
        self.preprocess, self.device = preprocess, device
        first = tensor_digest(preprocess(raw.read(range(min(8, len(raw))))))
        self.digest = hashlib.sha256(f"{raw.digest()}:{first}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(_raw[self])

    def take(self, rows: Tensor) -> Tensor:
        return self.preprocess(_raw[self].read(rows.tolist())).to(self.device, non_blocking=True)


_raw: WeakKeyDictionary[StreamedPool, RawInputs] = WeakKeyDictionary()


class RotatedPool:
    """Square images, then the same turned by 90, 180 and 270 degrees: ``4 N`` inputs."""

    def __init__(self, upright: Pool) -> None:
        self.upright = upright
        self.digest = f"rotated-{upright.digest}"

    def __len__(self) -> int:
        return 4 * len(self.upright)

    def take(self, rows: Tensor) -> Tensor:
        turns, upright = rows // len(self.upright), rows % len(self.upright)
        images = self.upright.take(upright)
        for quarter in (1, 2, 3):
            turned = (turns == quarter).to(images.device)
            images[turned] = images[turned].rot90(quarter, (-2, -1))
        return images


def make_pool(raw: RawInputs, preprocess: Preprocess, device: torch.device) -> Pool:
    """Prepare a split: resident if that takes at most a quarter of the free memory."""
    sample = preprocess(raw.read([0]))
    needed = sample.numel() * sample.element_size() * len(raw)
    if needed > SHARE_OF_MEMORY * free_bytes(device):
        return StreamedPool(raw, preprocess, device)
    prepared = torch.empty((len(raw), *sample.shape[1:]), dtype=sample.dtype)
    for start in range(0, len(raw), BATCH):
        rows = range(start, min(start + BATCH, len(raw)))
        prepared[rows.start : rows.stop] = preprocess(raw.read(rows))
    return ResidentPool(prepared.to(device))


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be taken on the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def rows_of(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Positions of the examples of ``classes``, class by class in the given order."""
    return torch.cat([torch.nonzero(labels == label).flatten() for label in classes])
