"""Batch spectral shrinkage, against a case by hand."""

import pytest
import torch
from harness_plugins.tricks.bss import Bss, SpectralShrinkage

from harness.api import Batch
from harness.testing import RegulariserChecks, TrickChecks, small_backbone


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
