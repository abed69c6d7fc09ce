"""Seed torch's global generators, for code that draws from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators of the CPU and of ``device``, and give them back afterwards.

    On the CPU no other device is spoken to: ``torch.manual_seed`` would note the seed for each that
    is not there, with a trace of the stack, which takes longer than all else in a small cell.
    """
    if device.type != "cpu":
        with torch.random.fork_rng(devices=[device], device_type=device.type):
            torch.manual_seed(seed)
            yield
        return
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
