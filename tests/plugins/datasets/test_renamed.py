"""Any dataset with its classes called otherwise, merged or left out."""

import pytest
import torch
from harness_plugins.datasets.renamed import Renamed, harness_datasets
from hypothesis import given
from hypothesis import strategies as st

from harness.api import Data, HarnessError, Split, TextInputs
from harness.data.protocols import class_numbers

ANIMALS = ("cat", "dog", "frog", "car")


def texts(classes=ANIMALS, held_out=()):
    """Two examples of each class, and a tested one: each says what it is of."""

    def split(each):
        labels = torch.arange(len(classes)).repeat(each)
        return Split(TextInputs(tuple(classes[label] for label in labels)), labels)

    return Data(split(2), tuple(classes), split(1), frozenset(held_out))


def renamed(data=None, **arguments):
    return Renamed("animals", **arguments).wrap(texts() if data is None else data)


def pairs(split, classes):
    """What each example was of, and what it is of now."""
    return [
        (text, classes[label])
        for text, label in zip(split.inputs.texts, split.labels.tolist(), strict=True)
    ]


def test_the_plugin_brings_renamed():
    assert harness_datasets() == [Renamed]


def test_classes_are_renamed_and_keep_their_order():
    data = renamed(classes={"car": "automobile", "cat": "kitten"})
    assert data.classes == ("kitten", "dog", "frog", "automobile")
    assert pairs(data.train, data.classes)[:4] == [*zip(ANIMALS, data.classes, strict=True)]
    assert data.notes == ()


def test_two_may_change_names():
    data = renamed(classes={"cat": "dog", "dog": "cat"})
    assert data.classes[:2] == ("dog", "cat")
    assert pairs(data.test, data.classes)[:2] == [("cat", "dog"), ("dog", "cat")]


def test_classes_of_one_new_name_are_merged_also_with_one_that_had_it():
    data = renamed(classes={"cat": "pet", "dog": "pet"})
    assert data.classes == ("pet", "frog", "car")
    assert data.train.labels.tolist() == [0, 0, 1, 2] * 2
    assert renamed(classes={"car": "dog"}).classes == ("cat", "dog", "frog")


def test_classes_are_left_out_of_both_splits():
    data = renamed(drop=["frog", "cat"])
    assert data.classes == ("dog", "car")
    assert pairs(data.train, data.classes) == [("dog", "dog"), ("car", "car")] * 2
    assert pairs(data.test, data.classes) == [("dog", "dog"), ("car", "car")]
    assert data.notes == ("renamed left out 2 of 4 classes of 'animals': cat, frog",)


def test_all_that_the_table_does_not_name_may_be_left_out():
    data = renamed(classes={"cat": "cat", "dog": "hound"}, drop="others")
    assert data.classes == ("cat", "hound")


def test_two_datasets_become_domains_of_one_task():
    """The classes of CIFAR-10 and STL-10 that both have, under one name."""
    one = renamed(texts(("airplane", "automobile", "bird", "frog")), drop=["frog"])
    other = renamed(
        texts(("airplane", "bird", "car", "monkey")),
        classes={"car": "automobile"},
        drop=["monkey"],
    )
    assert class_numbers(other, one).tolist() == [0, 2, 1]


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=4, max_size=4))
def test_every_example_is_of_the_class_that_the_table_says(new):
    table = {old: name for old, name in zip(ANIMALS, new, strict=True) if name is not None}
    if len({*table.values()}) < 2:
        return
    data = renamed(classes=table, drop="others")
    expected = [(old, table[old]) for old in ANIMALS if old in table]
    assert pairs(data.train, data.classes) == expected * 2
    assert data.train.labels.unique().numel() == len(data.classes)


def test_what_is_held_out_stays_so_under_its_new_name():
    data = renamed(texts(held_out=["cat", "dog"]), classes={"cat": "pet", "dog": "pet"})
    assert data.held_out == {"pet"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            {"classes": {"frgo": "toad"}},
            "classes names 'frgo', no class of 'animals' (did you mean 'frog'?)",
        ),
        ({"drop": ["monkey"]}, "drop names 'monkey', no class of 'animals' (known: car, cat, dog"),
        (
            {"classes": {"cat": "kitten"}, "drop": ["cat"]},
            "'cat' is renamed and left out. Take it out of classes or of drop",
        ),
        (
            {"drop": ["cat", "dog", "frog"]},
            "1 of 4 classes of 'animals' are left. Keep at least two",
        ),
        ({"classes": dict.fromkeys(ANIMALS, "thing")}, "1 of 4 classes of 'animals' are left"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(arguments, line):
    with pytest.raises(HarnessError) as caught:
        renamed(**arguments)
    assert str(caught.value).startswith(f"dataset renamed: {line}")
    assert "\n" not in str(caught.value)


def test_held_out_classes_are_not_merged_with_others():
    with pytest.raises(HarnessError, match="'pet' merges classes that are held out with others: d"):
        renamed(texts(held_out=["cat"]), classes={"cat": "pet", "dog": "pet"})
