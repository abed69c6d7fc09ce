"""Who is at work on a cell, and how far it is: a file that its worker rewrites while it lives.

``running/KEY.json`` is for whoever looks at a results folder, from any machine that sees it, and
decides nothing. Who may write is decided by locks, which can't be looked at without being taken.
"""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

BEAT = 5.0
"""Seconds between two writings of the file."""

SILENT = 60.0
"""Seconds without a writing after which a worker is taken for dead. Clocks of machines that share
a folder may differ by less."""


class Owner(BaseModel):
    """A worker and what it is at: ``done`` of ``total`` of a ``stage`` (0 where it has no known
    end), and which ``trial`` of ``trials`` that is in, from 0. ``started`` is in seconds since the
    epoch."""

    model_config = ConfigDict(extra="ignore")

    host: str
    pid: int
    device: str
    started: float
    stage: str = ""
    done: int = 0
    total: int = 0
    trial: int | None = None
    trials: int = 0


def write(directory: Path, cell: str, owner: Owner) -> None:
    """Replace the file, if that can be done: nothing but what people see depends on it."""
    file = _file(directory, cell)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text(owner.model_dump_json())
        os.replace(new, file)


def remove(directory: Path, cell: str) -> None:
    """Nobody is at the cell any more."""
    file = _file(directory, cell)
    for path in (file, file.with_suffix(".new")):
        with suppress(OSError):
            path.unlink()


def owners(directory: Path) -> dict[str, tuple[Owner, float]]:
    """By cell, who is or was at it, and how many seconds ago it was last heard of."""
    found = {}
    for file in (directory / "running").glob("*.json"):
        with suppress(OSError, ValueError):  # it has just ended, or the file is damaged
            owner = Owner.model_validate_json(file.read_bytes())
            found[file.stem] = owner, max(time.time() - file.stat().st_mtime, 0.0)
    return found


def alive(owner: Owner, heard: float) -> bool:
    """Whether a worker that was heard of so many seconds ago is taken to be at work: not where it
    was a process of this machine that is there no more."""
    here = owner.host == platform.node()
    return heard < SILENT and not (here and not psutil.pid_exists(owner.pid))


def _file(directory: Path, cell: str) -> Path:
    return directory / "running" / f"{cell}.json"
