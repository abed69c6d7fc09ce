"""Batch spectral shrinkage, against a case by hand."""

import pytest
import torch
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.tricks.bss import Bss, SpectralShrinkage

from harness.api import Batch, HarnessError
from harness.testing import RegulariserChecks, TrickChecks, a_run, small_backbone


class TestBss(TrickChecks):
    trick = Bss()


class TestSpectralShrinkage(RegulariserChecks):
    def given(self, backbone, task, run):
        return SpectralShrinkage(1e-2, 2)

    def test_it_is_the_smallest_singular_values_squared(self):
        class Model:
            backbone, entry = small_backbone(), 0

            def forward(self, inputs, stored):
                return inputs

        features = torch.diag(torch.tensor([3.0, 0.5, 2.0]))
        batch = Batch(Model(), features, None, torch.arange(3), 0.0, torch.Generator())
        assert SpectralShrinkage(0.1, 1).penalty(batch).item() == pytest.approx(0.1 * 0.25)
        assert SpectralShrinkage(0.1, 2).penalty(batch).item() == pytest.approx(0.1 * 4.25)


@pytest.mark.parametrize("count", [0, -1])
def test_fewer_than_one_value_is_refused(count):
    with pytest.raises(HarnessError, match=f"bss's count is {count}"):
        Bss(count=count)


def test_a_strategy_of_which_nothing_but_the_head_trains_is_refused():
    backbone, task = RegulariserChecks.given_task()
    strategy = LinearProbe().with_tricks([Bss()])
    with pytest.raises(HarnessError, match="bss shrinks features, and here nothing trains"):
        strategy.adapt(backbone, task, strategy.defaults, a_run())
