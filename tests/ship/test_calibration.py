"""Probabilities and sets that are learned from validation examples hold on new ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from harness.ship.calibration import FEWEST, FOLDS, calibrate, fit_temperature


def drawn(number, classes=4, sharpness=1.0, seed=0):
    """Logits [number, classes] that are ``sharpness`` times too large, and labels [number]."""
    draw = np.random.default_rng(seed)
    true = draw.normal(0, 1.5, (number, classes))
    chances = softmax(true, axis=1)
    labels = np.array([draw.choice(classes, p=own) for own in chances])
    return np.float32(sharpness * true), labels


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_one_of_the_lowest_log_loss(sharpness):
    logits, labels = drawn(5000, sharpness=sharpness)
    grid = np.geomspace(0.05, 20, 400)
    losses = [log_loss(labels, softmax(np.float64(logits) / t, axis=1)) for t in grid]
    assert fit_temperature(logits, labels) == pytest.approx(grid[np.argmin(losses)], rel=0.02)
    assert fit_temperature(logits, labels) == pytest.approx(sharpness, rel=0.1)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_true_class_as_often_as_asked_for(coverage):
    """Over 200 draws of 200 validation examples; cross-fitting only adds to it."""
    held = []
    for seed in range(200):
        found = calibrate(*drawn(200, sharpness=3.0, seed=seed), coverage)
        held.append(found.coverage(*drawn(500, sharpness=3.0, seed=1000 + seed)))
    assert coverage - 0.01 < np.mean(held) < coverage + 0.02


def test_the_threshold_is_the_rank_by_hand():
    """Of 120 scores the 109th is the quantile at 90 %: the ceiling of 121 × 0.9."""
    logits, labels = drawn(120)
    scores = np.empty(120)
    for fold in np.array_split(np.random.default_rng(0).permutation(120), FOLDS):
        rest = np.setdiff1d(np.arange(120), fold)
        warm = fit_temperature(logits[rest], labels[rest])
        own = softmax(np.float64(logits[fold]) / warm, axis=1)
        scores[fold] = 1 - own[np.arange(len(fold)), labels[fold]]
    assert calibrate(logits, labels, 0.9).threshold == pytest.approx(1 - sorted(scores)[108])


@pytest.mark.parametrize(
    ("number", "coverage", "why"),
    [
        (0, 0.9, "there are no validation examples"),
        (FEWEST - 1, 0.9, "99 validation examples are fewer than 100"),
        (100, 0.995, "100 validation examples are too few for a coverage of 0.995"),
    ],
)
def test_without_examples_enough_no_sets_are_made(number, coverage, why):
    found = calibrate(*drawn(number), coverage)
    assert found.threshold is None
    assert found.why.startswith(why)


def test_a_few_right_answers_make_nothing_certain():
    """Of 50 that are all right the lowest log loss would be that of a temperature of zero."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 50)
    logits = np.float32(draw.normal(0, 1, (50, 4)) + 8 * np.eye(4)[labels])
    found = calibrate(logits, labels, 0.9)
    assert found.temperature > 0.5
    assert found.probabilities(logits).max() < 1 - 1e-9


@given(st.integers(0, 50), st.floats(0.1, 10))
def test_a_temperature_changes_no_class(seed, sharpness):
    logits, labels = drawn(120, sharpness=sharpness, seed=seed)
    found = calibrate(logits, labels, 0.9)
    chances = found.probabilities(logits)
    assert (chances.argmax(1) == logits.argmax(1)).all()
    assert chances.sum(1) == pytest.approx(np.ones(120))
