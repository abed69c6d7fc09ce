"""Strategies for a labelled source and an unlabelled target, checked against NumPy and calculus."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from harness_plugins.strategies._adversary import Adversary, ReverseGradient, reversal
from harness_plugins.strategies.cdan import Cdan
from harness_plugins.strategies.coral import Coral, CovarianceDistance, coral_loss, covariance
from harness_plugins.strategies.dann import Dann
from harness_plugins.strategies.mcc import Mcc
from harness_plugins.strategies.mmd import Mmd
from harness_plugins.strategies.source_only import SourceOnly
from harness_plugins.strategies.target_supervised import TargetSupervised
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from harness.api import Unsupported
from harness.testing import (
    RegulariserChecks,
    StrategyChecks,
    a_run,
    digits,
    shots,
    small_backbone,
)


class Seen:
    """What a batch of twelve inputs gives."""

    def __init__(self, away):
        draw = torch.Generator().manual_seed(round(away))
        self.features = torch.randn(12, 6, generator=draw) * (1 + away)
        self.logits = torch.randn(12, 5, generator=draw)

    def __len__(self):
        return len(self.features)


class TestSourceOnly(StrategyChecks):
    strategy = SourceOnly()


class TestTargetSupervised(StrategyChecks):
    strategy = TargetSupervised()


class TestCoral(StrategyChecks):
    strategy = Coral()

    @given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 6), st.integers(0, 99))
    def test_the_loss_is_the_papers_closed_form(self, n, m, width, seed):
        """Equations 1 to 3 as they stand there, in float64."""
        random = np.random.default_rng(seed)
        source, target = random.normal(size=(n, width)), 3 * random.normal(size=(m, width)) + 1

        def covariance(features):
            rows, ones = len(features), np.ones((len(features), 1))
            mean = ones.T @ features
            return (features.T @ features - mean.T @ mean / rows) / (rows - 1)

        distance = np.linalg.norm(covariance(source) - covariance(target), "fro") ** 2
        loss = coral_loss(torch.from_numpy(source), torch.from_numpy(target)).item()
        assert loss == pytest.approx(distance / (4 * width**2), rel=1e-9, abs=1e-12)

    @pytest.mark.parametrize(("n", "width"), [(2, 3), (8, 8), (7, 33), (64, 10), (32, 512)])
    def test_covariances_are_torchs_to_the_bit(self, n, width):
        features = torch.randn(n, width, generator=torch.Generator().manual_seed(0))
        assert torch.equal(covariance(features), features.T.cov())

    def test_features_of_one_spread_are_no_distance_apart(self):
        features = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
        assert coral_loss(features, features + 5).item() == pytest.approx(0, abs=1e-10)


class TestCovarianceDistance(RegulariserChecks):
    def given(self, backbone, task, run):
        return CovarianceDistance(1.0)


class TestAdversary(RegulariserChecks):
    def given(self, backbone, task, run):
        return Adversary(backbone.num_features, 6, 0.1)


class TestDann(StrategyChecks):
    strategy = Dann()

    def test_the_gradient_of_the_features_is_turned_round_and_the_adversarys_is_not(self):
        """One feature w and a linear adversary v: L = log(1 + e^{-vw}) for a source example, so
        dL/dv = -w σ(-vw), as ever, and what w gets is +s v σ(-vw), with s the scale."""
        w = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
        v = torch.tensor([1.3], dtype=torch.float64, requires_grad=True)
        torch.log1p(torch.exp(-v * ReverseGradient.apply(w, 0.4))).sum().backward()
        sigma = 1 / (1 + math.exp(1.3 * 0.7))
        assert v.grad.item() == pytest.approx(-0.7 * sigma, rel=1e-12)
        assert w.grad.item() == pytest.approx(0.4 * 1.3 * sigma, rel=1e-12)

    def test_lambda_grows_from_nothing_to_almost_one(self):
        assert reversal(0.0) == 0.0
        assert reversal(0.5) == pytest.approx((1 - math.exp(-5)) / (1 + math.exp(-5)))
        assert reversal(1.0) == pytest.approx(0.9999, abs=1e-4)

    def test_an_undecided_adversary_loses_one_bit(self):
        adversary = Adversary(4, 8, 1.0)
        for parameter in adversary.parameters():
            torch.nn.init.zeros_(parameter)
        loss = adversary.loss(torch.randn(6, 4), torch.randn(6, 4), 0.5)
        assert loss.item() == pytest.approx(math.log(2), rel=1e-6)

    def test_every_trial_starts_from_the_same_adversary(self):
        backbone, run = small_backbone(), a_run()
        first, second = (
            self.strategy.recipe(backbone, None, self.strategy.defaults, run).regularisers[0]
            for _ in range(2)
        )
        same = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
        assert all(torch.equal(one, other) for one, other in same)


@pytest.mark.parametrize("strategy", [Cdan(), Coral(), Dann(), Mcc(), Mmd()])
def test_without_a_target_there_is_nothing_to_align(strategy):
    checks = StrategyChecks()
    checks.strategy = strategy
    backbone, task = checks.given_task(classes=5, each=2, val=0)
    with pytest.raises(Unsupported, match="unlabelled inputs"):
        strategy.adapt(backbone, replace(task, unlabelled=None), strategy.defaults, a_run())


@pytest.mark.parametrize(
    ("strategy", "weight"),
    [
        (Cdan(), "cdan_weight"),
        (Coral(), "coral_weight"),
        (Dann(), "dann_weight"),
        (Mcc(), "mcc_weight"),
        (Mmd(), "mmd_weight"),
    ],
)
def test_the_target_is_listened_to_as_much_as_the_weight_says(strategy, weight):
    checks = StrategyChecks()
    checks.strategy = strategy
    backbone, task = checks.given_task(classes=5, each=4, val=2)
    alone = SourceOnly().adapt(backbone, task, SourceOnly.defaults, a_run())
    deaf, listening = (
        strategy.adapt(backbone, task, {**strategy.defaults, weight: size}, a_run())
        for size in (0.0, 50.0)
    )
    heard = [model.logits(task.unlabelled) for model in (deaf, listening)]
    assert not torch.equal(*heard)
    assert {*deaf.trained} == {*alone.trained}


@pytest.mark.parametrize("strategy", [Coral(), Mcc(), Mmd()])
def test_the_penalty_is_the_weight_times_what_lies_between(strategy):
    """Added to the loss, and so lowered."""
    checks = StrategyChecks()
    checks.strategy = strategy
    backbone, task = checks.given_task(classes=5, each=4, val=0)
    source, target = Seen(0.0), Seen(3.0)
    source.unlabelled = target
    hp = {**strategy.defaults, f"{strategy.name}_weight": 7.0}
    penalty = strategy.penalty(backbone, task, hp, a_run())
    between = penalty.between(source, target).item()
    assert between > 0
    assert penalty.penalty(source).item() == pytest.approx(7 * between, rel=1e-6)


def test_domains_count_alike_in_the_adversarys_loss():
    """Whatever there is of each: the mean of the two means of Ganin et al. 2016, equation 4."""
    features = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    adversary = Adversary(4, 6, weight=1.0)
    told = adversary.classify(features).sigmoid().detach().double().numpy()
    source = log_loss([1, 1], told[:2], labels=[0, 1])
    target = log_loss([0] * 7, told[2:], labels=[0, 1])
    found = adversary.loss(features[:2], features[2:], 0.5).item()
    assert found == pytest.approx((source + target) / 2, rel=1e-5)


@pytest.mark.parametrize("strategy", [Coral(), Mmd()])
def test_one_example_of_a_domain_is_refused(strategy):
    checks = StrategyChecks()
    checks.strategy = strategy
    backbone, task = checks.given_task(classes=5, each=2, val=0)
    alone = replace(task, unlabelled=shots(digits(backbone), 1, 1, skip=60).inputs)
    with pytest.raises(Unsupported, match="here a batch has one example"):
        strategy.adapt(backbone, alone, strategy.defaults, a_run())
