"""CPU threads that a cell computes with: as many as its budget says, whatever the machine has.

Sums are rounded by how they are divided among threads, so that results depend on their number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

VARIABLE = "OMP_NUM_THREADS"


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Compute with exactly so many threads: torch, and the linear algebra and OpenMP of numpy,
    SciPy and scikit-learn. Libraries that are loaded meanwhile and processes that are started see
    it in ``OMP_NUM_THREADS``, whose own value counts for nothing here. All is as before
    afterwards."""
    before, given = torch.get_num_threads(), os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(threads)
    try:
        with libraries().limit(limits=threads):
            torch.set_num_threads(threads)
            yield
    finally:
        torch.set_num_threads(before)
        if given is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = given


@cache
def libraries() -> ThreadpoolController:
    """Those that are loaded. To look for them takes long, so it is done once, before forks."""
    return ThreadpoolController()
