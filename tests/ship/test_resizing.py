"""What a shipped model makes of an image is what its backbone made of it, pixel by pixel."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from harness.model.image import ImageBackbone
from harness.ship.runtime.predict import _grey
from harness.ship.runtime.resizing import fitted

sides = st.integers(1, 90)


def backbone(side, interpolation, channels=3):
    mean, std = [0.485, 0.456, 0.406][:channels], [0.2] * channels
    return ImageBackbone(
        nn.Flatten(), [[""]], input_size=side, mean=mean, std=std, interpolation=interpolation
    )


@settings(max_examples=150)
@given(
    sides,
    sides,
    st.integers(1, 48),
    st.sampled_from(["crop", "pad", "squash"]),
    st.sampled_from(["bilinear", "bicubic"]),
    st.integers(0, 9),
)
@example(480, 640, 224, "crop", "bicubic", 0)
@example(33, 32, 32, "crop", "bilinear", 0)
def test_squares_are_those_of_the_backbone(height, width, side, fit, interpolation, seed):
    if "AVX2" not in torch.backends.cpu.get_cpu_capability().replace("AVX512", "AVX2"):
        pytest.skip("this processor resizes in floating point")
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    own = backbone(side, interpolation)
    expected = own.preprocess(torch.from_numpy(image).permute(2, 0, 1)[None], fit)
    bars = own.mean.round().flatten().int().tolist()
    found = fitted(image, side, fit, interpolation, bars)
    assert np.array_equal(found.transpose(2, 0, 1), expected[0].numpy())


def test_grey_is_that_of_the_backbone():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    own = backbone(64, "bilinear", channels=1)
    expected = own.preprocess(torch.from_numpy(image).permute(2, 0, 1)[None])
    assert np.array_equal(_grey(image)[..., 0], expected[0, 0].numpy())
