"""Which trial is selected: the one that is right most often, and of ties the one with less loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.task import OneClass
from harness.run.validation import Validation

QUERIES = 6
LABELS = torch.arange(3).repeat_interleave(QUERIES // 3)


def answers(right: int, sure: float = 2.0) -> torch.Tensor:
    """The logits of an episode's queries, so many of them right, each as ``sure``."""
    shown = torch.where(torch.arange(QUERIES) < right, LABELS, (LABELS + 1) % 3)
    return sure * F.one_hot(shown, 3).float()


def score(episodes: tuple[int, ...], sure: float = 2.0) -> tuple[float, float]:
    val = Validation([], [], [LABELS] * len(episodes), OneClass.of(3).selection)
    return val.score([answers(right, sure) for right in episodes])


def test_of_trials_that_are_right_as_often_the_lower_loss_wins():
    """Five of 18 each; the means over episodes differ in their last bit, the wrong way round."""
    surer, other = (0, 1, 4), (0, 0, 5)
    assert np.mean(np.divide(surer, QUERIES)) < np.mean(np.divide(other, QUERIES))
    assert score(surer, 1.0)[0] == score(other)[0] == 5 / 18
    assert score(surer, 1.0) > score(other)  # mostly wrong: less sure is less loss


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, QUERIES), min_size=1, max_size=40), st.randoms())
def test_a_score_is_the_mean_over_episodes_whatever_their_order(episodes, chance):
    value, loss = score(tuple(episodes))
    alone = np.array([score((right,)) for right in episodes]).mean(axis=0)
    assert (value, loss) == pytest.approx(tuple(alone))
    mixed = chance.sample(episodes, len(episodes))
    assert score(tuple(mixed))[0] == value
