"""Freed memory is kept for the next tensor, and given back before memory is measured."""

from __future__ import annotations

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of glibc's ``malloc.h``."""

KEPT = 2**30
"""Bytes: smaller blocks are taken from the heap, at whose end so much may lie unused."""


def keep_freed() -> None:
    """Let the C library keep what is freed, and threads share it; glibc only, nothing elsewhere.

    By default each large tensor is memory that the system has to find, clear and take back, page by
    page, and threads wait for each other while it does. That is a tenth to a fifth of the CPU time
    of a step of a small network. The peak stays where it was.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in (
            (M_MMAP_THRESHOLD, KEPT),
            (M_TRIM_THRESHOLD, KEPT),
            (M_ARENA_MAX, 1),
        ):
            mallopt(option, value)


def give_back() -> None:
    """Let the C library return to the system what was freed, wherever it lies; glibc only."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
