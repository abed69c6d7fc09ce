"""Label smoothing, against its formula."""

from dataclasses import replace

import pytest
import torch
from harness_plugins.tricks.label_smoothing import LabelSmoothing

from harness.api import HarnessError, Recipe
from harness.testing import TrickChecks, small_backbone


class TestLabelSmoothing(TrickChecks):
    trick = LabelSmoothing()

    def test_a_share_of_the_label_goes_to_all_classes_alike(self):
        recipe = LabelSmoothing().amend(
            Recipe(small_backbone(), (), lr=0.1), None, {"share": 0.2}, None
        )
        logits = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        labels = torch.arange(7) % 4
        wanted = torch.full((7, 4), 0.05, dtype=torch.float64)
        wanted[torch.arange(7), labels] += 0.8
        expected = -(wanted * logits.log_softmax(1)).sum(1).mean()
        assert recipe.criterion(logits, labels).item() == pytest.approx(expected.item())

    def test_a_criterion_that_is_another_is_not_passed_over(self):
        recipe = Recipe(small_backbone(), (), lr=0.1, criterion=torch.nn.functional.cross_entropy)
        with pytest.raises(HarnessError, match="has another criterion"):
            LabelSmoothing().amend(replace(recipe), None, {"share": 0.2}, None)
