"""The optimiser and the schedules of rates that a recipe may name."""

from __future__ import annotations

import math
from typing import Any

import torch


def cosine(done: float) -> float:
    """The share of the peak rate after a share of the steps: from 1 to 0 along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * done))


def constant(done: float) -> float:
    """The share of the peak rate after a share of the steps: all of it."""
    return 1.0


def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) in one kernel a step."""
    return torch.optim.AdamW(groups, fused=True)
