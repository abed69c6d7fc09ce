"""Copies planted in real photographs are found, and little else."""

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from harness.data.near_duplicates import near_duplicates, square

CIFAR = Path(__file__).parents[3] / "shared/data/cifar10-12k.zip"


def recompressed(image, chance):
    """JPEG of quality 50 to 90 at 0.6 to 1.5 times the size."""
    by, content = chance.uniform(0.6, 1.5), io.BytesIO()
    size = tuple(round(by * side) for side in image.size)
    image.resize(size, Image.BICUBIC).save(content, "jpeg", quality=chance.randint(50, 90))
    return Image.open(content).convert("RGB")


def cropped(image, chance):
    """A window with 80 to 100 % of the area, of the image's shape or another, half of them brought
    back to the image's size and recompressed."""
    area = chance.uniform(0.8, 1)
    wide = area**0.5 if chance.random() < 0.5 else chance.uniform(area, 1)
    width, height = (
        int(np.ceil(share * side))
        for share, side in zip((wide, area / wide), image.size, strict=True)
    )
    left = chance.randint(0, image.width - width)
    top = chance.randint(0, image.height - height)
    window = image.crop((left, top, left + width, top + height))
    if chance.random() < 0.5:
        return window
    content = io.BytesIO()
    window.resize(image.size, Image.BICUBIC).save(content, "jpeg", quality=90)
    return Image.open(content).convert("RGB")


def planted(images, every=10):
    """The images and, after them, copies of some: a kind and a row for each copy."""
    chance = random.Random(0)
    kinds = {"recompressed": recompressed, "cropped": cropped}
    truth, copies = [], []
    for start, (kind, make) in enumerate(kinds.items()):
        for row in range(start * every // 2, len(images), every):
            truth.append((kind, row))
            copies.append(make(images[row], chance))
    return [*images, *copies], truth


def scores(pairs, truth, count):
    """Recall of each kind of copy, and the share of all images that are in a pair which was not
    planted."""
    wanted = {(row, count + place): kind for place, (kind, row) in enumerate(truth)}
    found = {(pair.one, pair.other) for pair in pairs}
    recalls = {
        kind: np.mean([pair in found for pair, of in wanted.items() if of == kind])
        for kind in ("recompressed", "cropped")
    }
    false = {row for pair in found - wanted.keys() for row in pair}
    return recalls, len(false) / (count + len(truth))


def tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.fixture(scope="module")
def photos():
    """Parts of two photographs, of 64 x 64 pixels, none of which overlap."""
    tiles = [
        Image.fromarray(photo[top : top + 64, left : left + 64])
        for photo in load_sample_images().images
        for top in range(0, 384, 64)
        for left in range(0, 640, 64)
    ]
    sharp = [np.abs(np.diff(np.array(tile, np.float32), axis=1)).mean() for tile in tiles]
    return [tile for tile, edges in zip(tiles, sharp, strict=True) if edges > 5]  # some are sky


def pairs_of(images):
    return near_duplicates([square(tensor(image)) for image in images])


def test_planted_copies_are_found_and_little_else(photos):
    images, truth = planted(photos, every=6)
    recalls, false = scores(pairs_of(images), truth, len(photos))
    print(f"recall {recalls}, falsely matched {false:.1%} of {len(images)} images")
    assert min(recalls.values()) >= 0.95
    assert false <= 0.01


def test_copies_of_copies_are_pairs_too(photos):
    one = photos[3]
    found = pairs_of([*photos[:3], one, one.resize((96, 96)), one.resize((50, 50))])
    assert {(pair.one, pair.other) for pair in found} == {(3, 4), (3, 5), (4, 5)}
    assert [pair.correlation for pair in found] == sorted(
        (pair.correlation for pair in found), reverse=True
    )


def test_a_mirrored_image_and_half_of_one_are_none(photos):
    one = photos[3]
    half = one.crop((0, 0, 32, 64))
    assert pairs_of([one, one.transpose(Image.Transpose.FLIP_LEFT_RIGHT), half]) == []


def test_images_of_one_colour_are_no_duplicates_of_each_other():
    flat = [torch.full((3, 20, 20), shade, dtype=torch.uint8) for shade in (0, 0, 7, 255)]
    assert near_duplicates([square(image) for image in flat]) == []
    assert near_duplicates([]) == []


def test_the_correlation_of_a_grey_image_with_its_colour_copy_is_one(photos):
    grey = tensor(photos[5])[:1]
    (pair,) = near_duplicates([square(grey), square(grey.expand(3, -1, -1))])
    assert pair.correlation == pytest.approx(1)


@pytest.mark.realdata
@pytest.mark.skipif(not CIFAR.exists(), reason="the shared data are not there")
def test_copies_planted_in_cifar_are_found():
    """Of what is falsely matched there, some are near duplicates that CIFAR-10 has itself."""
    with zipfile.ZipFile(CIFAR) as archive:
        names = [name for name in archive.namelist() if "train/" in name and name.endswith(".jpg")]
        chosen = random.Random(0).sample(sorted(names), 2000)
        photos = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in chosen]
    images, truth = planted(photos, every=20)
    recalls, false = scores(pairs_of(images), truth, len(photos))
    print(f"recall {recalls}, falsely matched {false:.2%} of {len(images)} images")
    assert min(recalls.values()) >= 0.95
    assert false <= 0.01
