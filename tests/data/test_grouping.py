"""Groups come from the data, from a column or from names of files, and what shares them is told."""

from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.examples import ArrayInputs, Data, FileInputs, Split, TextInputs
from harness.data.grouping import groups_of
from harness.data.splits import Manifest
from harness.errors import HarnessError


def texts(column, groups=None):
    inputs = TextInputs(tuple(map(str, range(len(column)))))
    labels = torch.arange(len(column)) % 2
    return Split(inputs, labels, groups, {"patient": tuple(column)})


def files(*names):
    paths = tuple(Path("/some/p9_place", name) for name in names)
    return Data(train=Split(FileInputs(paths), torch.arange(len(names)) % 2), classes=("a", "b"))


def test_a_column_groups_both_parts_by_the_same_numbers():
    found = groups_of(Data(texts("xyxz"), ("a", "b"), test=texts("zw")), column="patient")
    assert found.train.tolist() == [0, 1, 0, 2]
    assert found.test.tolist() == [2, 3]


def test_a_pattern_is_of_the_name_of_a_file_and_not_of_its_folders():
    found = groups_of(files("cat/p1_2.png", "dog/p2_1.png", "dog/p1_7.png"), pattern=r"p(\d)_")
    assert found.train.tolist() == [0, 1, 0]


def test_groups_of_the_data_are_their_own():
    own = torch.tensor([5, 5, 7])
    found = groups_of(Data(texts("xyx", own), ("a", "b")))
    assert found.train.tolist() == [5, 5, 7]
    assert found.test is None


def test_a_subset_keeps_its_columns():
    chosen = texts("xyz").subset(torch.tensor([2, 0]))
    assert chosen.columns == {"patient": ("z", "x")}


def test_columns_are_no_part_of_the_digest_of_the_data():
    assert texts("xyz").digest() == texts("xxx").digest()


def test_the_digest_is_of_what_belongs_together_and_not_of_names():
    def digest(column):
        return groups_of(Data(texts(column), ("a", "b")), column="patient").digest()

    assert digest("xyxz") == digest("1213") != digest("xyyz")


@pytest.mark.parametrize(
    ("data", "by", "message"),
    [
        (Data(texts("xyz"), ("a", "b")), {}, "tell no groups of their own. Name a column"),
        (
            Data(texts("xyz"), ("a", "b")),
            {"column": "patent"},
            r"no column 'patent' to group by \(did you mean 'patient'\?\)",
        ),
        (Data(texts("x z"), ("a", "b")), {"column": "patient"}, "is empty in 1 of 3 rows"),
        (files("a.png", "b.png"), {"column": "patient"}, "the data are no table"),
        (Data(texts("xyz"), ("a", "b")), {"pattern": "(.)"}, "names of image files"),
        (
            files("p1_2.png", "x.png", "p.png"),
            {"pattern": r"p(\d)"},
            r"2 of 3 names of files don't have the pattern of groups 'p\(\\d\)': x.png, p.png",
        ),
    ],
)
def test_what_gives_no_groups_is_refused(data, by, message):
    with pytest.raises(HarnessError, match=message):
        groups_of(data, **by)


def test_what_shares_groups_is_counted_by_sets():
    """Against Python's sets, on random splits."""
    chance = np.random.default_rng(0)
    for official in (False, True):
        train, test = chance.choice(list("abcdef"), 30), chance.choice(list("abcxyz"), 12)
        data = Data(texts(train), ("a", "b"), test=texts(test) if official else None)
        rows = chance.permutation(30)
        tested = range(12) if official else rows[20:]
        manifest = Manifest(tuple(rows[:4]), tuple(rows[4:8]), tuple(tested), official)
        learned, validated = set(train[rows[:4]]), set(train[rows[4:8]])
        of_test = test if official else train[rows[20:]]
        assert groups_of(data, column="patient").shared(manifest) == {
            "group-val": sum(name in learned for name in train[rows[4:8]]),
            "group-test": sum(name in learned | validated for name in of_test),
        }


def test_arrays_without_groups_of_the_test_split_can_share_none():
    images = ArrayInputs(torch.zeros(4, 1, 2, 2, dtype=torch.uint8))
    labels = torch.tensor([0, 1, 0, 1])
    train = Split(images, labels, torch.tensor([0, 0, 1, 1]))
    found = groups_of(Data(train, ("a", "b"), test=Split(images, labels)))
    assert found.shared(Manifest((0, 1), (2, 3), (0,), official=True)) == {}
