"""Where a record comes from: versions, machine, device and the state of the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "torchvision", "timm", "optuna", "numpy", "scikit-learn", "pandas")


@cache
def environment() -> dict[str, Any]:
    """Versions of the harness, Python and the packages that results depend on; the machine."""
    from harness.version import __version__

    return {
        "harness": __version__,
        **_checkout(Path(__file__).parent),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "host": platform.node(),
        "cpu": _cpu_model(),
        "cores": cores(),
    }


def cores() -> int | None:
    """Of the CPU, those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def of_run(device: str, threads: int) -> dict[str, Any]:
    """The environment, and the device and CPU threads that a cell was given."""
    return {**environment(), "device": device_name(device), "threads": threads}


def device_name(device: str) -> str:
    """The device as people know it, such as ``cpu`` or the name of a GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return device


def _checkout(folder: Path) -> dict[str, Any]:
    """Commit and dirty flag of the harness, where it runs from a git checkout."""

    def git(*arguments: str) -> str:
        # Without its lock: a process that is killed would leave it in the user's repository.
        words = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if git("ls-files", "--error-unmatch", str(Path(__file__))):
            return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        pass
    return {"commit": None, "dirty": None}


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
