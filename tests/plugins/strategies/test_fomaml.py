"""First order: the query loss's gradient at the adapted parameters, in a case derived by hand."""

import math

import pytest
import torch
from harness_plugins.meta._meta_gradient import Inner, task_gradient
from harness_plugins.strategies.fomaml import Fomaml
from harness_plugins.strategies.maml import Maml
from torch import nn

from harness.api import Backbone, HarnessError, OneClass, Source, SourceEpisode
from harness.testing import StrategyChecks, a_run, digits, small_backbone
from harness.testing.small import assert_equal


class TestFomaml(StrategyChecks):
    strategy = Fomaml(tasks=1)
    settings = {"meta_steps": 2}


def one_weight(theta):
    """Features are θx: one of each input."""
    body = nn.Sequential(nn.Linear(1, 1, bias=False))
    nn.init.constant_(body[0].weight, theta)
    return Backbone(body, [["0"]], torch.ones(2, 1)).double()


TASK = SourceEpisode(
    torch.tensor([[1.0], [-1.0]], dtype=torch.float64),
    torch.tensor([0, 1]),
    torch.tensor([[2.0]], dtype=torch.float64),
    torch.tensor([0]),
)
"""1 is of the first class, -1 of the second, and 2 is asked for."""


@pytest.mark.parametrize("first_order", [True, False])
def test_the_gradient_is_the_one_derived_by_hand(first_order):
    """From a head of zeros both classes are as likely, and the head's gradient is (-θ/2, θ/2); θ
    has none. At rate a the logits of 2 are then ±aθφ, where θ is what made the head, φ what makes
    the feature, and both are the same number: the loss is log(1 + exp(-2aθφ)), and its derivative
    by φ alone is -2aθ σ(-2aθφ). By both it is twice as large."""
    theta, rate = 0.75, 0.4
    backbone = one_weight(theta)
    parameters = dict(backbone.body_parameters())
    inner = Inner(rate, 1, 2, first_order)
    loss, (gradient,) = task_gradient(backbone, parameters, TASK, inner)
    margin = 2 * rate * theta**2
    by_feature = -2 * rate * theta / (1 + math.exp(margin))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-margin)), rel=1e-12)
    assert gradient.item() == pytest.approx(by_feature * (1 if first_order else 2), rel=1e-12)


def test_it_is_maml_with_that_argument_set():
    def prepared(strategy):
        source = Source(digits(small_backbone()), OneClass.of(10))
        hp = {**strategy.defaults, "inner_steps": 2, "meta_steps": 2}
        return strategy.prepare(small_backbone(), source, hp, a_run()).state_dict()

    assert_equal(prepared(Fomaml(tasks=1)), prepared(Maml(tasks=1, first_order=True)))


def test_second_derivatives_cannot_be_asked_for():
    with pytest.raises(TypeError, match="first_order"):
        Fomaml(first_order=False)


def test_too_few_source_classes_are_refused():
    with pytest.raises(HarnessError, match="too few for episodes of 20 ways"):
        Fomaml(ways=20).check_source([30] * 10)
