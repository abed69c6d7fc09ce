"""No group is on two sides of a split, and classes come near their shares of each."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from harness.data.grouped_splits import assign, draw_grouped_split
from harness.errors import HarnessError

SHARES = [0.64, 0.16, 0.2]


@st.composite
def grouped(draw):
    """Labels and groups: of one class each, of several, or both."""
    classes = draw(st.integers(2, 4))
    groups = draw(st.integers(6, 14))
    sizes = draw(st.lists(st.integers(1, 9), min_size=groups, max_size=groups))
    mixed = draw(st.booleans())
    seed = draw(st.integers(0, 1000))
    numbers = np.repeat(np.arange(groups), sizes)
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, classes, len(numbers)) if mixed else numbers % classes
    assume(len(np.unique(labels)) == classes)
    return torch.from_numpy(labels).long(), torch.from_numpy(numbers).long()


def split(labels, groups, shots="all", seed=0, **options):
    defaults = {
        "val_fraction": 0.2,
        "val_shots": None,
        "test_fraction": 0.2,
        "official_test": None,
        "names": [f"class {n}" for n in range(100)],
    }
    return draw_grouped_split(labels, groups, shots=shots, seed=seed, **{**defaults, **options})


def drawn_or_refused(*args, **options):
    try:
        return split(*args, **options)
    except HarnessError:
        assume(False)


def members(groups, rows):
    return set(groups[list(rows)].tolist())


@given(grouped(), st.sampled_from([1, 2, "all"]), st.integers(0, 50), st.booleans())
@settings(max_examples=60)
def test_no_group_is_on_two_sides_and_every_class_on_each(data, shots, seed, official):
    labels, groups = data
    drawn = drawn_or_refused(labels, groups, shots, seed, official_test=7 if official else None)
    sides = [drawn.train, drawn.val] + ([] if official else [drawn.test])
    for place, one in enumerate(sides):
        assert labels[list(one)].unique().tolist() == labels.unique().tolist()
        for other in sides[:place]:
            assert not set(one) & set(other)
            assert not members(groups, one) & members(groups, other)
    if shots == "all":
        assert sum(map(len, sides)) == len(labels)
    else:
        for side in (drawn.train, drawn.val):
            assert labels[list(side)].bincount().tolist() == [shots] * (int(labels.max()) + 1)
    assert drawn == split(labels, groups, shots, seed, official_test=7 if official else None)


@given(grouped(), st.integers(0, 50))
@settings(max_examples=40)
def test_all_numbers_of_shots_are_tested_on_the_same_and_fewer_are_a_subset(data, seed):
    labels, groups = data
    every = drawn_or_refused(labels, groups, "all", seed)
    assume(labels[list(every.val)].bincount().min() >= 2)  # no groups go over to validation
    assume(labels[list(every.train)].bincount().min() >= 2)
    one, two = (split(labels, groups, shots, seed) for shots in (1, 2))
    assert set(one.train) < set(two.train) <= set(every.train)
    assert set(one.val) < set(two.val) <= set(every.val)
    assert one.test == two.test == every.test


@given(grouped(), st.integers(0, 50))
@settings(max_examples=40)
def test_which_groups_are_together_counts_and_not_how_they_are_numbered(data, seed):
    labels, groups = data
    drawn = drawn_or_refused(labels, groups, "all", seed)
    assert split(labels, 3 * groups + 5, "all", seed) == drawn


def badness(counts, part):
    """The sum of ``(have - wanted)² / wanted``, in float64; infinite where a class lacks."""
    have = np.stack([counts[np.asarray(part) == p].sum(0) for p in range(3)]).astype(float)
    wanted = np.outer(SHARES, counts.sum(0))
    return np.inf if (have == 0).any() else ((have - wanted) ** 2 / wanted).sum()


@pytest.mark.parametrize("seed", range(4))
def test_it_comes_near_to_the_best_of_all_assignments(seed):
    chance = np.random.default_rng(seed)
    counts = chance.integers(0, 6, (8, 2))
    every = [badness(counts, part) for part in product(range(3), repeat=8)]
    found = [badness(counts, assign(counts, SHARES, draw)) for draw in range(3)]
    assert max(found) <= np.quantile(every, 0.01)


def test_shares_are_as_near_as_those_of_scikit_learns_stratified_group_folds():
    """Of 200 patients with 1 to 20 images each and three classes, one of them rare."""
    chance = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), chance.integers(1, 21, 200))
    usual = chance.choice(3, 200, p=[0.6, 0.35, 0.05])
    labels = np.where(chance.random(len(groups)) < 0.9, usual[groups], chance.integers(0, 3))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    sizes = np.bincount(labels)

    def worst(rows):
        return np.abs(np.bincount(labels[rows], minlength=3) / sizes - 0.2).max()

    theirs = [worst(test) for _, test in folds.split(labels, labels, groups)]
    given = torch.from_numpy(labels), torch.from_numpy(groups)
    ours = [worst([*split(*given, seed=seed).test]) for seed in range(5)]
    assert max(ours) <= max(theirs)
    assert max(ours) < 0.02


def test_seeds_draw_other_groups():
    labels, groups = torch.arange(120) // 2 % 2, torch.arange(120) // 4
    tests = {split(labels, groups, seed=seed).test for seed in range(10)}
    assert len(tests) == 10


def test_a_class_in_two_groups_can_be_in_two_parts_only():
    """By hand: the test split is given in the second case, so that two parts are drawn."""
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    groups = torch.tensor([0, 1, 2, 3, 4, 4, 5, 5])
    with pytest.raises(HarnessError, match=r"one of its own: 'class 1' \(2\)\. Give them more"):
        split(labels, groups)
    drawn = split(labels, groups, official_test=3)
    assert members(groups, drawn.val) & {4, 5}
    assert drawn.test == (0, 1, 2)


def test_vtab_sizes_are_drawn_where_groups_allow():
    labels = torch.arange(4000) % 5
    drawn = split(labels, torch.arange(4000) // 5, "vtab1k")
    assert (len(drawn.train), len(drawn.val)) == (800, 200)
    assert not members(torch.arange(4000) // 5, drawn.train) & members(
        torch.arange(4000) // 5, drawn.val
    )


def test_validation_takes_groups_from_training_where_it_has_too_few():
    """Of 50 examples of a class, in tens, a fifth of what is not tested is 8 < 10."""
    labels, groups = torch.arange(100) % 2, torch.arange(100) // 20
    drawn = split(labels, groups, 10)
    assert len(drawn.val) == len(drawn.train) == 20
    with pytest.raises(HarnessError, match=r"'class 0' \(\d+ to train on and \d+ to .* Lower"):
        split(labels, groups, 35)
