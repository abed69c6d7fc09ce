"""What a cell costs: seconds by phase, peak memory and joules; nothing is counted twice."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from harness.record.journal import Partial
from harness.run.heap import give_back

_STATUS = Path("/proc/self/status")
_LOWER = Path("/proc/self/clear_refs")
# Counts of resident pages that are read apart differ by what each core has yet to add.
_SLACK = 16 * 2**20


class Clock:
    """Seconds by phase. An inner phase stops the outer one's clock.

    The device is waited for at every change of phase, so that work is billed to the phase that
    asked for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stack: list[str] = []
        self._since = 0.0
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._switch()
        self._stack.append(name)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Work that is billed to no phase: it was, when it was done the first time."""
        self._switch()
        before = dict(self.seconds)
        try:
            yield
        finally:
            self._switch()
            self.seconds.clear()
            self.seconds.update(before)

    def read(self, name: str) -> float:
        """Seconds of a phase so far, also while it runs."""
        self._switch()
        return self.seconds[name]

    def _switch(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._since
        self._since = now


class PeakMemory:
    """Peak bytes on the host (resident set) and on a CUDA device, since it was entered.

    Linux keeps a high-water mark and lowers it on request. Where there is none, or the request is
    refused or does nothing (as in some sandboxes), a thread looks every 5 ms; a mark that was
    raised meanwhile is the peak even there.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.host = 0
        self.on_device: int | None = None

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        give_back()  # what was freed before does not count
        _lower_high_water_mark()
        self._mark = _high_water_mark()
        lowered = abs(self._mark - _resident()) < _SLACK
        self._sampler = None if lowered else _Sampler()
        return self

    def __exit__(self, *exception: object) -> None:
        self.look()
        if self._sampler:
            self._sampler.stop()

    def look(self) -> None:
        """Note the peaks so far."""
        if self._device.type == "cuda":
            self.on_device = torch.cuda.max_memory_allocated(self._device)
        mark = _high_water_mark()
        self.host = mark if not self._sampler or mark > self._mark else self._sampler.peak


class Energy:
    """Joules that a CUDA device took since this was entered, by the counter of NVML (Volta or
    newer). All of the device: what others did on it meanwhile is in there. ``None`` elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.joules: float | None = None

    def __enter__(self) -> Energy:
        self._before = _millijoules(self._device)
        return self

    def __exit__(self, *exception: object) -> None:
        self.look()

    def look(self) -> None:
        """Note the joules so far."""
        after = _millijoules(self._device)
        if self._before is not None and after is not None:
            self.joules = (after - self._before) / 1000


class Meters:
    """Peak memory and energy of a cell, with what it took of an earlier process that began it."""

    def __init__(self, device: torch.device) -> None:
        self._memory, self._energy = PeakMemory(device), Energy(device)
        self._earlier = Partial()

    def __enter__(self) -> Meters:
        self._memory.__enter__()
        self._energy.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._energy.__exit__()
        self._memory.__exit__()

    def add(self, earlier: Partial) -> None:
        self._earlier = earlier

    def look(self) -> None:
        """Note what was taken so far."""
        self._memory.look()
        self._energy.look()

    def read(self) -> dict[str, Any]:
        """What was noted last, by the names it has in a record."""
        memory, earlier = self._memory, self._earlier
        devices = [n for n in (memory.on_device, earlier.peak_device_bytes) if n is not None]
        joules = [n for n in (self._energy.joules, earlier.joules) if n is not None]
        return {
            "peak_host_bytes": max(memory.host, earlier.peak_host_bytes),
            "peak_device_bytes": max(devices, default=None),
            "joules": sum(joules) if joules else None,
        }


def _millijoules(device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    import pynvml

    torch.cuda.synchronize(device)
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        # By its UUID: CUDA_VISIBLE_DEVICES may have renumbered what torch sees.
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    return None


class _Sampler:
    def __init__(self) -> None:
        self._peak = _resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self._peak = max(self._peak, _resident())

    @property
    def peak(self) -> int:
        return max(self._peak, _resident())

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _lower_high_water_mark() -> None:
    with contextlib.suppress(OSError):
        _LOWER.write_text("5")


def _high_water_mark() -> int:
    """Bytes; 0 where none is kept."""
    with contextlib.suppress(OSError):
        _, found, rest = _STATUS.read_bytes().partition(b"\nVmHWM:")
        if found:
            return int(rest.split(maxsplit=1)[0]) * 1024
    return 0
