"""Splits are stratified, nested, disjoint and the same for a seed."""

from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.data.splits import apportion, draw_split
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
        "names": [f"class {n}" for n in range(1000)],
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
    one, two = split(labels, 1, seed), split(labels, 2, seed)
    assert one.digest("data") == split(labels, 1, seed).digest("data")
    assert one.digest("data") != two.digest("data")
    assert one.digest("data") != one.digest("other data of as many examples")


def test_shares_are_of_each_class():
    labels = torch.repeat_interleave(torch.arange(2), torch.tensor([100, 50]))
    drawn = split(labels)
    assert labels[list(drawn.test)].bincount().tolist() == [20, 10]
    assert labels[list(drawn.val)].bincount().tolist() == [16, 8]
    assert labels[list(drawn.train)].bincount().tolist() == [64, 32]


@given(labelled, st.integers(0, 100), st.floats(0.1, 0.5), st.floats(0.1, 0.5))
def test_each_class_keeps_its_share_within_one_example(labels, seed, tested, validating):
    drawn = split(labels, "all", seed, test_fraction=tested, val_fraction=validating)
    for label, size in enumerate(labels.bincount().tolist()):
        test, val, train = (
            int((labels[list(part)] == label).sum())
            for part in (drawn.test, drawn.val, drawn.train)
        )
        assert abs(test - tested * size) <= 1
        assert abs(val - validating * (size - test)) <= 1
        assert abs(train - (1 - validating) * (1 - tested) * size) <= 2  # it bears both


class TestVtab1k:
    """1,000 examples of all classes, 800 of them to train on (Zhai et al. 2019, section 3.1)."""

    sizes = st.lists(st.integers(4, 300), min_size=2, max_size=60).filter(lambda n: sum(n) > 1500)

    @given(sizes, st.integers(0, 100), st.booleans())
    def test_each_class_has_its_share_and_at_least_one(self, sizes, seed, official):
        labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        drawn = split(labels, "vtab1k", seed, official_test=50 if official else None)
        assert (len(drawn.train), len(drawn.val)) == (800, 200)
        assert not {*drawn.train} & {*drawn.val}
        assert official or not {*drawn.test} & {*drawn.train, *drawn.val}
        assert drawn.test == split(labels, 1, seed, official_test=50 if official else None).test
        left = labels.bincount()
        left = left if official else left - labels[list(drawn.test)].bincount()
        shares = [1000 * size / int(left.sum()) for size in left.tolist()]
        assume(min(shares) >= 1)
        each = labels[[*drawn.train, *drawn.val]].bincount()
        assert all(abs(n - share) < 1 for n, share in zip(each.tolist(), shares, strict=True))
        train = labels[list(drawn.train)].bincount()
        assert all(abs(n - 0.8 * share) < 2 for n, share in zip(train, shares, strict=True))
        assert len(train) == len(sizes)
        assert train.min() > 0

    def test_rare_classes_are_shown_too(self):
        """As in Sun397, where a class's share is 2.5 examples, and here that of most is 0.2."""
        labels = torch.repeat_interleave(torch.arange(301), torch.tensor([9000] + [2] * 300))
        drawn = split(labels, "vtab1k", official_test=5)
        assert (labels[list(drawn.train)].bincount(minlength=301) >= 1).all()
        assert len(drawn.train) + len(drawn.val) == 1000

    @pytest.mark.parametrize("sizes", [[500, 499], [2] * 801])
    def test_too_little_to_choose_from_is_refused(self, sizes):
        labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        with pytest.raises(HarnessError, match=f"{sum(sizes)} examples of {len(sizes)} classes"):
            split(labels, "vtab1k", official_test=5)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(0, 400))
def test_shares_are_hamiltons(sizes, total):
    """Whole quotas first, then one each to the largest remainders."""
    quotas = [Fraction(total * size, sum(sizes)) for size in sizes]
    assume(min(quotas) >= 1)
    whole = [int(quota) for quota in quotas]
    order = sorted(range(len(sizes)), key=lambda i: whole[i] - quotas[i])
    for index in order[: total - sum(whole)]:
        whole[index] += 1
    assert apportion(total, sizes, [total] * len(sizes)) == whole


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=8), st.data()
)
def test_limits_are_kept_and_all_is_given(pairs, data):
    sizes, most = zip(*pairs, strict=True)
    total = data.draw(st.integers(0, sum(most)))
    given_out = apportion(total, sizes, most)
    assert sum(given_out) == total
    assert all(0 <= n <= limit for n, limit in zip(given_out, most, strict=True))
    if total >= sum(limit > 0 for limit in most):
        assert all(n > 0 for n, limit in zip(given_out, most, strict=True) if limit)


def test_an_official_test_split_is_kept_whole():
    labels = torch.arange(20) % 2
    drawn = split(labels, official_test=7)
    assert drawn.test == tuple(range(7))
    assert drawn.official
    assert len(drawn.train) + len(drawn.val) == 20


SIZES = {"common": 10, "few": 5, "rare": 2}

FEWER = "Lower {}, or give them more examples"
MORE = "Give them more examples, or leave them out"


@pytest.mark.parametrize(
    ("sizes", "shots", "options", "short", "remedy"),
    [
        # 2 of ten are tested, and 1 of five.
        (
            (10, 5),
            5,
            {},
            "'common' (10, needs 12), 'few' (5, needs 11)",
            "shots or val_shots or test_fraction",
        ),
        ((10, 5), 2, {"val_shots": 3}, "'few' (5, needs 6)", "shots or val_shots"),
        ((10, 5), 1, {"val_shots": 4}, "'few' (5, needs 6)", "val_shots"),
        ((10, 5), 5, {"official_test": 3}, "'few' (5, needs 10)", "shots or val_shots"),
        ((10, 5), 5, {"options": ("shots", "val_fraction")}, "'common' (10, ", "shots"),
        ((10, 5), 5, {"test_fraction": 0.5}, "(10, ", "shots or val_shots or test_fraction"),
        ((10, 5, 2), 1, {}, "'rare' (2, needs 3)", None),
        ((10, 5, 2), "all", {}, "'rare' (2, needs 3)", None),
        ((10, 1), "all", {"official_test": 3}, "'few' (1, needs 2)", None),
        ((10, 3), "all", {"test_fraction": 0.9}, "'few' (3, needs 5)", "test_fraction"),
        ((10, 4), "all", {"val_fraction": 0.9}, "'few' (4, needs 5)", "val_fraction"),
    ],
)
def test_classes_with_too_few_examples_are_all_named_and_what_helps(
    sizes, shots, options, short, remedy
):
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    with pytest.raises(HarnessError) as caught:
        split(labels, shots, names=list(SIZES), **options)
    tested = "" if "official_test" in options else " and to test"
    said = f"classes have too few examples to train on, to validate{tested}: "
    assert caught.value.message.startswith(said)
    assert short in caught.value.message
    assert caught.value.remedy == (FEWER.format(remedy) if remedy else MORE)


def test_of_many_classes_with_too_few_examples_the_number_is_told():
    with pytest.raises(HarnessError, match=r"'class 0' \(2, .*'class 4' \(2, .*\) and 95 more\."):
        split(torch.arange(200) % 100, 5)


def test_a_class_of_which_nothing_is_left_for_vtab1k_is_named():
    labels = torch.tensor([0] * 1500 + [1])
    with pytest.raises(HarnessError, match="nothing is left to learn from of 'few'"):
        split(labels, "vtab1k", names=list(SIZES))


def test_validation_shots_can_be_fewer():
    drawn = split(torch.arange(20) % 2, 5, val_shots=1)
    assert len(drawn.val) == 2
