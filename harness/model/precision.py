"""In what precision models compute: what the device is fast at, where the model bears it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, TypeAlias

import torch

from harness.model.backbone import Backbone, evaluating

Precision: TypeAlias = Literal["float32", "tf32", "bfloat16"]

BORNE = 0.05
"""The largest distance of bfloat16's features from float32's, relative to their length."""


def suited(backbone: Backbone, device: torch.device) -> Precision:
    """The fastest precision that suits device and model.

    On a CPU that is float32. On a CUDA device it is bfloat16, if the model's features of its
    example stay what they are but for 5 % of their length, and float32 rounded to TF32 in products
    if not.
    """
    if device.type != "cuda":
        return "float32"
    if torch.cuda.is_bf16_supported(including_emulation=False) and bears_bfloat16(backbone):
        return "bfloat16"
    return "tf32"


@torch.no_grad()
def bears_bfloat16(backbone: Backbone) -> bool:
    """Whether the features of the model's example are nearly the same in bfloat16."""
    with evaluating(backbone):
        exact = backbone.features(backbone.example).double()
        with autocast("bfloat16", backbone.device):
            rounded = backbone.features(backbone.example).double()
    return bool((rounded - exact).norm() <= BORNE * exact.norm())


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """A context in which forward passes compute in ``precision``; backward ones follow."""
    if precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """A context in which products of float32 are rounded to TF32, or not, on devices that can."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if precision == "float32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "float32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
