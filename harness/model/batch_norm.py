"""What batch norm does while blocks train."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchNorm: TypeAlias = Literal["frozen", "train"]
"""What batch norms do in blocks that train. Frozen ones normalise by their running statistics, and
leave these as they are; others by the batch, and their averages follow. Weight and bias train."""


def has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(child, _BatchNorm) for child in module.modules())


def freeze_batch_norm(module: nn.Module) -> None:
    """Have batch norms normalise by their running statistics, and leave these as they are."""
    for child in module.modules():
        if isinstance(child, _BatchNorm):
            child.training = False
