"""ANIL is MAML whose body has inner rates of zero, in float64; and what it trains is the head."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from harness_plugins.meta._meta_gradient import Inner, batched
from harness_plugins.meta._side_by_side import side_by_side
from harness_plugins.strategies.anil import Anil, HeadOnly
from scipy.special import softmax

from harness.api import HarnessError, OneClass, SourceEpisode, Task
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestAnil(StrategyChecks):
    strategy = Anil(tasks=1)
    settings = {"meta_steps": 2}


@dataclass(frozen=True)
class StillBody(Inner):
    """MAML's steps at a rate of zero for what has the body's place."""

    def descended(self, network, loss, values):
        rates = [0.0] * len(network.body) + [self.lr] * 2
        for _ in range(self.steps):
            gradients = network.gradient(loss, values, first_order=self.first_order)
            values = [v - r * g for v, r, g in zip(values, rates, gradients, strict=True)]
        return values


@pytest.fixture
def backbone():
    backbone = small_backbone().double()
    backbone.train_only(set(backbone.parameters_from(0)))
    return backbone


@pytest.fixture
def episodes(backbone):
    examples = digits(backbone)
    parts = [
        (shots(examples, 2, 3, skip=skip), shots(examples, 4, 3, skip=skip + 2)) for skip in (0, 6)
    ]
    return [SourceEpisode(s.inputs[:], s.labels, q.inputs[:], q.labels) for s, q in parts]


def relative(ours, theirs):
    """The distance of two gradients, over the length of one."""
    ours, theirs = (torch.cat([g.flatten() for g in gradient]) for gradient in (ours, theirs))
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("way", [side_by_side, batched])
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_meta_gradient_is_mamls_with_a_body_that_stands_still(
    backbone, episodes, steps, first_order, way
):
    def gradient(kind):
        with way(backbone, kind(0.4, steps, 3, first_order), 2) as meta_gradient:
            return meta_gradient(episodes)

    (loss, ours), (expected, theirs) = gradient(HeadOnly), gradient(StillBody)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert relative(ours, theirs) < 1e-10


def test_from_two_steps_on_it_is_not_maml(backbone, episodes):
    """The first step from a head of zeros leaves the body as it is in MAML, too."""

    def gradient(kind, steps):
        with side_by_side(backbone, kind(0.4, steps, 3), 2) as meta_gradient:
            return meta_gradient(episodes)[1]

    assert relative(gradient(HeadOnly, 1), gradient(Inner, 1)) < 1e-10
    assert relative(gradient(HeadOnly, 2), gradient(Inner, 2)) > 1e-2


def test_adapting_is_softmax_regression_on_features_by_the_examples_statistics():
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 2, 3), OneClass.of(3))
    queries = shots(digits(backbone), 4, 3, skip=2)
    model = Anil().adapt(backbone, task, {"adapt_lr": 0.4, "adapt_steps": 3}, a_run())
    assert model.trained.keys() == {"head.weight", "head.bias"}
    logits = model.logits(queries.inputs)

    own = small_backbone().train()
    for module in own.modules():
        module.momentum = 1.0  # of a norm: the statistics of the last pass
    with torch.no_grad():
        own(task.train.inputs[:])
        support, query = (
            own.eval()(inputs[:]).double().numpy() for inputs in (task.train.inputs, queries.inputs)
        )
    weight, bias, targets = np.zeros((3, 8)), np.zeros(3), np.eye(3)[task.train.labels.numpy()]
    for _ in range(3):
        errors = (softmax(support @ weight.T + bias, axis=1) - targets) / len(support)
        weight, bias = weight - 0.4 * errors.T @ support, bias - 0.4 * errors.sum(0)
    assert np.allclose(logits.numpy(), query @ weight.T + bias, atol=1e-5)


def test_too_few_source_classes_are_refused():
    with pytest.raises(HarnessError, match="too few for episodes of 20 ways"):
        Anil(ways=20).check_source([30] * 10)
