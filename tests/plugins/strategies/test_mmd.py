"""Maximum mean discrepancy against its definition, pair by pair."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from harness_plugins.strategies.mmd import MeanDiscrepancy, Mmd, discrepancy

from harness.api import Unsupported
from harness.testing import RegulariserChecks, StrategyChecks, a_run


class TestMmd(StrategyChecks):
    strategy = Mmd()


class TestMeanDiscrepancy(RegulariserChecks):
    def given(self, backbone, task, run):
        return MeanDiscrepancy(1.0)


def by_definition(source, target):
    """The U-statistic, with five Gaussian kernels around the mean squared distance of all pairs."""
    both = [*source, *target]
    pairs = [(a, b) for i, a in enumerate(both) for j, b in enumerate(both) if i != j]
    spread = sum(sum((a - b) ** 2) for a, b in pairs) / len(pairs)

    def kernel(a, b):
        square = sum((a - b) ** 2)
        return sum(math.exp(-square / (2.0**k * spread)) for k in range(-2, 3)) / 5

    def within(points):
        n = len(points)
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        return sum(kernel(points[i], points[j]) for i, j in pairs) / (n * (n - 1))

    between = sum(kernel(a, b) for a in source for b in target) / (len(source) * len(target))
    return within(source) + within(target) - 2 * between


@pytest.mark.parametrize(("n", "m", "width"), [(2, 2, 1), (5, 3, 4), (4, 7, 2)])
def test_it_is_the_unbiased_estimate(n, m, width):
    random = np.random.default_rng(n)
    source, target = random.normal(size=(n, width)), 2 * random.normal(size=(m, width)) + 100
    found = discrepancy(torch.from_numpy(source), torch.from_numpy(target)).item()
    assert found == pytest.approx(by_definition(source, target), rel=1e-9)


def test_the_slope_is_that_of_the_definition():
    """Of the first point's, with the widths held."""
    source = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[0.5], [4.0]], dtype=torch.float64)
    discrepancy(source, target).backward()
    points, others = source.detach().numpy(), target.numpy()
    both = np.concatenate([points, others])[:, 0]
    spread = ((both[:, None] - both) ** 2).sum() / 20
    slope = 0.0
    for scale in spread * 2.0 ** np.arange(-2, 3):  # of exp(-d² / s): -2d / s times itself
        to_own, to_others = points[0, 0] - points[1:, 0], points[0, 0] - others[:, 0]
        slope += 2 / 6 * (-2 * to_own / scale * np.exp(-(to_own**2) / scale)).sum() / 5
        slope -= 2 / 6 * (-2 * to_others / scale * np.exp(-(to_others**2) / scale)).sum() / 5
    assert source.grad[0, 0].item() == pytest.approx(slope, rel=1e-9)


def test_features_that_are_all_the_same_are_no_distance_apart():
    features = torch.ones(3, 2, requires_grad=True)
    loss = discrepancy(features, features)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert features.grad.isfinite().all()


def test_one_example_of_a_domain_is_refused():
    strategy = Mmd()
    checks = StrategyChecks()
    checks.strategy = strategy
    backbone, task = checks.given_task(classes=5, each=4, val=0)
    alone = replace(task, unlabelled=task.unlabelled.subset(torch.tensor([0])))
    with pytest.raises(Unsupported, match="a batch has one example: raise batch_size"):
        strategy.adapt(backbone, alone, strategy.defaults, a_run())
