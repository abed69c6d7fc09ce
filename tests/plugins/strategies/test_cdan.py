"""CDAN's conditioning against NumPy's outer product, and its adversary against DANN's."""

import math

import numpy as np
import pytest
import torch
from harness_plugins.strategies._adversary import Adversary
from harness_plugins.strategies.cdan import Cdan, ConditionalAdversary, multilinear

from harness.testing import RegulariserChecks, StrategyChecks


class TestCdan(StrategyChecks):
    strategy = Cdan()


class TestConditionalAdversary(RegulariserChecks):
    def given(self, backbone, task, run):
        return ConditionalAdversary(backbone.num_features * task.classes, 6, 0.1)


def test_features_are_multiplied_with_probabilities():
    features, logits = torch.randn(4, 3), torch.randn(4, 2)
    found = multilinear(features, logits).numpy()
    for row, feature, answer in zip(found, features.numpy(), logits.numpy(), strict=True):
        shares = np.exp(answer) / np.exp(answer).sum()
        assert np.allclose(row, np.outer(shares, feature).ravel(), atol=1e-6)


class Part:
    def __init__(self, features, logits, unlabelled=None):
        self.features, self.logits, self.unlabelled = features, logits, unlabelled
        self.progress = 0.5


def test_where_one_class_is_sure_it_is_dann():
    """Which then sees the features alone, by the weights of that class."""
    source, target = torch.randn(5, 3), torch.randn(4, 3)
    conditional, plain = ConditionalAdversary(6, 8, 1.0), Adversary(3, 8, 1.0)
    with torch.no_grad():
        conditional.classify[0].weight[:, 3:] = plain.classify[0].weight
    for layer, own in ((0, "bias"), (2, "weight"), (2, "bias")):
        setattr(conditional.classify[layer], own, getattr(plain.classify[layer], own))
    second = torch.tensor([-200.0, 200.0])
    batch = Part(source, second.expand(5, 2), Part(target, second.expand(4, 2)))
    expected = plain.loss(source, target, 0.5).item()
    assert conditional.penalty(batch).item() == pytest.approx(expected, rel=1e-6)


def test_the_features_gradient_is_turned_round_and_predictions_get_none():
    """A linear adversary of weights v on one feature f and two even classes: with the logit
    z = (v1 + v2) f / 2 of a source example, f gets +λ σ(-z) (v1 + v2) / 2, and half of that, as
    each domain counts for one half."""
    adversary = ConditionalAdversary(2, 1, 0.4)
    adversary.classify = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.Flatten(0))
    with torch.no_grad():
        adversary.classify[0].weight.copy_(torch.tensor([[1.3, 0.7]]))
    feature = torch.tensor([[0.9]], requires_grad=True)
    logits = torch.zeros(1, 2, requires_grad=True)
    nothing = Part(torch.zeros(0, 1), torch.zeros(0, 2))
    adversary.penalty(Part(feature, logits, nothing)).backward()
    scale = 0.4 * (2 / (1 + math.exp(-5)) - 1)
    expected = scale * 1.0 / (1 + math.exp(0.9)) / 2
    assert feature.grad.item() == pytest.approx(expected, rel=1e-5)
    assert logits.grad is None
