"""Tell malloc to keep freed memory for the next tensor, and to give it back before measuring."""

from __future__ import annotations

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of glibc's ``malloc.h``."""

KEPT = 2**30
"""Bytes: smaller blocks are taken from the heap, at whose end so much may lie unused."""

MUCH = 2**25
"""Bytes: with less, finding the pages anew would cost a small cell more than they matter."""


class _Mallinfo2(ctypes.Structure):
    """Bytes and counts, of which ``fordblks`` are the bytes in free blocks."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
        )
    )


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
    """Let the C library return to the system what was freed, if it is much, so that it is seen when
    it is taken again; glibc 2.33 or later."""
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallinfo2.restype = _Mallinfo2
        if library.mallinfo2().fordblks > MUCH:
            library.malloc_trim(0)
