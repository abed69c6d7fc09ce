"""mixup, against its formula."""

from dataclasses import replace

import torch
from harness_plugins.tricks.mixup import Mixing, Mixup
from scipy import stats

from harness.api import Batch, GradientStrategy
from harness.testing import RegulariserChecks, TrickChecks


class TestMixup(TrickChecks):
    trick = Mixup()


class TestMixing(RegulariserChecks):
    def given(self, backbone, task, run):
        return Mixing(0.4, task.classes)


def a_batch(count, targets, generator=None):
    inputs = torch.eye(count)[:, None, :]  # so that a mixture tells of what
    drawn = torch.Generator().manual_seed(0) if generator is None else generator
    # No pass through a model is asked for.
    return Batch(None, inputs, targets, torch.arange(count), 0.0, drawn)


def test_inputs_and_targets_are_mixed_by_the_same_shares():
    targets = torch.arange(6) % 3
    mixed = Mixing(1.0, 3).batch(a_batch(6, targets))
    shares = mixed.inputs[:, 0]  # row i: how much of each example
    assert torch.allclose(shares.sum(1), torch.ones(6))
    assert (shares > 1e-6).sum(1).max() == 2
    labels = torch.nn.functional.one_hot(targets, 3).float()
    assert torch.allclose(mixed.targets, shares @ labels, atol=1e-6)


def test_targets_that_are_probabilities_are_mixed_as_they_are():
    soft = torch.full((4, 2), 0.5)
    mixed = Mixing(1.0, 2).batch(replace(a_batch(4, None), targets=soft))
    assert torch.allclose(mixed.targets, soft)


def test_the_share_is_drawn_from_a_beta_distribution():
    generator = torch.Generator().manual_seed(0)
    mixing = Mixing(0.4, 2)
    drawn = []
    while len(drawn) < 400:
        batch = a_batch(2, torch.tensor([0, 1]), generator)
        shares = mixing.batch(batch).inputs[0, 0]
        if shares[1] > 0:  # the other of the two, and not the same again
            drawn.append(shares[0].item())
    assert stats.kstest(drawn, stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_its_share_is_tuned_beside_the_strategys_own_settings():
    class Strategy(GradientStrategy):
        def recipe(self, backbone, task, hp, run):
            raise NotImplementedError

    space = Strategy().with_tricks([Mixup()]).space
    assert space.keys() == {"lr", "weight_decay", "mixup.alpha"}
