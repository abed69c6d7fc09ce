"""RandAugment, against torchvision's, image by image."""

import pytest
import torch
from harness_plugins.tricks.randaugment import Operating, RandAugment
from torch import nn
from torchvision.transforms import v2

from harness.api import Batch, HarnessError, ImageBackbone
from harness.testing import RegulariserChecks, TrickChecks


class TestRandAugment(TrickChecks):
    trick = RandAugment()


class TestOperating(RegulariserChecks):
    def given(self, backbone, task, run):
        return Operating(2, 9)


def images(count=6, channels=3):
    generator = torch.Generator().manual_seed(1)
    shape = (count, channels, 16, 16)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def changed(inputs, count=2, magnitude=15):
    generator = torch.Generator().manual_seed(0)
    batch = Batch(None, inputs, None, torch.arange(len(inputs)), 0.0, generator)
    return Operating(count, magnitude).batch(batch).inputs


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_changed_as_torchvision_would(channels):
    given = images(channels=channels)
    found = changed(given)
    seed = torch.randint(2**63 - 1, (), generator=torch.Generator().manual_seed(0)).item()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transform = v2.RandAugment(num_ops=2, magnitude=15)
        expected = [transform(image) for image in given]
    assert found.dtype == torch.uint8
    assert torch.equal(found, torch.stack(expected))


def test_images_have_draws_of_their_own():
    same = images(1).expand(12, -1, -1, -1)
    assert len({image.numpy().tobytes() for image in changed(same)}) > 6


def test_views_that_are_floats_are_changed_as_whole_pixels():
    given = images()
    found = changed(given.float() + 0.2)
    assert found.dtype == torch.float32
    assert torch.equal(found, changed(given).float())


def test_torchs_own_draws_go_on_as_if_nothing_had_been_drawn():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    changed(images())
    assert torch.equal(torch.rand(4), expected)


def test_what_is_neither_grey_nor_colour_is_refused():
    body = nn.Sequential(nn.Flatten(), nn.Linear(5 * 64, 2))
    backbone = ImageBackbone(body, [["1"]], input_size=8, mean=[0.5] * 5, std=[0.5] * 5)
    with pytest.raises(HarnessError, match="the model takes 5 channels"):
        RandAugment().check_backbone(backbone)


def test_no_operations_at_all_are_refused():
    with pytest.raises(HarnessError, match="Give 1 or more"):
        RandAugment(count=0)
