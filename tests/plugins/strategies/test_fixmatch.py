"""FixMatch: who is given a label and what the loss is, one input at a time."""

from dataclasses import replace

import pytest
import torch
from harness_plugins.strategies.fixmatch import Consistency, FixMatch, consistency
from sklearn.metrics import log_loss
from torch import nn

from harness.api import Batch, Classifier, HarnessError, ImageBackbone, Recipe, Unsupported
from harness.testing import RegulariserChecks, StrategyChecks, a_run


class TestFixMatch(StrategyChecks):
    strategy = FixMatch()


class TestConsistency(RegulariserChecks):
    def given(self, backbone, task, run):
        return Consistency(0.3, 1.0)


def test_the_loss_is_of_the_changed_views_of_sure_ones():
    """Of four, two are as sure as that: by the size of the batch, not by how many."""
    odds = torch.tensor([[96.0, 2.0, 2.0], [90.0, 5.0, 5.0], [1.0, 1.0, 98.0], [1.0, 1.0, 1.0]])
    strong = torch.tensor([[1.0, 0.2, 0.0], [3.0, 1.0, 0.0], [0.5, 0.1, 0.3], [0.0, 2.0, 0.0]])
    shares = strong.double().softmax(1).numpy()
    expected = log_loss([0, 2], shares[[0, 2]], normalize=False, labels=[0, 1, 2]) / 4
    assert consistency(odds.log(), strong, 0.95).item() == pytest.approx(expected, rel=1e-6)
    assert consistency(odds.log(), strong, 0.99).item() == 0


def test_labels_are_taken_as_given():
    weak, strong = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    consistency(weak, strong, 0.0).backward()
    assert weak.grad is None
    assert strong.grad.abs().sum() > 0


def given():
    checks = StrategyChecks()
    checks.strategy = FixMatch()
    return checks.given_task(classes=5, each=4, val=2)


def test_each_unlabelled_image_is_there_twice_and_once_changed():
    backbone, task = given()
    model = Classifier(Recipe(backbone, backbone.parameters_from(0), lr=0.0), task, a_run())
    generator, unlabelled = torch.Generator().manual_seed(0), task.unlabelled[:]
    others = Batch(model, unlabelled, None, torch.arange(50), 0.0, generator)
    train = task.train
    batch = Batch(
        model,
        train.inputs[:],
        train.labels,
        torch.arange(20),
        0.0,
        generator,
        unlabelled=others,
    )
    both = Consistency(0.95, 1.0).batch(batch).unlabelled
    weak, strong = both.inputs.chunk(2)
    assert torch.equal(weak, unlabelled)
    assert strong.dtype == weak.dtype
    changed = (strong != weak).flatten(1).any(1)
    assert 25 < changed.sum() <= 50  # some operations do nothing to some images
    assert both.index.tolist() == [*range(50)] * 2
    assert both.logits.shape == (100, 5)


def test_what_it_refuses():
    backbone, task = given()
    with pytest.raises(Unsupported, match="unlabelled inputs"):
        FixMatch().adapt(backbone, replace(task, unlabelled=None), FixMatch.defaults, a_run())
    body = nn.Sequential(nn.Flatten(), nn.Linear(8 * 8 * 2, 8))
    two = ImageBackbone(body, [["1"]], input_size=8, mean=[0.5] * 2, std=[0.5] * 2).eval()
    with pytest.raises(HarnessError, match="the model takes 2 channels"):
        FixMatch().adapt(two, task, FixMatch.defaults, a_run())
