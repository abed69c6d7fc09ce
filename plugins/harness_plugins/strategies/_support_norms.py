"""Batch norm by the statistics of a support set, in any model that normalises with torch's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from harness_plugins.strategies._twice import BatchNorm, convolve


class SupportNorms(TorchFunctionMode):
    """Batch norm by the support set: measured on one pass, applied on the next.

    Works on any model that normalises through ``torch.nn.functional.batch_norm``, and leaves
    running statistics alone. The variance that is applied is the unbiased one, as in running
    statistics.

    Args:
        plain: write batch norm out in operations that ``torch.func.vmap`` can batch: that of
            torch gives wrong second derivatives there. Otherwise it and convolutions of images
            are those whose gradients are cheap to differentiate.
    """

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__()
        self.met = False
        """Whether a pass has come upon a batch norm."""
        self._plain = plain
        self._measured: list[tuple[Tensor, Tensor]] = []
        self._mode: Literal["measure", "apply"] = "measure"

    @contextmanager
    def measuring(self) -> Iterator[None]:
        self._measured, self._mode = [], "measure"
        with self:
            yield

    @contextmanager
    def applying(self) -> Iterator[None]:
        self._mode = "apply"
        with self:
            yield

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.batch_norm:
            return self._batch_norm(*args, **kwargs)
        if self._plain:
            if func is Tensor.contiguous:  # there vmap knows no other memory format
                return func(args[0])
        elif func is torch.conv2d:
            return _conv2d(*args, **kwargs)
        return func(*args, **kwargs)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        self.met = True
        normal: Tensor
        channels = input.shape[1]
        weight = input.new_ones(channels) if weight is None else weight
        bias = input.new_zeros(channels) if bias is None else bias
        if self._mode == "apply":
            return _affine(input, *self._measured.pop(0), weight, bias, eps)
        if not self._plain:
            normal, mean, variance = BatchNorm.apply(input, weight, bias, eps)
        else:
            count = input.numel() // channels
            dims = [0, *range(2, input.ndim)]
            mean = input.mean(dims)
            biased = (input - _spread(mean, input)).square().mean(dims)
            normal = _affine(input, mean, biased, weight, bias, eps)
            variance = biased * count / (count - 1)
        self._measured.append((mean, variance))
        return normal


def _affine(
    inputs: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    scale = torch.rsqrt(variance + eps) * weight
    shift = bias - mean * scale
    return torch.addcmul(_spread(shift, inputs), inputs, _spread(scale, inputs))


def _spread(channels: Tensor, inputs: Tensor) -> Tensor:
    """One number a channel, ``[C]``, in a shape that meets inputs ``[B, C, ...]``."""
    return channels.reshape(-1, *(1 for _ in range(inputs.ndim - 2)))


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    if input.ndim != 4 or isinstance(padding, str):
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    both = [[n, n] if isinstance(n, int) else list(n) for n in (stride, padding, dilation)]
    return convolve(input, weight, bias, (both[0], both[1], both[2], False, [0, 0], groups))
