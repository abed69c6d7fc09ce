"""What a process that runs one cell does to itself before it does."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import select
import sys
from pathlib import Path

import psutil

if sys.platform != "win32":
    import fcntl
    import resource


def die_with(sentinel: int) -> None:
    """End this process and all of its group once the other end of a pipe is closed.

    The operating system does it, by the signal SIGIO: also within a call into C that never
    returns. ``sentinel`` is the reading end of a pipe that another process holds open for life.
    """
    if not hasattr(os, "O_ASYNC"):
        return
    fcntl.fcntl(sentinel, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([sentinel], [], [], 0)[0]:  # closed before it was watched
        os._exit(1)


def log_to(file: Path) -> None:
    """Append what this process prints, in whatever language, to a file; also where it crashed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    for printed in (sys.stdout, sys.stderr):  # what waits in a buffer is lost in a crash
        if isinstance(printed, io.TextIOWrapper):
            printed.reconfigure(line_buffering=True)
    faulthandler.enable(file=2)


def limit_memory(limit: int | None) -> None:
    """Allow this process ``limit`` bytes beyond what it has: further requests fail.

    What counts is private memory that can be written; what a CUDA driver maps is part of it.
    """
    if limit is None or not hasattr(psutil.Process().memory_info(), "data"):
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = psutil.Process().memory_info().data + limit
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


def out_of_memory_kills() -> int:
    """How many processes Linux has ended for want of memory since it started."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
