"""Splits are stratified, nested, disjoint and the same for a seed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.splits import draw_split
from harness.errors import HarnessError

labelled = st.lists(st.integers(6, 25), min_size=2, max_size=6).map(
    lambda counts: torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
)


def split(labels, shots="all", seed=0, **options):
    defaults = {
        "val_fraction": 0.2,
        "val_shots": None,
        "test_fraction": 0.2,
        "official_test": None,
    }
    return draw_split(labels, shots=shots, seed=seed, **{**defaults, **options})


@given(labelled, st.integers(0, 100), st.sampled_from([1, 2, "all"]))
def test_parts_are_disjoint_and_hold_every_class(labels, seed, shots):
    drawn = split(labels, shots, seed)
    train, val, test = set(drawn.train), set(drawn.val), set(drawn.test)
    assert train.isdisjoint(val | test)
    assert val.isdisjoint(test)
    for part in (drawn.train, drawn.val, drawn.test):
        assert labels[list(part)].unique().tolist() == labels.unique().tolist()
    if shots == "all":
        assert train | val | test == set(range(len(labels)))
    else:
        assert labels[list(drawn.train)].bincount().tolist() == [shots] * (labels.max() + 1)
        assert len(drawn.val) == len(drawn.train)


@given(labelled, st.integers(0, 100))
def test_fewer_shots_are_part_of_more_and_are_tested_on_the_same(labels, seed):
    one, two, everything = (split(labels, shots, seed) for shots in (1, 2, "all"))
    assert set(one.train) < set(two.train) < set(everything.train)
    assert one.test == two.test == everything.test


@given(labelled, st.integers(0, 100))
def test_a_seed_draws_the_same_split_and_the_digest_tells_splits_apart(labels, seed):
    assert split(labels, seed=seed) == split(labels, seed=seed)
    assert split(labels, seed=seed).digest() == split(labels, seed=seed).digest()
    assert split(labels, 1, seed).digest() != split(labels, 2, seed).digest()


def test_shares_are_of_each_class():
    labels = torch.repeat_interleave(torch.arange(2), torch.tensor([100, 50]))
    drawn = split(labels)
    assert labels[list(drawn.test)].bincount().tolist() == [20, 10]
    assert labels[list(drawn.val)].bincount().tolist() == [16, 8]
    assert labels[list(drawn.train)].bincount().tolist() == [64, 32]


def test_an_official_test_split_is_kept_whole():
    labels = torch.arange(20) % 2
    drawn = split(labels, official_test=7)
    assert drawn.test == tuple(range(7))
    assert drawn.official
    assert len(drawn.train) + len(drawn.val) == 20


def test_too_many_shots_are_refused_with_the_numbers():
    with pytest.raises(HarnessError, match="class 0 has 10 examples: too few for 5 to train on"):
        split(torch.arange(20) % 2, 5)


def test_validation_shots_can_be_fewer():
    drawn = split(torch.arange(20) % 2, 5, val_shots=1)
    assert len(drawn.val) == 2
