"""Data on which no comparison could be made are refused, with all that is wrong."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from harness.api import ArrayInputs, Data, Dataset, FileInputs, Mistakes, Split
from harness.plan.datasets import load


@dataclass(frozen=True)
class Given(Dataset):
    """Just these data."""

    name = "given"
    data: Data

    def load(self):
        return self.data


def split(labels, inputs=None):
    images = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    return Split(inputs or ArrayInputs(images), torch.tensor(labels, dtype=torch.int64))


def refused(train, test=None, classes=("cat", "dog")):
    with pytest.raises(Mistakes) as caught:
        load(Given(Data(train=train, test=test, classes=classes)))
    assert caught.value.where == "dataset given"
    return caught.value.lines


def test_what_is_wrong_with_either_part_is_told():
    assert refused(split([1, 1]), split([0, 2])) == [
        "all training labels are of one class, 'dog'. Give at least two classes",
        "test labels run from 0 to 2, but it names 2 classes. Number the classes from 0",
    ]
    assert refused(split([0, 1]), split([])) == ["there are no test examples. Check its arguments"]


def test_images_that_cannot_be_decoded_are_named_in_both_parts(tmp_path):
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(tmp_path / "good.png")
    for name in ("train.png", "test.png"):
        (tmp_path / name).write_bytes((tmp_path / "good.png").read_bytes()[:40])
    good, *bad = (tmp_path / name for name in ("good.png", "train.png", "test.png"))
    parts = [split([0, 1], FileInputs((good, one))) for one in bad]
    for line, part, name in zip(refused(*parts), ("training", "test"), bad, strict=True):
        assert line.startswith(f"1 of 2 {part} images cannot be decoded: {name} (")
        assert line.endswith(". Repair or remove what is damaged")
