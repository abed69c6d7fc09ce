"""A moving average of weights, against its recursion written out."""

import torch
from harness_plugins.tricks.ema import Ema, MovingAverage

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
