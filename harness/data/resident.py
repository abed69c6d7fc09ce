"""Prepared inputs: on the device as one tensor where they fit, streamed in batches where not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import tee

import psutil
import torch
from torch import Tensor

from harness.data.examples import Inputs, Pool, RawInputs, sent, tensor_digest
from harness.data.streamed import Preprocess, StreamedPool, read_ahead

CPU = torch.device("cpu")

SHARE_OF_MEMORY = 0.25
"""Of the free memory, what one pool may take."""


class ResidentPool:
    """All prepared inputs of a split, one tensor ``[N, ...]`` on the device."""

    held = "device"

    def __init__(self, prepared: Tensor, digest: str | None = None) -> None:
        self.prepared = prepared
        self.digest = digest or tensor_digest(prepared)

    def __len__(self) -> int:
        return len(self.prepared)

    def take(self, rows: Tensor) -> Tensor:
        return self.prepared[sent(rows, self.prepared.device)]

    def stream(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        return map(self.take, batches)


class RotatedPool:
    """Square images, then the same turned by 90, 180 and 270 degrees: ``4 N`` inputs."""

    def __init__(self, upright: Pool) -> None:
        self.upright = upright
        self.held = upright.held
        self.digest = f"rotated-{upright.digest}"

    def __len__(self) -> int:
        return 4 * len(self.upright)

    def take(self, rows: Tensor) -> Tensor:
        return self._turned(self.upright.take(rows % len(self.upright)), rows)

    def stream(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        batches, again = tee(batches)
        upright = self.upright.stream(rows % len(self.upright) for rows in batches)
        for images, rows in zip(upright, again, strict=True):
            yield self._turned(images, rows)

    def _turned(self, images: Tensor, rows: Tensor) -> Tensor:
        turns = rows // len(self.upright)
        for quarter in (1, 2, 3):
            # As places and not as a mask, of which a GPU would have to say how much it selects.
            turned = sent((turns == quarter).nonzero().flatten(), images.device)
            images[turned] = images[turned].rot90(quarter, (-2, -1))
        return images


def make_pool(raw: RawInputs, preprocess: Preprocess, device: torch.device) -> Pool:
    """Prepare a split for a device: resident if it takes at most a quarter of the memory that is
    free there and on the host, where it is prepared; else streamed."""
    return placed(on_host(raw, preprocess), raw, preprocess, device)


def on_host(raw: RawInputs, preprocess: Preprocess, threads: int | None = None) -> Pool:
    """Prepare a split for the CPU, by ``threads`` as ``read_ahead`` has them."""
    sample = preprocess(raw.read([0]))
    if not _fits(sample.numel() * sample.element_size() * len(raw), CPU):
        return StreamedPool(raw, preprocess, CPU, threads)
    everything = [torch.arange(len(raw))]
    (prepared,) = read_ahead(
        lambda rows: preprocess(raw.read(rows)), everything, sample, threads=threads
    )
    return ResidentPool(prepared)


def placed(
    host: Pool,
    raw: RawInputs,
    preprocess: Preprocess,
    device: torch.device,
    threads: int | None = None,
) -> Pool:
    """What was prepared for the CPU, for another device."""
    if device == CPU:
        return host
    if isinstance(host, ResidentPool) and _fits(host.prepared.nbytes, device):
        return ResidentPool(host.prepared.to(device), host.digest)
    return StreamedPool(raw, preprocess, device, threads)


def held(inputs: Inputs) -> Inputs:
    """The same inputs, read once for many uses, where they are streamed and would fit."""
    if inputs.pool.held == "device":
        return inputs
    first = inputs[:1]
    if not _fits(first.nbytes * len(inputs), first.device):
        return inputs
    return Inputs(ResidentPool(inputs[:]), torch.arange(len(inputs)))


def _fits(needed: int, device: torch.device) -> bool:
    return needed <= SHARE_OF_MEMORY * free_bytes(device)


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be taken on the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def rows_of(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Positions of the examples of ``classes``, class by class in the given order."""
    return torch.cat([torch.nonzero(labels == label).flatten() for label in classes])
