"""Focal loss, against the paper's formula."""

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.tricks.focal import Focal
from harness_plugins.tricks.label_smoothing import LabelSmoothing

from harness.api import HarnessError, OneClass, Recipe, Task
from harness.testing import TrickChecks, digits, shots, small_backbone


class TestFocal(TrickChecks):
    trick = Focal()


def amended(gamma, criterion=None):
    recipe = Recipe(small_backbone(), (), lr=0.1, criterion=criterion)
    task = Task(shots(digits(small_backbone()), 1, 4), OneClass.of(4))
    return Focal().amend(recipe, task, {"gamma": gamma}, None).criterion


def a_batch():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(9, 4, generator=generator, dtype=torch.float64)
    return logits, torch.arange(9) % 4


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_it_is_equation_4_of_the_paper(gamma):
    logits, labels = a_batch()
    p = logits.softmax(1)[torch.arange(9), labels]
    expected = (-((1 - p) ** gamma) * p.log()).mean()
    assert amended(gamma)(logits, labels).item() == pytest.approx(expected.item())


def test_without_a_gamma_it_is_cross_entropy():
    logits, labels = a_batch()
    expected = F.cross_entropy(logits, labels)
    assert amended(0.0)(logits, labels).item() == pytest.approx(expected.item())


def test_of_mixed_labels_it_is_the_mixture_of_both_losses():
    logits, labels = a_batch()
    mixed = 0.7 * F.one_hot(labels, 4) + 0.3 * F.one_hot((labels + 1) % 4, 4)
    loss = amended(2.0)
    expected = 0.7 * loss(logits, labels) + 0.3 * loss(logits, (labels + 1) % 4)
    assert loss(logits, mixed).item() == pytest.approx(expected.item())


def test_what_is_certain_has_a_slope_of_nothing():
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    amended(0.5)(logits, torch.tensor([0, 1])).backward()
    assert logits.grad.abs().max() < 1e-4


def test_a_criterion_that_is_another_is_not_passed_over():
    with pytest.raises(HarnessError, match="focal changes the cross-entropy of classes"):
        amended(2.0, F.multi_margin_loss)


def test_label_smoothing_has_to_come_before():
    recipe = Recipe(small_backbone(), (), lr=0.1, criterion=amended(2.0))
    with pytest.raises(HarnessError, match="has another criterion"):
        LabelSmoothing().amend(recipe, None, {"share": 0.1}, None)
