"""Drift is told of inputs that differ, and of others no more often than is stated."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import mahalanobis
from scipy.special import log_softmax
from scipy.stats import betabinom, binomtest
from sklearn.covariance import shrunk_covariance
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from harness.ship.runtime.drift import ALARM, FEWEST, KEPT, MOST, _chance, learn, sentence


def answers(draw, number, classes=6):
    """Logits [number, classes] with a favourite each, of heavy tails."""
    favourites = draw.integers(0, classes, number)
    return draw.standard_t(4, (number, classes)) + 5 * np.eye(classes)[favourites]


@pytest.mark.parametrize(("known", "new"), [(FEWEST, 12), (60, 200)])
def test_alarms_are_no_more_frequent_than_stated(known, new):
    """Of batches that are drawn as the validation examples were, in 600 draws of both."""
    draw = np.random.default_rng(0)
    alarms = 0
    for _ in range(600):
        reference = learn(answers(draw, known))
        alarms += reference.drift(answers(draw, new)) < ALARM
    assert binomtest(alarms, 600, ALARM, alternative="greater").pvalue > 0.01


def test_one_of_the_three_ways_alarms_exactly_as_often_as_its_p_value_says():
    """With continuous scores: the chance that p is 0.05 or less is that of the counts for which it
    is."""
    draw, known, new = np.random.default_rng(0), 50, 30
    found = np.array(
        [_chance(np.sort(draw.random(known)), draw.random(new)) for _ in range(20_000)]
    )
    chances = betabinom.sf(np.arange(new + 1) - 1, new, 5, known - 4)
    expected = chances[chances <= 0.05].max()
    assert (found <= 0.05).mean() == pytest.approx(expected, abs=0.005)


@given(st.integers(10, 80), st.integers(1, 60), st.floats(-1, 2), st.integers(0, 99))
def test_the_chance_of_a_count_is_beta_binomial(known, new, shift, seed):
    draw = np.random.default_rng(seed)
    before, now = np.sort(draw.normal(size=known)), draw.normal(shift, size=new)
    k = max(1, int(0.1 * (known + 1)))
    count = (now > before[known - k]).sum()
    expected = betabinom.sf(count - 1, new, k, known + 1 - k)
    assert _chance(before, now) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.fixture(scope="module")
def digits():
    """Images [N, 8, 8] of 0 to 1 that were not trained on, and a classifier's logits of any."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order].reshape(-1, 8, 8) / 16, labels[order]
    model = LogisticRegression(max_iter=300).fit(images[:200].reshape(200, -1), labels[:200])
    return images[200:], lambda some: model.decision_function(some.reshape(len(some), -1))


def test_blurred_and_inverted_digits_are_told_and_other_digits_are_not(digits):
    images, logits = digits
    reference = learn(logits(images[:200]))
    new = images[200:260]
    assert reference.drift(logits(new)) > 0.05
    blurred = np.stack([gaussian_filter(image, 0.8) for image in new])
    for changed in (blurred, 1 - new):
        assert reference.drift(logits(changed)) < 1e-4
        assert reference.typicality(logits(changed)).mean() < 0.5


def test_typicality_is_a_p_value(digits):
    images, logits = digits
    reference = learn(logits(images[:300]))
    found = reference.typicality(logits(images[300:]))
    for level in (0.05, 0.1, 0.3):
        assert (found <= level).mean() <= level + 0.02


def test_scores_are_those_of_the_formulas():
    """The log loss of probabilities against classes that are all as likely, and the distance by a
    covariance that is shrunk towards a sphere."""
    logits = answers(np.random.default_rng(0), 100)
    reference = learn(logits)
    losses = -log_softmax(logits, axis=1).mean(axis=1)
    assert np.allclose(reference.spreads, np.sort(losses))
    order = np.random.default_rng(0).permutation(100)
    centred = (logits - logits.mean(axis=1, keepdims=True))[order]
    inverse = np.linalg.inv(shrunk_covariance(np.cov(centred[:50].T, bias=True), 1 - KEPT))
    expected = [mahalanobis(row, centred[:50].mean(0), inverse) ** 2 for row in centred[50:]]
    assert np.allclose(reference.distances, np.sort(expected), rtol=1e-4)


@given(st.floats(-50, 50))
def test_what_is_added_to_all_logits_of_an_input_changes_nothing(much):
    draw = np.random.default_rng(0)
    reference, new = learn(answers(draw, 40)), answers(draw, 10)
    assert reference.drift(new + much) == pytest.approx(reference.drift(new))
    assert np.allclose(reference.typicality(new + much), reference.typicality(new))


def test_what_travels_is_small_and_says_the_same():
    """Of a thousand classes and more validation examples than are kept."""
    draw = np.random.default_rng(0)
    reference, new = learn(answers(draw, 1500, 1000)), answers(draw, 20, 1000)
    assert len(reference.spreads) == MOST
    text = json.dumps(dataclasses.asdict(reference))
    assert len(text) < 400_000
    again = type(reference)(**json.loads(text))
    assert again.drift(new) == reference.drift(new)


def test_too_few_examples_tell_nothing():
    assert learn(answers(np.random.default_rng(0), FEWEST - 1)) is None


def test_one_input_alone_is_never_a_drift():
    draw = np.random.default_rng(0)
    p = learn(answers(draw, 500)).drift(1000 * answers(draw, 1))
    assert p > ALARM
    assert "none is seen in these 1 inputs" in sentence(p, 1)
    assert "unlike" in sentence(ALARM / 2, 30)
