"""Say how a cell or a trial ended: a status, and one line of why."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

from harness.errors import Diverged, HarnessError, Unsupported
from harness.record.schema import Status

KEPT: frozenset[Status] = frozenset({"timeout", "oom", "crashed", "interrupted"})
"""Statuses of cells that, begun again, go on after their finished trials. What failed by itself
starts anew: its trials may have failed for the same reason."""


def classify(error: BaseException, plugin: Path) -> tuple[Status, str]:
    """A status and one line for what an error in the strategy of the file ``plugin`` means."""
    line = " ".join(str(error).split()) or type(error).__name__
    match error:
        case Unsupported():
            return "unsupported", line
        case Diverged():
            return "diverged", line
        case _ if is_out_of_memory(error):
            return "oom", f"out of memory: {line}"
        case HarnessError():
            return "failed", line
        case SystemExit():
            return "crashed", f"it ended its process: SystemExit({line}){_where(error, plugin)}"
        case _:
            return "failed", f"{type(error).__name__}: {line}{_where(error, plugin)}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused, of the host or a device; PyTorch's allocator for the host says
    so in words alone."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _where(error: BaseException, plugin: Path) -> str:
    """The line of the plugin that led to the error, else the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    told = [frame for frame in frames if Path(frame.filename) == plugin] or frames
    return f" ({Path(told[-1].filename).name}, line {told[-1].lineno})" if told else ""
