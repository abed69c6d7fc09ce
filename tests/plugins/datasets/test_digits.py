"""scikit-learn's handwritten digits as a dataset of the harness."""

import torch
from harness_plugins.datasets.digits import Digits, harness_datasets
from sklearn.datasets import load_digits

from harness.testing import DatasetChecks


def test_the_plugin_brings_digits() -> None:
    assert harness_datasets() == [Digits]


class TestDigits(DatasetChecks):
    dataset = Digits()


def test_there_are_1797_grey_images_of_ten_digits() -> None:
    data = Digits().load()
    images = data.train.inputs.read(range(len(data.train.inputs)))
    assert isinstance(images, torch.Tensor)
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert data.classes == tuple("0123456789")
    assert data.test is None
    assert data.train.labels.bincount().tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]


def test_full_ink_is_255_and_the_seventeen_levels_stay_apart() -> None:
    data = Digits().load()
    images = data.train.inputs.read(range(1797))
    assert isinstance(images, torch.Tensor)
    levels = torch.from_numpy(load_digits().images)[:, None]
    assert torch.equal((images.double() * 16 / 255).round(), levels)
    assert images.max() == 255


def test_loading_twice_gives_the_same_digest() -> None:
    assert Digits().load().digest() == Digits().load().digest()
