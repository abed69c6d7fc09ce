"""Losses at the optimum are scikit-learn's, in float64, whatever the data."""

import warnings

import numpy as np
import pytest
import torch
from harness_plugins.strategies import _logistic_regression
from harness_plugins.strategies._logistic_regression import solve
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from harness.api import Diverged

L2S = (1e-1, 1e-3, 1e-5)


def standardised(inputs):
    centred = inputs - inputs.mean(0)
    return (centred / np.sqrt((centred**2).mean())).astype(np.float32)


def some_digits(rows, features=None):
    """Pixels of some digits, or that many random ReLU features of them, and labels."""
    pixels, labels = load_digits(return_X_y=True)
    inputs, labels = pixels[rows] / 16, labels[rows]
    if features:
        draws = np.random.default_rng(0)
        inputs = np.maximum(inputs @ draws.normal(size=(64, features)), 0)
    return standardised(inputs), labels


def imbalanced():
    """A hundred and fifty zeros, ten each of three digits and one of a fifth."""
    labels = load_digits().target
    counts = {0: 150, 1: 10, 2: 10, 3: 10, 4: 1}
    return some_digits(np.concatenate([np.flatnonzero(labels == c)[:n] for c, n in counts.items()]))


def noise():
    """Labels that have nothing to do with the inputs."""
    draws = np.random.default_rng(0)
    return standardised(draws.normal(size=(300, 20))), draws.integers(0, 4, 300)


def outlier():
    """One example that is far from all others."""
    inputs, labels = noise()
    inputs[0] *= 100
    return standardised(inputs), labels


DATA = {
    "many examples": lambda: some_digits(slice(600)),
    "more features than examples": lambda: some_digits(slice(120), features=300),
    "one example a class": lambda: some_digits(slice(10), features=64),
    "separable": lambda: some_digits(slice(100)),
    "imbalanced": imbalanced,
    "noise": noise,
    "outlier": outlier,
}


def objective(weight, bias, inputs, labels, l2):
    inputs, weight, bias = (np.asarray(a, np.float64) for a in (inputs, weight, bias))
    logits = inputs @ weight.T + bias
    cross_entropy = (logsumexp(logits, 1) - logits[np.arange(len(labels)), labels]).mean()
    return cross_entropy + l2 / 2 * (weight**2).sum()


def oracle(inputs, labels, l2):
    """The optimal loss by scikit-learn, which may say that it can't get any further."""
    model = LogisticRegression(C=1 / (len(labels) * l2), tol=1e-9, max_iter=20_000)
    with warnings.catch_warnings(action="ignore"):
        model.fit(inputs.astype(np.float64), labels)
    return objective(model.coef_, model.intercept_, inputs, labels, l2)


def solved(inputs, labels, classes, l2s):
    """Weights ``[T, C, D]`` and biases of one problem."""
    weight, bias = solve(torch.tensor(inputs)[None], torch.tensor(labels)[None], classes, l2s)
    return weight[:, 0].numpy(), bias[:, 0].numpy()


@pytest.mark.parametrize("data", DATA)
def test_comes_to_scikit_learns_optimum(data):
    inputs, labels = DATA[data]()
    for l2, weight, bias in zip(L2S, *solved(inputs, labels, labels.max() + 1, L2S), strict=True):
        optimum = oracle(inputs, labels, l2)
        assert abs(objective(weight, bias, inputs, labels, l2) - optimum) < 1e-4


def test_the_path_may_be_given_in_any_order_and_more_than_once():
    inputs, labels = some_digits(slice(200))
    l2s = [1e-3, 1.0, 1e-1, 1e-3]
    weight, bias = solved(inputs, labels, 10, l2s)
    assert np.array_equal(weight[0], weight[3])
    for l2, w, b in zip(l2s, weight, bias, strict=True):
        alone = [found[0] for found in solved(inputs, labels, 10, [l2])]
        difference = objective(w, b, inputs, labels, l2) - objective(*alone, inputs, labels, l2)
        assert abs(difference) < 1e-4


def test_problems_side_by_side_are_solved_as_each_alone():
    """One of them is solved long before the other."""
    hard, labels = some_digits(slice(100), features=50)
    easy = standardised(np.random.default_rng(0).normal(size=(100, 50)) + 5 * (labels[:, None] > 4))
    both, l2s = [(hard, labels), (easy, (labels > 4).astype(np.int64))], [1e-1, 1e-2, 1e-4]
    features = torch.tensor(np.stack([inputs for inputs, _ in both]))
    weight, bias = solve(features, torch.tensor(np.stack([own for _, own in both])), 10, l2s)
    for number, (inputs, own) in enumerate(both):
        alone = solved(inputs, own, 10, l2s)
        for t, l2 in enumerate(l2s):
            together = objective(weight[t, number], bias[t, number], inputs, own, l2)
            assert abs(together - objective(alone[0][t], alone[1][t], inputs, own, l2)) < 1e-4


def test_a_class_without_examples_is_never_predicted_and_costs_nothing():
    inputs, labels = some_digits(slice(100))
    few = labels % 3
    for l2, weight, bias in zip(L2S, *solved(inputs, few, 5, L2S), strict=True):
        assert abs(objective(weight, bias, inputs, few, l2) - oracle(inputs, few, l2)) < 1e-4
        far = 100 * np.random.default_rng(0).normal(size=(1000, inputs.shape[1]))
        assert ((far @ weight.T + bias).argmax(1) < 3).all()


def test_a_single_class_needs_no_weights():
    inputs, _ = some_digits(slice(30))
    weight, bias = solved(inputs, np.full(30, 1), 2, [1e-2])
    assert np.abs(weight).max() < 1e-6
    assert bias[0, 1] > bias[0, 0] + 30


def test_features_that_are_all_the_same_leave_the_frequencies():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    weight, bias = solved(np.zeros((10, 4), np.float32), labels, 3, [1e-3])
    assert not weight.any()
    shares = np.exp(bias[0] - logsumexp(bias[0]))
    assert np.allclose(shares, [0.6, 0.3, 0.1], atol=1e-3)


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(Diverged, match="the features are not finite"):
        solved(np.full((4, 2), np.nan, np.float32), np.array([0, 1, 0, 1]), 2, [1e-2])


def test_an_optimum_that_is_not_found_is_said(monkeypatch):
    monkeypatch.setattr(_logistic_regression, "ITERATIONS", 2)
    with pytest.raises(Diverged, match="no optimum within 2 iterations"):
        solved(*some_digits(slice(50)), 10, [1e-4])
