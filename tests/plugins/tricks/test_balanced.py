"""Balanced batches, by what is counted in them."""

from dataclasses import replace

import pytest
import torch
from harness_plugins.tricks.balanced import Balanced, class_aware

from harness.api import HarnessError, OneClass, Recipe, Task
from harness.testing import TrickChecks, digits, shots, small_backbone

COUNTS = (24, 6, 2)


class TestBalanced(TrickChecks):
    trick = Balanced()


@pytest.fixture(scope="module")
def examples():
    found = digits(small_backbone())
    rows = [torch.nonzero(found.labels == c).flatten()[:n] for c, n in enumerate(COUNTS)]
    return found.subset(torch.cat(rows))


def batches(examples, batch_size, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [*class_aware(examples, batch_size, steps, generator)]


@pytest.mark.parametrize("batch_size", [1, 5, 9, 32])
def test_all_classes_are_seen_equally_often(examples, batch_size):
    found = batches(examples, batch_size, 12)
    assert {len(rows) for rows in found} == {batch_size}
    labels = examples.labels[torch.cat(found)]
    counts = labels.bincount(minlength=3)
    assert counts.max() - counts.min() <= 1
    for rows in found:  # and in one batch, where two turns of all may meet
        own = examples.labels[rows].bincount(minlength=3)
        assert own.max() - own.min() <= 2


def test_a_class_shows_all_that_it_has_before_it_repeats_itself(examples):
    rows = torch.cat(batches(examples, 9, 8))  # 24 of each class
    for label, count in enumerate(COUNTS):
        own = rows[examples.labels[rows] == label]
        for turn in own.split(count):
            assert len(turn.unique()) == count


def test_no_batch_is_larger_than_all_examples(examples):
    assert [len(rows) for rows in batches(examples, 1000, 2)] == [32, 32]


def test_a_class_without_examples_has_no_turn(examples):
    there = examples.subset(torch.nonzero(examples.labels != 1).flatten())
    labels = there.labels[torch.cat(batches(there, 4, 4))]
    assert labels.bincount(minlength=3).tolist() == [8, 0, 8]


def test_draws_are_the_generators(examples):
    first, again, other = (torch.stack(batches(examples, 8, 5, seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_sampler_of_its_own_is_not_passed_over():
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 1, 4), OneClass.of(4))
    recipe = replace(Recipe(backbone, (), lr=0.1), sampler=class_aware)
    with pytest.raises(HarnessError, match="draws its own"):
        Balanced().amend(recipe, task, {}, None)
