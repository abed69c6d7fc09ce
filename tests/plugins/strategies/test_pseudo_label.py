"""Pseudo-label: its loss by scikit-learn, how its weight grows, and what it does to answers."""

from dataclasses import replace

import pytest
import torch
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.pseudo_label import Likeliest, PseudoLabel, growth
from scipy import stats
from sklearn.metrics import log_loss

from harness.api import OneClass, Task, Unsupported
from harness.testing import RegulariserChecks, StrategyChecks, a_run, digits, shots, small_backbone


class TestPseudoLabel(StrategyChecks):
    strategy = PseudoLabel()


class TestLikeliest(RegulariserChecks):
    def given(self, backbone, task, run):
        return Likeliest(3.0)


class Answers:
    progress = 0.5
    logits = torch.tensor([[2.0, 0.5, 0.1], [-1.0, 1.0, 0.0], [0.0, 0.3, 0.4]])


class Both(Answers):
    unlabelled = Answers


def test_the_loss_is_that_of_the_likeliest_classes():
    shares = Answers.logits.double().softmax(1).numpy()
    expected = 3 * 0.5 * log_loss([0, 1, 2], shares, labels=[0, 1, 2])
    assert Likeliest(3.0).penalty(Both).item() == pytest.approx(expected, rel=1e-6)


def test_the_weight_grows_evenly_in_the_middle_of_the_training():
    shares = [growth(step / 12) for step in range(13)]
    expected = [0, 0, 0, *(part / 8 for part in range(1, 9)), 1, 1]
    assert shares == pytest.approx(expected)


def test_answers_to_inputs_without_labels_become_surer():
    """That lowers their entropy, says the paper: of 40 inputs a class, beside 3 with labels."""
    backbone = small_backbone()
    examples = digits(backbone)
    others = shots(examples, 40, 4, skip=20).inputs
    task = Task(shots(examples, 3, 4), OneClass.of(4), None, others)
    hp, entropies = {"lr": 1e-2, "weight_decay": 1e-4, "unlabelled_weight": 3.0}, []
    for strategy in (FullFinetune(), PseudoLabel()):
        model = strategy.adapt(backbone, task, hp, a_run(steps=60))
        shares = model.logits(others).double().softmax(1)
        entropies.append(stats.entropy(shares, axis=1).mean())
    assert entropies[1] < 0.9 * entropies[0]


def test_without_unlabelled_inputs_it_is_refused():
    checks = StrategyChecks()
    checks.strategy = PseudoLabel()
    backbone, task = checks.given_task(classes=5, each=4, val=2)
    with pytest.raises(Unsupported, match="unlabelled inputs"):
        PseudoLabel().adapt(backbone, replace(task, unlabelled=None), PseudoLabel.defaults, a_run())
