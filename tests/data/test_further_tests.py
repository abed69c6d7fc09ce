"""Which examples of other data are tested beside a problem's own."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.examples import Data, Split, TextInputs
from harness.data.further_tests import rows_to_test
from harness.data.loaded import Loaded
from harness.data.protocols import target_split

CLASSES = ("a", "b")


def split(labels, prefix=""):
    words = tuple(f"{prefix}{row}" for row in range(len(labels)))
    return Split(TextInputs(words), torch.tensor(labels))


def loaded(train, test=None, prefix="", classes=CLASSES):
    data = Data(split(train, prefix), classes, split(test, prefix) if test else None)
    return Loaded(data, prefix)


LEARNED = loaded([0, 1] * 10)
DRAWN = target_split(LEARNED.data, shots=2, seed=0, val_fraction=0.2, test_fraction=0.3)


def test_an_official_test_split_is_tested_whole():
    other = loaded([0, 1] * 10, test=[1, 0, 1], prefix="x")
    assert [*rows_to_test(LEARNED, DRAWN, other)] == [0, 1, 2]


def test_data_of_one_part_are_tested_whole():
    other = loaded([0, 1, 1], prefix="x")
    assert [*rows_to_test(LEARNED, DRAWN, other)] == [0, 1, 2]


def test_of_a_copy_of_what_was_learned_from_the_rows_are_tested_that_are_in_the_original():
    copy = loaded([0, 1] * 10, prefix="corrupted ")
    assert rows_to_test(LEARNED, DRAWN, copy) == DRAWN.test


def test_labels_that_mean_other_classes_make_no_copy():
    other = loaded([0, 1] * 10, prefix="x", classes=("b", "a"))
    assert len(rows_to_test(LEARNED, DRAWN, other)) == 20


def test_where_the_test_is_official_nothing_of_the_training_data_is_held_back_to_be_tested():
    learned = loaded([0, 1] * 10, test=[0, 1])
    manifest = target_split(learned.data, shots=2, seed=0, val_fraction=0.2, test_fraction=0.3)
    assert len(rows_to_test(learned, manifest, loaded([0, 1] * 10, prefix="x"))) == 20


@given(st.lists(st.integers(0, 1), min_size=12, max_size=40), st.integers(0, 5))
def test_no_row_of_a_copy_is_tested_whose_original_was_learned_from(labels, seed):
    labels = [0] * 6 + [1] * 6 + labels
    learned = loaded(labels)
    manifest = target_split(learned.data, shots=2, seed=seed, val_fraction=0.2, test_fraction=0.2)
    copy = replace(learned, data=replace(learned.data, train=split(labels, "copy ")))
    seen = {*manifest.train, *manifest.val}
    assert seen.isdisjoint(rows_to_test(learned, manifest, copy))
