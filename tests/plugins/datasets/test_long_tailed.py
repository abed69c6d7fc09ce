"""Any dataset with a long tail."""

import numpy as np
import pytest
import torch
from harness_plugins.datasets.long_tailed import LongTailed, harness_datasets, profile
from hypothesis import given
from hypothesis import strategies as st

from harness.api import ArrayInputs, Data, HarnessError, Split, TextInputs
from harness.plan.datasets import Datasets
from harness.registry import load

PUBLISHED = {
    (5000, 10, 100): [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
    (5000, 10, 10): [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500],
}
"""Sizes of the classes of long-tailed CIFAR-10, as papers on it list them."""


def numbered(sizes, test=None):
    """Data whose images are numbered, with so many of each class, class after class."""

    def split(each):
        labels = torch.repeat_interleave(torch.arange(len(each)), torch.tensor(each))
        numbers = torch.arange(len(labels) * 2, dtype=torch.int32).view(torch.uint8)
        images = numbers.reshape(len(labels), 1, 2, 4)
        return Split(ArrayInputs(images), labels, labels * 10)

    names = tuple(f"class {place}" for place in range(len(sizes)))
    return Data(split(sizes), names, split(test) if test else None)


def images_of(split):
    return {bytes(image.flatten().tolist()) for image in split.inputs.images}


def test_the_plugin_brings_long_tailed():
    assert harness_datasets() == [LongTailed]


@pytest.mark.parametrize(("arguments", "sizes"), PUBLISHED.items())
def test_the_profile_is_that_of_the_published_sets(arguments, sizes):
    assert profile(*arguments) == sizes


@given(st.integers(1, 10_000), st.integers(2, 200), st.floats(1, 1000))
def test_the_profile_falls_from_the_largest_class_to_one_that_is_so_many_times_smaller(
    largest, classes, factor
):
    sizes = profile(largest, classes, factor)
    exact = largest * np.geomspace(1, 1 / factor, classes)
    assert (np.abs(np.maximum(exact, 1) - sizes) <= 1 + 1e-9).all()
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == largest
    assert min(sizes) >= 1


def test_only_training_examples_are_left_out_each_with_what_belongs_to_it():
    data = numbered([40, 40, 40], test=[5, 5, 5])
    tailed = LongTailed("any", factor=4).wrap(data)
    assert tailed.train.labels.bincount().tolist() == [40, 20, 10]
    assert images_of(tailed.train) < images_of(data.train)
    assert tailed.train.groups.tolist() == (tailed.train.labels * 10).tolist()
    assert tailed.test is data.test
    assert tailed.notes == (
        "long_tailed keeps 70 of 120 training examples, from 40 of 'class 0' to 10 of 'class 2'",
    )


def test_a_class_that_is_smaller_than_its_place_keeps_all_it_has():
    tailed = LongTailed("any", factor=4).wrap(numbered([40, 3, 40], test=[1, 1, 1]))
    assert tailed.train.labels.bincount().tolist() == [40, 3, 10]


def test_a_smaller_factor_keeps_more_of_the_same_and_another_seed_others():
    data = numbered([40, 40], test=[5, 5])
    few, more = (images_of(LongTailed("any", factor=f).wrap(data).train) for f in (10, 2))
    assert few < more
    assert few != images_of(LongTailed("any", factor=10, seed=1).wrap(data).train)
    assert few == images_of(LongTailed("any", factor=10).wrap(data).train)


def test_of_data_without_a_test_split_a_fifth_of_each_class_becomes_one_first():
    data = numbered([50, 20, 1])
    tailed = LongTailed("mine", factor=2).wrap(data)
    assert tailed.test.labels.bincount().tolist() == [10, 4]
    assert tailed.train.labels.bincount().tolist() == [40, 16, 1]
    assert not images_of(tailed.train) & images_of(tailed.test)
    assert tailed.notes[0] == (
        "'mine' has no test split of its own: a fifth of each class, 14 of 71 examples, was set "
        "apart as one"
    )
    assert images_of(tailed.test) == images_of(LongTailed("mine", factor=9).wrap(data).test)


def test_texts_may_have_a_tail_too():
    words = tuple(f"word {number}" for number in range(40))
    data = Data(Split(TextInputs(words), torch.arange(40) % 2), ("even", "odd"))
    tailed = LongTailed("any", factor=4).wrap(data)
    assert tailed.train.labels.bincount().tolist() == [16, 4]
    numbers = [int(text.split()[1]) for text in tailed.train.inputs.texts]
    assert [number % 2 for number in numbers] == tailed.train.labels.tolist()


def test_digits_have_a_tail_as_a_suite_asks_for_it():
    loaded = Datasets(load()).load("long_tailed", {"dataset": "digits", "factor": 10})
    sizes = loaded.data.train.labels.bincount()
    assert (sizes[0], sizes[-1]) == (142, 14)
    assert len(loaded.data.test.labels) == 359


@pytest.mark.parametrize("factor", [0.5, float("inf"), float("nan")])
def test_a_factor_below_one_is_refused(factor):
    with pytest.raises(HarnessError, match=r"^long_tailed's factor is .*\. Give 1 or more$"):
        LongTailed("any", factor=factor)
