"""Convolution and batch norm whose gradients are cheap to differentiate once more.

The derivatives that :mod:`torch` has of its own gradients are made of many passes over memory,
and come out in another memory format than went in. Here each is a few passes, all in the format
in which a pixel's channels lie together.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Geometry: TypeAlias = "tuple[list[int], list[int], list[int], bool, list[int], int]"
"""Stride, padding, dilation, whether transposed, output padding, groups."""

_convolution_backward = torch.ops.aten.convolution_backward
_norm_backward = torch.ops.aten.native_batch_norm_backward


def channels_last(images: Tensor) -> Tensor:
    """``images`` with the channels of a pixel side by side, also where strides don't tell it."""
    if images.stride(1) == 1:
        return images.contiguous(memory_format=torch.channels_last)
    return images.clone(memory_format=torch.channels_last)


def convolve(images: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """``torch.convolution`` of images ``[B, C, H, W]``."""
    # The copy is outside of the function, so that derivatives find their way through it.
    convolved: Tensor = _Convolution.apply(channels_last(images), weight, bias, geometry)
    return convolved


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = geometry
        return torch.convolution(images, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        wanted = list(ctx.needs_input_grad[:3])
        return *_ConvolutionBackward.apply(gradient, *ctx.saved_tensors, ctx.geometry, wanted), None


class _ConvolutionBackward(torch.autograd.Function):
    """⟨conv(images, weight), gradient⟩ is linear in each of the three, so that each derivative is
    again a convolution or one of its two gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        gradient: Tensor,
        images: Tensor,
        weight: Tensor,
        geometry: Geometry,
        wanted: list[bool],
    ) -> Any:
        gradient = channels_last(gradient)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(gradient, images, weight)
        ctx.geometry = geometry
        by_images, by_weight, _ = _convolution_backward(
            gradient, images, weight, None, *geometry, [*wanted[:2], False]
        )
        # A sum of its own takes a tenth of the time that it takes in there.
        by_bias = gradient.sum([0, 2, 3]) if wanted[2] else None
        return by_images, by_weight, by_bias

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, by_images: Tensor | None, by_weight: Tensor | None, by_bias: Tensor | None
    ) -> Any:
        gradient, images, weight = ctx.saved_tensors
        parts, from_images, from_weight = [], None, None
        if by_images is not None:
            by_images = channels_last(by_images)
            parts.append(torch.convolution(by_images, weight, None, *ctx.geometry))
            from_weight = _convolution_backward(
                gradient, by_images, weight, None, *ctx.geometry, [False, True, False]
            )[1]
        if by_weight is not None:
            parts.append(torch.convolution(images, by_weight, None, *ctx.geometry))
            if ctx.needs_input_grad[1]:
                from_images = _convolution_backward(
                    gradient, images, by_weight, None, *ctx.geometry, [True, False, False]
                )[0]
        if by_bias is not None:
            parts.append(by_bias[:, None, None].expand_as(gradient))
        from_gradient = sum(parts[1:], parts[0]) if parts else None
        return from_gradient, from_images, from_weight, None, None


class BatchNorm(torch.autograd.Function):
    """Batch norm over all dimensions but the second.

    Takes inputs ``[B, C, ...]``, weight and bias ``[C]`` and epsilon.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        mean, centred, squares, count = _moments(inputs)
        inverse = torch.rsqrt(squares / count + eps)
        ctx.save_for_backward(inputs, weight, mean, inverse)
        ctx.eps = eps
        _, spread = _over(inputs)
        return centred.mul_((inverse * weight).view(spread)).add_(bias.view(spread))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return *_BatchNormBackward.apply(gradient, *ctx.saved_tensors, ctx.eps), None


class LeadingNorm(torch.autograd.Function):
    """Batch norm by the statistics of the first ``count`` inputs: theirs as in training, and of
    the others by the unbiased variance, as in evaluation. Can be differentiated once.

    Takes inputs ``[B, C, ...]``, weight and bias ``[C]``, epsilon and ``count``.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float, count: int
    ) -> Tensor:
        leading, others = inputs[:count], inputs[count:]
        mean, centred, squares, size = _moments(leading)
        inverse, variance = torch.rsqrt(squares / size + eps), squares / (size - 1)
        ctx.save_for_backward(inputs, weight, mean, inverse, variance)
        ctx.eps, ctx.count = eps, count
        normal, (_, spread) = torch.empty_like(inputs), _over(inputs)
        own = torch.mul(centred, (inverse * weight).view(spread), out=normal[:count])
        own.add_(bias.view(spread))
        scale = torch.rsqrt(variance + eps) * weight
        shift = (bias - mean * scale).view(spread)
        torch.addcmul(shift, others, scale.view(spread), out=normal[count:])
        return normal

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        inputs, weight, mean, inverse, variance = ctx.saved_tensors
        leading, others = inputs[: ctx.count], inputs[ctx.count :]
        first, rest, eps = gradient[: ctx.count], gradient[ctx.count :], ctx.eps
        by_first, *own = _norm_backward(
            first, leading, weight, None, None, mean, inverse, True, eps, [True] * 3
        )
        by_rest, by_weight, by_bias = _norm_backward(
            rest, others, weight, mean, variance, None, None, False, eps, [True] * 3
        )
        # The others reach the first through the statistics.
        size, (_, spread) = leading.numel() // leading.shape[1], _over(inputs)
        slope = -weight * by_weight / ((variance + eps) * (size - 1))
        level = -weight * by_bias * torch.rsqrt(variance + eps) / size - slope * mean
        by_first.addcmul_(leading, slope.view(spread)).add_(level.view(spread))
        by_inputs = torch.cat([by_first, by_rest])
        return by_inputs, own[0] + by_weight, own[1] + by_bias, None, None


class _BatchNormBackward(torch.autograd.Function):
    """With x̂ the normalised inputs, n the number of them in a channel, w and r the weight and the
    inverse deviation, the gradient by the inputs is ``w r (g - Σg / n - x̂ Σ(g x̂) / n)``. Its
    derivatives are sums of the same kind: g, x̂ and what comes in, each times one number for a
    channel."""

    @staticmethod
    def forward(
        ctx: Any,
        gradient: Tensor,
        inputs: Tensor,
        weight: Tensor,
        mean: Tensor,
        inverse: Tensor,
        eps: float,
    ) -> Any:
        by_inputs, by_weight, by_bias = _norm_backward(
            gradient, inputs, weight, None, None, mean, inverse, True, eps, [True] * 3
        )
        ctx.save_for_backward(gradient, inputs, weight, mean, inverse, by_weight, by_bias)
        return by_inputs, by_weight, by_bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor, v_weight: Tensor, v_bias: Tensor) -> Any:
        g, x, w, mean, r, sum_gx, sum_g = ctx.saved_tensors
        count, (dims, spread) = x.numel() // x.shape[1], _over(x)
        sum_v = v.sum(dims)
        sum_vg = (v * g).sum(dims)
        sum_vx = ((v * x).sum(dims) - mean * sum_v) * r
        both = sum_vg - (sum_v * sum_g + sum_vx * sum_gx) / count
        # what x̂ is multiplied by, and what v and g are
        from_v, to_v = v_weight - w * r * sum_vx / count, -w * r * sum_gx / count
        mean_of = (-w * r * (sum_v * sum_gx + sum_g * sum_vx) / count + v_weight * sum_g) / count
        mean_x = (-2 * w * r * sum_vx * sum_gx / count + v_weight * sum_gx) / count
        slope = -r * mean_x - w * r.square() * both / count

        def on_inputs(times: Tensor, plus: Tensor) -> Tensor:
            """``times`` x̂ + ``plus``."""
            level = plus - times * r * mean
            return torch.addcmul(level.view(spread), x, (times * r).view(spread))

        from_gradient = on_inputs(from_v, v_bias - w * r * sum_v / count)
        from_gradient.addcmul_(v, (w * r).view(spread))
        from_inputs = on_inputs(slope, -r * mean_of)
        from_inputs.addcmul_(v, (r * to_v).view(spread)).addcmul_(g, (r * from_v).view(spread))
        return from_gradient, from_inputs, r * both, None, None, None


def _moments(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
    """By channel: the mean, what inputs are without it, its squares' sum, and of how many."""
    dims, spread = _over(inputs)
    mean = inputs.mean(dims)
    centred = inputs - mean.view(spread)
    return mean, centred, centred.square().sum(dims), inputs.numel() // inputs.shape[1]


def _over(inputs: Tensor) -> tuple[list[int], list[int]]:
    """The dimensions that a channel spans, and the shape in which one number a channel spreads."""
    rest = range(2, inputs.ndim)
    return [0, *rest], [-1, *(1 for _ in rest)]
