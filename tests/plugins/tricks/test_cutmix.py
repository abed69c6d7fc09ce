"""CutMix, against timm's boxes and the definition of a mixture."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness_plugins.tricks.cutmix import Cutmix, Cutting, box
from timm.data.mixup import rand_bbox

from harness.api import Batch
from harness.testing import RegulariserChecks, TrickChecks


class TestCutmix(TrickChecks):
    trick = Cutmix()


class TestCutting(RegulariserChecks):
    def given(self, backbone, task, run):
        return Cutting(1.0, task.classes)


@pytest.mark.parametrize("size", [(16, 16), (20, 12)])
def test_boxes_are_those_of_timm(size):
    for seed in range(40):
        left = np.random.RandomState(seed).beta(1, 1)
        # A box of an even number of pixels, which all versions of timm cut alike.
        if any(int(side * np.sqrt(1 - left)) % 2 for side in size):
            continue
        np.random.seed(seed)  # what timm draws from
        expected = rand_bbox((3, *size), left)
        np.random.seed(seed)
        centre = np.random.randint(size[0]), np.random.randint(size[1])
        rows, columns = box(size, left, centre)
        assert (rows.start, rows.stop, columns.start, columns.stop) == expected


def a_batch(targets, generator, size=(8, 6)):
    """Of images that are all their own number."""
    count = len(targets)
    inputs = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, *size)
    return Batch(None, inputs, targets, torch.arange(count), 0.0, generator)


@pytest.mark.parametrize("soft", [False, True])
def test_targets_are_mixed_as_the_pixels_are(soft):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(5) % 3
    targets = F.one_hot(labels, 3).float() * 0.5 + 1 / 6 if soft else labels
    known = targets if soft else F.one_hot(labels, 3).float()
    shares = []
    for _ in range(30):
        mixed = Cutting(1.0, 3).batch(a_batch(targets, generator))
        assert mixed.inputs.dtype == torch.uint8
        for number, image in enumerate(mixed.inputs):
            found = image.flatten().long().bincount(minlength=5) / image.numel()
            assert (found > 0).sum() <= 2
            torch.testing.assert_close(mixed.targets[number], found @ known)
            assert found[number] > 0 or (image == image[0, 0, 0]).all()
            shares.append(found[number].item())
    assert 0 < min(shares) < 0.4
    assert max(shares) == 1.0


def test_what_is_cut_is_a_box_in_the_place_of_the_same_box():
    """Where each pixel tells where it comes from."""
    places = torch.arange(8 * 6).reshape(1, 8, 6)
    inputs = torch.stack([places, 100 + places])
    batch = Batch(None, inputs, torch.tensor([0, 1]), torch.arange(2), 0.0, torch.Generator())
    for _ in range(20):
        mixed = Cutting(1.0, 2).batch(batch).inputs
        assert torch.equal(mixed % 100, inputs % 100)
        taken = (mixed[0, 0] >= 100).nonzero()
        if len(taken):
            (top, left), (bottom, right) = taken.min(0).values, taken.max(0).values
            assert len(taken) == (bottom - top + 1) * (right - left + 1)
    assert torch.equal(inputs[0], places), "the inputs that were given are changed"
