"""A moving average of weights, against its recursion written out."""

import copy
from dataclasses import replace

import pytest
import torch
from harness_plugins.strategies.maml import Maml
from harness_plugins.tricks.ema import Ema, MovingAverage
from torch import nn

from harness.api import Recipe, fit
from harness.testing import RegulariserChecks, TrickChecks, a_run


class TestEma(TrickChecks):
    trick = Ema()


class TestMovingAverage(RegulariserChecks):
    def given(self, backbone, task, run):
        return MovingAverage(0.8)

    def test_it_is_the_average_of_the_weights_after_each_step(self):
        seen = []

        class Seen(MovingAverage):
            def stepped(self, model):
                super().stepped(model)
                seen.append(model.head.weight.detach().clone())

        backbone, task = self.given_task()
        recipe = Recipe(backbone, backbone.parameters_from(0), lr=1e-2, regularisers=[Seen(0.8)])
        model = fit(recipe, task, a_run(steps=6, batch_size=1000))
        average = torch.zeros_like(seen[0])  # the head starts from zeros
        for weight in seen:
            average = 0.8 * average + 0.2 * weight
        assert not torch.allclose(average, seen[-1])
        assert torch.allclose(model.head.weight, average, atol=1e-6)


@pytest.mark.parametrize("validated", [False, True])
def test_statistics_that_a_strategy_pools_are_those_under_the_kept_weights(validated):
    """MAML's, against one pass in training mode through a copy that has what was kept."""
    backbone, task = TestEma().given_task(classes=5, each=8, val=4)
    task = task if validated else replace(task, val=None)
    maml = Maml().with_tricks([Ema()])
    run = a_run(steps=6, batch_size=1000)
    model = maml.adapt(backbone, task, {**maml.defaults, "ema.decay": 0.5}, run)
    copied = copy.deepcopy(model.backbone).train()
    norms = [m for m in copied.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        copied.features(task.train.inputs[:])
    for norm, (mean, variance) in zip(norms, kept, strict=True):
        torch.testing.assert_close(mean, norm.running_mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(variance, norm.running_var, rtol=1e-4, atol=1e-5)
