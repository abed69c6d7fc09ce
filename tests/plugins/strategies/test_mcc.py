"""Minimum class confusion against the paper's formula, written out."""

import math

import numpy as np
import pytest
import torch
from harness_plugins.strategies.mcc import ClassConfusion, Mcc, class_confusion

from harness.testing import RegulariserChecks, StrategyChecks


class TestMcc(StrategyChecks):
    strategy = Mcc()


class TestClassConfusion(RegulariserChecks):
    def given(self, backbone, task, run):
        return ClassConfusion(1.0, 2.5)


@pytest.mark.parametrize(("inputs", "classes"), [(1, 3), (5, 2), (4, 6)])
def test_it_is_the_papers_formula(inputs, classes):
    """Probabilities, the entropy's weights, correlations, normalised, and what is off the
    diagonal, one number at a time."""
    logits = np.random.default_rng(inputs).normal(size=(inputs, classes)) * 4
    shares = [[math.exp(y / 2.5) for y in row] for row in logits]
    shares = [[y / sum(row) for y in row] for row in shares]
    certainty = [1 + math.exp(sum(y * math.log(y) for y in row)) for row in shares]
    weights = [inputs * each / sum(certainty) for each in certainty]
    found = 0.0
    for j in range(classes):
        row = [
            sum(shares[i][j] * weights[i] * shares[i][k] for i in range(inputs))
            for k in range(classes)
        ]
        found += sum(row[k] / sum(row) for k in range(classes) if k != j) / classes
    assert class_confusion(torch.from_numpy(logits), 2.5).item() == pytest.approx(found, rel=1e-9)


def test_no_gradient_goes_through_the_weights():
    """The slope of two inputs and two classes by finite differences, with the weights held."""
    logits = torch.tensor([[1.0, -2.0], [0.5, 0.7]], dtype=torch.float64, requires_grad=True)
    class_confusion(logits, 2.5).backward()
    held = (logits.detach() / 2.5).softmax(1).numpy()
    weights = 1 + np.exp((held * np.log(held)).sum(1))
    weights *= 2 / weights.sum()

    def confusion(first):
        shares = np.exp(np.array([[first, -2.0], [0.5, 0.7]]) / 2.5)
        shares /= shares.sum(1, keepdims=True)
        counts = shares.T @ (weights[:, None] * shares)
        counts /= counts.sum(1, keepdims=True)
        return (counts[0, 1] + counts[1, 0]) / 2

    slope = (confusion(1 + 1e-6) - confusion(1 - 1e-6)) / 2e-6
    assert logits.grad[0, 0].item() == pytest.approx(slope, rel=1e-6)


def test_sure_predictions_confuse_nothing_also_where_a_class_has_none():
    logits = torch.tensor([[1000.0, 0.0, 0.0], [0.0, 1000.0, 0.0]]).requires_grad_()
    confusion = class_confusion(logits, 2.5)
    confusion.backward()
    assert confusion.item() == 0
    assert logits.grad.isfinite().all()
