"""Self-training: who is given a label, what the loss is, and its rounds trained by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from harness_plugins.strategies.self_training import PseudoLabels, SelfTraining, pseudo_labels
from sklearn.metrics import log_loss

from harness.api import HarnessError, Recipe, Unsupported, fit
from harness.testing import RegulariserChecks, StrategyChecks, a_run


class TestSelfTraining(StrategyChecks):
    strategy = SelfTraining()


class TestPseudoLabels(RegulariserChecks):
    def given(self, backbone, task, run):
        return PseudoLabels(torch.arange(len(task.unlabelled)) % 5)


def test_labels_are_of_what_is_more_probable_than_the_confidence():
    odds = torch.tensor([[8.0, 1.0, 1.0], [1.0, 7.9, 1.1], [1.0, 0.0, 9.0], [5.0, 5.0, 0.0]])
    assert pseudo_labels(odds.log(), 0.795).tolist() == [0, -100, 2, -100]
    assert pseudo_labels(odds.log(), 0.95).tolist() == [-100] * 4


def given():
    checks = StrategyChecks()
    checks.strategy = SelfTraining()
    return checks.given_task(classes=5, each=4, val=2)


def test_the_loss_is_of_the_labelled_ones_by_the_size_of_the_batch():
    class Answers:
        logits = torch.tensor([[2.0, 0.5], [1.0, -1.0], [0.0, 0.3]])
        index = torch.tensor([3, 0, 2])

    class Both:
        unlabelled = Answers

    shares = np.exp(Answers.logits.double().numpy())
    shares /= shares.sum(1, keepdims=True)
    expected = log_loss([1, 0], shares[[0, 2]], normalize=False, labels=[0, 1]) / 3
    found = PseudoLabels(torch.tensor([-100, 1, 0, 1])).penalty(Both)
    assert found.item() == pytest.approx(expected, rel=1e-6)
    assert PseudoLabels(torch.full((4,), -100)).penalty(Both).item() == 0


def test_it_is_its_rounds_trained_by_hand():
    """Of two rounds and thirty steps, ten each, with labels from the round before."""
    backbone, task = given()
    hp = {"lr": 5e-2, "weight_decay": 1e-2, "confidence": 0.35}
    found = SelfTraining(rounds=2).adapt(backbone, task, hp, a_run(steps=30, batch_size=4))
    blind, counts = replace(task, val=None), []
    stage = Recipe(backbone, backbone.parameters_from(0), lr=5e-2, weight_decay=1e-2, steps=10)
    model = fit(stage, blind, a_run(steps=30, batch_size=4))
    for done in (10, 20):
        shares = model.logits(task.unlabelled).softmax(1)
        labels = torch.tensor([int(p.argmax()) if p.max() > 0.35 else -100 for p in shares])
        counts.append((labels >= 0).sum().item())
        penalty = PseudoLabels(labels)
        stage = replace(stage, backbone=model.backbone, head=model.head, regularisers=[penalty])
        stage = replace(stage, steps_before=done)
        model = fit(stage, blind, a_run(steps=30, batch_size=4))
    assert 0 < max(counts) < len(task.unlabelled)
    assert torch.equal(found.logits(task.unlabelled), model.logits(task.unlabelled))


def test_what_it_refuses():
    with pytest.raises(HarnessError, match="self_training's rounds are 0"):
        SelfTraining(rounds=0)
    backbone, task = given()
    strategy = SelfTraining()
    with pytest.raises(Unsupported, match="unlabelled inputs of a target domain"):
        strategy.adapt(backbone, replace(task, unlabelled=None), strategy.defaults, a_run())
