"""Any dataset of images with one of the fifteen common corruptions."""

from typing import get_args, get_type_hints

import pytest
import torch
from harness_plugins.datasets._corruptions import CORRUPTIONS
from harness_plugins.datasets.corrupted import Corrupted, harness_datasets
from PIL import Image

from harness.api import ArrayInputs, Data, FileInputs, HarnessError, Split
from harness.data.digests import example_digests
from harness.plan.datasets import Datasets
from harness.registry import load


def images(count, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, 16, 16)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def data(train, test=None, unlabelled=None):
    def split(pixels):
        return Split(ArrayInputs(pixels), torch.arange(len(pixels)) % 2)

    more = None if unlabelled is None else ArrayInputs(unlabelled)
    tested = None if test is None else split(test)
    return Data(split(train), ("a", "b"), tested, unlabelled=more)


def noise(**arguments):
    return Corrupted("any", corruption="gaussian_noise", **arguments)


def read(inputs):
    return torch.stack([*inputs.read(range(len(inputs)))])


def test_the_plugin_brings_corrupted():
    assert harness_datasets() == [Corrupted]


def test_all_corruptions_can_be_asked_for():
    assert get_args(get_type_hints(Corrupted)["corruption"]) == tuple(CORRUPTIONS)


def test_only_the_test_split_is_corrupted():
    clean = data(images(6), images(4, seed=1), images(3, seed=2))
    found = noise().wrap(clean)
    assert found.train is clean.train
    assert found.unlabelled is clean.unlabelled
    assert found.test.labels is clean.test.labels
    changed = read(found.test.inputs)
    assert (changed.shape, changed.dtype) == ((4, 3, 16, 16), torch.uint8)
    assert (changed != images(4, seed=1)).double().mean() > 0.5
    assert found.notes == ("corrupted put gaussian_noise of severity 3 on the images of test",)


def test_other_parts_are_where_they_are_named():
    clean = data(images(6), images(4, seed=1), images(3, seed=2))
    found = noise(splits=["train", "unlabelled"]).wrap(clean)
    assert found.test is clean.test
    assert not torch.equal(read(found.train.inputs), images(6))
    assert not torch.equal(read(found.unlabelled), images(3, seed=2))


def test_an_image_is_corrupted_alike_whatever_stands_beside_it_and_however_it_is_kept(tmp_path):
    pixels = images(4)
    together = noise().wrap(data(images(2, seed=9), pixels)).test.inputs
    alone = noise().wrap(data(images(2, seed=9), pixels[2:3])).test.inputs
    assert torch.equal(together.read([3, 2])[1], alone.read([0])[0])
    Image.fromarray(pixels[2].permute(1, 2, 0).numpy()).save(tmp_path / "one.png")
    files = Split(FileInputs((tmp_path / "one.png",)), torch.tensor([0]))
    filed = noise().wrap(Data(data(images(2)).train, ("a", "b"), files)).test.inputs
    (found,) = filed.read([0])
    assert torch.equal(found, alone.read([0])[0])


def test_equal_noise_of_another_seed_or_image_is_other_noise():
    flat = torch.full((2, 3, 16, 16), 100, dtype=torch.uint8)
    flat[1, 0, 0, 0] = 101
    one, other = read(noise().wrap(data(images(2), flat)).test.inputs)
    again, _ = read(noise(seed=1).wrap(data(images(2), flat)).test.inputs)
    assert not torch.equal(one[1:], other[1:])
    assert not torch.equal(one, again)


def test_severities_are_of_the_same_draws():
    flat = torch.full((1, 3, 16, 16), 128, dtype=torch.uint8)
    weak, strong = (
        read(noise(severity=s).wrap(data(images(2), flat)).test.inputs).double() - 128
        for s in (1, 5)
    )
    assert torch.allclose(strong, weak * 0.10 / 0.04, atol=2.0)


def test_what_is_corrupted_is_in_the_digest_and_not_how_it_is_stored():
    clean = data(images(6), images(4, seed=1))
    digests = {
        wrapper.wrap(clean).digest()
        for wrapper in (
            noise(),
            noise(severity=4),
            noise(seed=1),
            noise(splits=["train"]),
            Corrupted("any", corruption="fog"),
        )
    }
    assert len({*digests, clean.digest()}) == 6
    assert noise().wrap(data(images(6), images(4, seed=1))).digest() in digests
    assert noise().wrap(data(images(6), images(4, seed=2))).digest() not in digests


def test_a_leak_is_found_behind_the_corruption():
    found = noise().wrap(data(images(6), images(6)[:2])).test.inputs
    assert example_digests(found) == example_digests(ArrayInputs(images(6)[:2]))


def test_of_data_without_a_test_split_a_fifth_is_set_apart():
    datasets = Datasets(load())
    asked = {"dataset": "digits", "corruption": "pixelate", "severity": 5}
    loaded = datasets.load("corrupted", asked)
    assert len(loaded.data.test.labels) == 359
    assert loaded.data.test.inputs.read([0, 1]).shape == (2, 1, 8, 8)
    other = datasets.load("corrupted", {**asked, "corruption": "contrast"})
    assert loaded.test_digests == other.test_digests, "of all corruptions the same"


@pytest.mark.parametrize(
    ("given", "splits", "line"),
    [
        (images(4, channels=2), ["test"], "images of 'any' have 2 channels. corrupted takes grey"),
        (images(4), ["unlabelled"], "'any' has no unlabelled split to corrupt. Name others in"),
    ],
)
def test_what_cannot_be_corrupted_is_refused(given, splits, line):
    with pytest.raises(HarnessError) as caught:
        noise(splits=splits).wrap(data(given))
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ({}, "dataset 'corrupted': argument 'corruption' is missing"),
        ({"corruption": "gausian_noise"}, "dataset 'corrupted': argument 'corruption' should be"),
        ({"corruption": "fog", "severity": 6}, "dataset 'corrupted': argument 'severity' should"),
        ({"corruption": "fog", "splits": ["val"]}, "dataset 'corrupted': argument 'splits' "),
    ],
)
def test_wrong_arguments_are_one_line(args, line):
    with pytest.raises(HarnessError) as caught:
        Datasets(load()).load("corrupted", {"dataset": "digits", **args})
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
