"""Inputs that do not fit: read and prepared by threads, a few batches ahead of their use."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from harness.data.examples import RawBatch, RawInputs, tensor_digest
from harness.hashing import sha256

T = TypeVar("T")

Preprocess = Callable[[RawBatch], Tensor]

AHEAD = 4
"""Batches that are read before they are asked for. Few, for they lie in memory."""

FEWEST, MOST = 8, 256
"""Rows that a thread takes at once: enough to be worth a hand-over, few enough to stop soon."""


class StreamedPool:
    """Inputs that are read and prepared each time they are asked for.

    Strategies hold pools, and may not find their way from one to the files: a folder's names are
    labels. So a pool does not have its raw inputs as an attribute, nor has what it hands out.
    Threads read them, because other processes would have to be sent them; what comes out does not
    depend on how many.
    """

    held = "streamed"

    def __init__(
        self,
        raw: RawInputs,
        preprocess: Preprocess,
        device: torch.device,
        threads: int | None = None,
    ) -> None:
        _raw[self] = raw
        self.preprocess, self.device, self._threads = preprocess, device, threads
        first = preprocess(raw.read(range(min(8, len(raw)))))
        self._like = first[:1]
        self.digest = sha256(f"{raw.digest()}:{tensor_digest(first)}")

    def __len__(self) -> int:
        return len(_raw[self])

    def take(self, rows: Tensor) -> Tensor:
        (batch,) = self.stream([rows])
        return batch

    def stream(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        pinned = self.device.type == "cuda"
        read = read_ahead(self._prepared, batches, self._like, pinned=pinned, threads=self._threads)
        for batch in read:
            yield batch.to(self.device, non_blocking=True)

    def _prepared(self, rows: list[int]) -> Tensor:
        return self.preprocess(_raw[self].read(rows))


_raw: WeakKeyDictionary[StreamedPool, RawInputs] = WeakKeyDictionary()


def read_ahead(
    prepare: Callable[[list[int]], Tensor],
    batches: Iterable[Tensor],
    like: Tensor,
    *,
    pinned: bool = False,
    threads: int | None = None,
) -> Iterator[Tensor]:
    """The prepared inputs of each batch, in order, read by ``threads``: by default as many as torch
    computes with.

    Nothing is read until the first batch is asked for; from then on :data:`AHEAD` batches are read
    besides the one that is waited for. The threads have ended when the iterator has, and when it
    is closed or dropped; they then finish the rows they are at, and no others.

    Args:
        prepare: gives the prepared inputs at some rows. Several threads call it at once.
        batches: the rows of each batch, int64 on the CPU; asked for in the caller's thread.
        like: a prepared input ``[1, ...]``, for its shape and dtype.
        pinned: put batches into page-locked memory, from where a GPU copies while others compute.

    Raises:
        Exception: what ``prepare`` raised, in place of the batch that it was raised for.
    """
    before = torch.get_num_threads()
    threads = threads or before
    # One thread of torch's in each: threads that each ask for several get in each other's way.
    workers = ThreadPoolExecutor(threads, "reader", torch.set_num_threads, (1,))

    def fill(part: Tensor, rows: list[int]) -> None:
        part.copy_(prepare(rows))

    def begin(rows: Tensor) -> tuple[Tensor, list[Future[None]]]:
        size = min(max(FEWEST, math.ceil(len(rows) / (4 * threads))), MOST)
        shape = len(rows), *like.shape[1:]
        # A tensor made in inference mode could not be filled by threads that are not in it.
        with torch.inference_mode(False):
            batch = torch.empty(shape, dtype=like.dtype, device="cpu", pin_memory=pinned)
            parts = [slice(start, start + size) for start in range(0, len(rows), size)]
            return batch, [workers.submit(fill, batch[p], rows[p].tolist()) for p in parts]

    try:
        for batch, parts in begun_ahead(map(begin, batches), AHEAD):
            for part in parts:
                part.result()
            yield batch
    finally:
        workers.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # the workers' choice is also that of threads to come


def begun_ahead(items: Iterator[T], count: int) -> Iterator[T]:
    """The same items in the same order, each given when ``count`` more were taken."""
    waiting = deque(islice(items, count))
    for item in items:
        waiting.append(item)
        yield waiting.popleft()
    yield from waiting
