"""The precision is what the device is fast at, and only where the model bears it."""

import torch
from torch import nn

from harness.api import ImageBackbone
from harness.model.precision import autocast, bears_bfloat16, products, suited
from harness.testing import small_backbone


def test_a_cpu_computes_in_float32():
    assert suited(small_backbone(), torch.device("cpu")) == "float32"


def test_a_convolutional_network_bears_bfloat16():
    assert bears_bfloat16(small_backbone())


class Difference(nn.Module):
    """A small difference of large numbers: what rounding destroys."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(256, 4)
        nn.init.constant_(self.layer.bias, 1e4)

    def forward(self, images):
        return self.layer(images.flatten(1)) - 1e4


def test_a_network_that_does_not_is_found_out():
    backbone = ImageBackbone(Difference(), [["layer"]], input_size=16, mean=[0.5], std=[0.5])
    assert not bears_bfloat16(backbone)


def test_autocast_is_for_bfloat16_alone():
    cpu = torch.device("cpu")
    one = torch.ones(2, 2)
    for precision, expected in (
        ("float32", torch.float32),
        ("tf32", torch.float32),
        ("bfloat16", torch.bfloat16),
    ):
        with autocast(precision, cpu):
            assert (one @ one).dtype == expected


def test_products_are_rounded_only_inside():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    for precision, expected in (("float32", ("highest", False)), ("tf32", ("high", True))):
        with products(precision):
            found = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
            assert found == expected
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
