"""What a setting is in memory, it is again after it has been in a file."""

import json
import math
from enum import StrEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

from harness.choices import invalid_choices, own_choice, own_settings

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=5),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)


class Kind(StrEnum):
    WIDE = "wide"


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
@given(st.lists(values, min_size=1, max_size=5))
def test_each_choice_that_is_not_refused_is_found_again_by_identity(choices):
    distribution = CategoricalDistribution(choices)
    if not [*invalid_choices("way", choices[0], distribution)]:
        for choice in distribution.choices:
            assert own_choice(json.loads(json.dumps(choice)), distribution) is choice


CHOICES = ((0.9, 0.999), ([1], "a"), 2.0, Kind.WIDE, math.inf, None, True)


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ([0.9, 0.999], CHOICES[0]),
        ([[1], "a"], CHOICES[1]),
        (2, CHOICES[2]),  # as TOML writes it
        ("wide", CHOICES[3]),
        (math.inf, CHOICES[4]),
        (None, CHOICES[5]),
        (True, CHOICES[6]),
    ],
)
def test_what_a_file_says_is_the_choice_that_it_was_written_from(written, meant):
    space = {"way": CategoricalDistribution(CHOICES), "lr": FloatDistribution(0.1, 1.0)}
    found = own_settings({"way": written, "lr": 0.5}, space)
    assert found["way"] is meant
    assert found["lr"] == 0.5


def test_true_is_not_taken_for_one():
    assert own_choice(True, CategoricalDistribution([0, 1])) is True


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
@pytest.mark.parametrize(
    "choices",
    [
        np.arange(3),
        np.linspace(0, 1, 3, dtype=np.float32),
        [np.bool_(False)],
        [{1, 2}],
        [b"bytes"],
        ["\ud800"],
        [1, 1.0],
        [0, False],
        [[1], (1,)],
    ],
)
def test_a_choice_that_would_be_another_after_a_file_is_refused(choices):
    distribution = CategoricalDistribution([*choices])
    assert len([*invalid_choices("way", distribution.choices[0], distribution)]) == 1
