"""Batch norm by the statistics of a support set, in any model that normalises with torch's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from harness_plugins.meta._twice_differentiable import BatchNorm, LeadingNorm, convolve


class Regrouped(Exception):
    """A model's batch norm sees something else than one input for each that the model was given."""


class SupportNorms(TorchFunctionMode):
    """Batch norm by the support set, whose statistics go for the queries too.

    While it is entered, each pass is normalised by its own statistics, as in training, unless one
    of the following says otherwise. Works on any model that normalises through
    ``torch.nn.functional.batch_norm``, and leaves running statistics alone. The variance that is
    applied to queries is the unbiased one, as in running statistics.

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
        self._mode: Literal["own", "measure", "apply"] | tuple[int, int] = "own"

    @contextmanager
    def leading(self, count: int, total: int) -> Iterator[None]:
        """For a pass over ``total`` inputs, of which the first ``count`` are the support set.

        Raises:
            Regrouped: it can't be told which are the first; two passes can do it.
        """
        with self._in((count, total)):
            yield

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """For a pass over the support set."""
        self._measured = []
        with self._in("measure"):
            yield

    @contextmanager
    def applying(self) -> Iterator[None]:
        """For a pass over queries, by what the last pass measured."""
        with self._in("apply"):
            yield

    @contextmanager
    def _in(self, mode: Literal["measure", "apply"] | tuple[int, int]) -> Iterator[None]:
        self._mode = mode
        try:
            with self:
                yield
        finally:
            self._mode = "own"

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
        match self._mode:
            case "own" if self._plain:
                return _by_itself(input, weight, bias, eps)[0]
            case "own":
                normal = BatchNorm.apply(input, weight, bias, eps)
                return normal
            case "measure":
                normal, *measured = _by_itself(input, weight, bias, eps)
                self._measured.append((measured[0], measured[1]))
                return normal
            case "apply":
                return _affine(input, *self._measured.pop(0), weight, bias, eps)
            case count, total:
                if len(input) != total:
                    raise Regrouped
                if not self._plain:
                    normal = LeadingNorm.apply(input, weight, bias, eps, count)
                    return normal
                support, queries = input.split([count, total - count])
                normal, *measured = _by_itself(support, weight, bias, eps)
                others = _affine(queries, measured[0], measured[1], weight, bias, eps)
                return torch.cat([normal, others])


def _by_itself(
    inputs: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs normalised by their own statistics; their mean and their unbiased variance."""
    count = inputs.numel() // inputs.shape[1]
    dims = [0, *range(2, inputs.ndim)]
    mean = inputs.mean(dims)
    biased = (inputs - _spread(mean, inputs)).square().mean(dims)
    return _affine(inputs, mean, biased, weight, bias, eps), mean, biased * count / (count - 1)


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
