"""Derivatives of derivatives against differences, and against torch's own, in float64."""

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.meta._twice_differentiable import (
    BatchNorm,
    LeadingNorm,
    channels_last,
    convolve,
)


def some(*shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize(
    "geometry", [([1, 1], [1, 1], 1), ([2, 1], [0, 1], 1), ([1, 2], [1, 1], 2)]
)
@pytest.mark.parametrize("bias", [False, True])
def test_a_convolution_is_differentiated_twice(geometry, bias):
    stride, padding, groups = geometry
    form = (stride, padding, [1, 1], False, [0, 0], groups)
    given = some(2, 4, 5, 4), some(6, 4 // groups, 3, 2), some(6) if bias else None

    def ours(images, weight, bias=None):
        return convolve(images, weight, bias, form)

    expected = F.conv2d(*given, stride, padding, 1, groups)
    assert torch.allclose(ours(*given), expected, rtol=1e-12)
    assert torch.autograd.gradcheck(ours, given)
    assert torch.autograd.gradgradcheck(ours, given)


def test_a_convolution_of_what_needs_no_gradient():
    images, weight = some(2, 1, 4, 4).detach(), some(3, 1, 3, 3)
    form = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    assert torch.autograd.gradgradcheck(lambda w: convolve(images, w, None, form), weight)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (3, 2, 3, 2)])
def test_batch_norm_is_differentiated_twice(shape):
    given = some(*shape), some(shape[1]), some(shape[1])

    def ours(inputs, weight, bias):
        return BatchNorm.apply(inputs, weight, bias, 1e-3)

    expected = F.batch_norm(given[0], None, None, *given[1:], True, 0.0, 1e-3)
    assert torch.allclose(ours(*given), expected, rtol=1e-10)
    assert torch.autograd.gradcheck(ours, given)
    assert torch.autograd.gradgradcheck(ours, given)


@pytest.mark.parametrize("shape", [(6, 3), (5, 3, 5), (4, 2, 3, 2)])
def test_the_first_inputs_normalise_all(shape):
    """Against torch's own, for the first as in training and for the others as in evaluation."""
    given = some(*shape), some(shape[1]), some(shape[1])

    def ours(inputs, weight, bias):
        return LeadingNorm.apply(inputs, weight, bias, 1e-3, 3)

    first, others = given[0].split([3, len(given[0]) - 3])
    dims = [0, *range(2, len(shape))]
    own = F.batch_norm(first, None, None, *given[1:], True, 0.0, 1e-3)
    with torch.no_grad():
        mean, variance = first.mean(dims), first.var(dims)
        rest = F.batch_norm(others, mean, variance, *given[1:], False, 0.0, 1e-3)
    assert torch.allclose(ours(*given), torch.cat([own, rest]), rtol=1e-10)
    assert torch.autograd.gradcheck(ours, given)


@pytest.mark.parametrize("channels", [1, 4])
def test_channels_last_shows_in_the_strides(channels):
    images = torch.randn(2, channels, 3, 5)
    laid = channels_last(images)
    assert laid.stride() == (15 * channels, 1, 5 * channels, channels)
    assert torch.equal(laid, images)
