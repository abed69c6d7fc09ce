"""What a cell costs: seconds by phase, peak memory and joules; nothing is counted twice."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from harness.record.journal import Partial
from harness.run.memory import PeakMemory


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


def cpu_seconds() -> float:
    """CPU time of this process, of all of its threads, and of processes that it began and that
    have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


class Meters:
    """Peak memory, CPU time and energy of a cell, with what it took of an earlier process that
    began it."""

    def __init__(self, device: torch.device) -> None:
        self._memory, self._energy = PeakMemory(device), Energy(device)
        self._earlier = Partial()
        self._cpu = self._cpu_before = 0.0

    def __enter__(self) -> Meters:
        self._memory.__enter__()
        self._start()
        return self

    def restart(self) -> None:
        """What was taken until now does not count."""
        self._memory.restart()
        self._start()

    def _start(self) -> None:
        self._energy.__enter__()
        self._cpu_before = cpu_seconds()

    def __exit__(self, *exception: object) -> None:
        self._energy.__exit__()
        self._memory.__exit__()
        self._cpu = cpu_seconds() - self._cpu_before

    def add(self, other: Partial) -> None:
        """Count what another process took of the cell, too."""
        known = self._earlier
        self._earlier = Partial(
            peak_host_bytes=max(known.peak_host_bytes, other.peak_host_bytes),
            peak_device_bytes=_most(known.peak_device_bytes, other.peak_device_bytes),
            joules=_sum(known.joules, other.joules),
            cpu_seconds=known.cpu_seconds + other.cpu_seconds,
        )

    def look(self) -> None:
        """Note what was taken so far."""
        self._memory.look()
        self._energy.look()
        self._cpu = cpu_seconds() - self._cpu_before

    def read(self) -> dict[str, Any]:
        """What was noted last, by the names it has in a record."""
        memory, earlier = self._memory, self._earlier
        return {
            "peak_host_bytes": max(memory.host, earlier.peak_host_bytes),
            "peak_device_bytes": _most(memory.on_device, earlier.peak_device_bytes),
            "joules": _sum(self._energy.joules, earlier.joules),
            "cpu_seconds": self._cpu + earlier.cpu_seconds,
        }


def since(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What was taken between two readings of meters: peaks are those of the later one."""
    spent = {"cpu_seconds": after["cpu_seconds"] - before["cpu_seconds"], "joules": None}
    if before["joules"] is not None and after["joules"] is not None:
        spent["joules"] = after["joules"] - before["joules"]
    return {**after, **spent}


def _most(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _sum(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


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
