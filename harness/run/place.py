"""Where cells run, and where what they leave goes: folders, devices, and as many workers as there
is room for."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from harness.errors import HarnessError
from harness.executor import Executor
from harness.record.caches import caches
from harness.record.files import make_folder
from harness.record.locks import is_locked, locked, why_none
from harness.record.provenance import cores
from harness.record.schema import Record
from harness.registry import Sources
from harness.suite.budget import Limits
from harness.suite.schema import Suite

GIB = 2**30

USUAL = 2 * GIB
"""Bytes that a cell is taken to need where nothing is known of its like."""


@dataclass(frozen=True)
class Place:
    """Where cells run and where what they leave goes. ``workers`` has the device of each, and
    ``readers`` threads read what a cell asks for and does not fit into memory. With ``share``,
    workers without a cell of their own do trials of others'; with ``trial_storage``, the URL of one
    of Optuna's, so do those of other machines. Without ``locks`` nobody else is at its cells, as
    the file system has none."""

    sources: Sources
    directory: Path
    cache: Path
    workers: tuple[str, ...]
    readers: int
    limits: Limits
    share: bool = False
    trial_storage: str | None = None
    locks: bool = True

    def lock(self, cell: str) -> AbstractContextManager[bool]:
        """Lock a cell; gives whether it is ours."""
        return locked(self.directory, cell) if self.locks else nullcontext(True)

    def is_locked(self, cell: str) -> bool:
        """Whether another has locked a cell."""
        return self.locks and is_locked(self.directory, cell)


def place_for(
    suite: Suite,
    directory: Path,
    executor: Executor,
    sources: Sources,
    records: Iterable[Record],
    *,
    device: str,
    jobs: int | None,
    share: bool = False,
    trial_storage: str | None = None,
    locks: bool = True,
) -> Place:
    """The place of a suite whose results are in ``directory``, on this machine.

    Args:
        records: of the same suite, that tell how much memory its cells take.
        device: as ``--device`` has it; see :func:`pick_workers`.
        jobs: how many cells run at a time, if that was asked for.

    Raises:
        HarnessError: there is no such device.
    """
    room = 1 if executor.alone else room_for(suite.budget.threads, suite.limits, records)
    workers = pick_workers(device, jobs, room)
    own, of_user = caches(directory.parent)
    return Place(
        sources=sources,
        directory=directory,
        cache=own if locks else of_user / "without-locks",
        workers=workers,
        readers=readers_each(len(workers)),
        limits=suite.limits,
        share=share or trial_storage is not None,
        trial_storage=trial_storage,
        locks=locks,
    )


def has_locks(directory: Path, shard: str | None) -> bool:
    """Whether cells can be locked in a results folder.

    Raises:
        HarnessError: they can't, and no shard says that nobody else is at them.
    """
    make_folder(directory)
    try:
        why = why_none(directory)
    except OSError:  # writing the plan says so
        return True
    if why and shard is None:
        raise HarnessError(
            f"the file system of {directory} has no locks ({why}), by which commands would divide "
            "the cells",
            "Give each of n commands a part, --shard 1/n to n/n (1/1 for one alone), or choose "
            "another folder by --results",
        )
    return not why


def pick_workers(asked: str, jobs: int | None, on_cpu: int = 1) -> tuple[str, ...]:
    """The device of each worker: ``jobs`` of them, by default one a GPU, or ``on_cpu``.

    Args:
        asked: ``auto`` (the first GPU if there is one), ``cpu``, ``cuda``, ``cuda:N``, or several
            GPUs, as ``cuda:0,1``; workers take turns on them.
        on_cpu: how many there are by default on the CPU alone.

    Raises:
        HarnessError: there is no such device.
    """
    words = [word.strip() for word in asked.split(",")]
    devices = [
        ("cuda" if torch.cuda.is_available() else "cpu") if words[0] == "auto" else words[0],
        *(f"cuda:{word.removeprefix('cuda:')}" for word in words[1:]),
    ]
    wrong = {
        word: why for word, name in zip(words, devices, strict=True) if (why := _unusable(name))
    }
    if wrong:
        told = "; ".join(f"'{word}' {why}" for word, why in wrong.items())
        raise HarnessError(
            f"--device {asked}: {told}", "Use auto, cpu, cuda, cuda:N or, for several, cuda:N,M"
        )
    if len(set(devices)) < len(devices):
        raise HarnessError(f"--device {asked} names a device twice", "Use --jobs to share one")
    count = jobs or (on_cpu if devices == ["cpu"] else len(devices))
    return tuple(devices[i % len(devices)] for i in range(count))


def room_for(threads: int, limits: Limits, records: Iterable[Record]) -> int:
    """How many cells of so many threads this machine has cores and free memory for, at least one,
    where each takes :func:`memory_each`."""
    free = psutil.virtual_memory().available
    return max(1, min((cores() or 1) // threads, int(free // memory_each(limits, records))))


def memory_each(limits: Limits, records: Iterable[Record]) -> float:
    """Bytes of the host's memory that a cell is taken to need: its limit, where it has one; else
    the most that one of these records did, which are of the same suite; else :data:`USUAL`."""
    known = [record.peak_host_bytes for record in records if record.peak_host_bytes]
    return limits.memory * GIB if limits.memory else max(known, default=USUAL)


def _unusable(name: str) -> str:
    """Why cells can't be run on a device; nothing where they can."""
    try:
        device = torch.device(name)
    except RuntimeError:
        return "is no kind of device"
    if device.type not in ("cpu", "cuda"):
        return "is not supported"
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        return f"is not there: this machine has {count} CUDA devices"
    return ""


def readers_each(workers: int) -> int:
    """Threads that read for a worker, so that workers don't fight over cores."""
    return max(1, (cores() or 1) // workers)
