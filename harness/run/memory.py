"""Peak memory of a cell: of its process, of those that it began, and of its CUDA device."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from functools import cache
from pathlib import Path

import psutil
import torch

from harness.run.malloc import give_back

_STATUS = Path("/proc/self/status")
_LOWER = Path("/proc/self/clear_refs")
# What this process may take between asking for the mark to be lowered and reading it.
_SLACK = 16 * 2**20


class PeakMemory:
    """Peak bytes on the host (resident set) and on a CUDA device, since it was entered.

    Of this process Linux keeps a high-water mark and lowers it on request. Where there is none, or
    the request is refused or does nothing (as in some sandboxes), a thread looks every 5 ms; a mark
    that was raised meanwhile is the peak even there. To that comes the most that processes begun
    since were seen to have for themselves, by a thread that spends a fiftieth of its time on it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.host = 0
        self.on_device: int | None = None

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        give_back()
        _lower_high_water_mark()
        self._mark, now = _resident()
        self._lowered = 0 < self._mark < now + _SLACK
        self._watch = _Watch(every=0.05 if self._lowered else 0.005)
        self._watched = _watches(os.getpid())
        self._watched.append(self._watch)
        return self

    def __exit__(self, *exception: object) -> None:
        self.look()
        self._watched.remove(self._watch)

    def restart(self) -> None:
        """The peak counts from now on."""
        self.__exit__()
        self.__enter__()

    def look(self) -> None:
        """Note the peaks so far."""
        if self._device.type == "cuda":
            self.on_device = torch.cuda.max_memory_allocated(self._device)
        mark, now = _resident()
        own = mark if self._lowered or mark > self._mark else max(self._watch.own, now)
        self.host = own + self._watch.others


class _Watch:
    """What a thread sees that no mark tells when it is over."""

    def __init__(self, every: float) -> None:
        self.every, self.own, self.others = every, 0, 0
        self._strangers = set(_begun())
        self._seen: dict[psutil.Process, tuple[int, int]] = {}
        self._due = 0.0

    def look(self) -> None:
        self.own = max(self.own, _resident()[1])
        began = time.monotonic()
        if began >= self._due:
            self.others = max(self.others, sum(map(self._alone, _begun())))
            self._due = began + 50 * (time.monotonic() - began)

    def _alone(self, process: psutil.Process) -> int:
        """Bytes that a process has for itself alone; 0 if it was there before."""
        if process in self._strangers:
            return 0
        with contextlib.suppress(psutil.Error):
            # Whose a page is takes long to find out: only of a process that has grown, or shrunk.
            now = process.memory_info().rss
            before, alone = self._seen.get(process, (0, 0))
            if abs(now - before) > 0.01 * now:
                alone = int(process.memory_full_info().uss)
                self._seen[process] = now, alone
            return alone
        return 0


@cache
def _watches(process: int) -> list[_Watch]:
    """Those that a thread of this process looks after. It outlives them: to begin one and to end it
    would take as long as a tenth of a small cell."""
    watches: list[_Watch] = []

    def work() -> None:
        while True:
            time.sleep(min((watch.every for watch in [*watches]), default=0.05))
            for watch in [*watches]:
                watch.look()

    threading.Thread(target=work, name=f"memory of {process}", daemon=True).start()
    return watches


def _begun() -> list[psutil.Process]:
    """Processes that this one began, and that they began."""
    if _is_childless():
        return []
    with contextlib.suppress(psutil.Error):
        return psutil.Process().children(recursive=True)
    return []


def _is_childless() -> bool:
    """Whether this process has begun no other; ``False`` where that is not told at once."""
    if not hasattr(os, "waitid"):
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return False
    return True


def _lower_high_water_mark() -> None:
    with contextlib.suppress(OSError):
        _LOWER.write_text("5")


def _resident() -> tuple[int, int]:
    """Bytes at most, or 0 where no such mark is kept, and bytes now."""
    with contextlib.suppress(OSError):
        told = dict(line.split(b":", 1) for line in _STATUS.read_bytes().splitlines())
        if b"VmHWM" in told:
            most, now = (int(told[name].split()[0]) for name in (b"VmHWM", b"VmRSS"))
            return most * 1024, now * 1024
    return 0, int(psutil.Process().memory_info().rss)
