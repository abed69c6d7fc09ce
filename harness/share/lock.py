"""The distributions of this Python, as lines that ``pip install -r`` takes."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterator

from harness.record.provenance import PACKAGES


def lock() -> str:
    """A line ``name==version`` for each installed distribution, sorted; Python is a comment."""
    pins = (f"{name}=={version}" for name, version in sorted(_installed().items()))
    return "\n".join([f"# Python {platform.python_version()}, {platform.platform()}", *pins, ""])


def differences(locked: str) -> Iterator[str]:
    """Tell of a ``lock`` what is not so here; what results depend on most first."""
    python, here = re.match(r"# Python (\S+),", locked), platform.python_version()
    if python and python[1] != here:
        yield f"Python was {python[1]}, is {here}"
    pins = dict(line.split("==", 1) for line in locked.splitlines() if "==" in line)
    installed = _installed()
    for name in sorted(pins, key=lambda name: (name not in PACKAGES, name)):
        if name not in installed:
            yield f"{name} was {pins[name]}, is not installed"
        elif installed[name] != pins[name]:
            yield f"{name} was {pins[name]}, is {installed[name]}"


def _installed() -> dict[str, str]:
    """Versions by name, as PyPI normalises it."""
    found = ((each.name, each.version) for each in importlib.metadata.distributions())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found if name}
