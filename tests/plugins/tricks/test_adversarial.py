"""Adversarial images, against gradients of a linear model worked out by hand."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.tricks.adversarial import Adversarial, Attack
from torch import nn

from harness.api import Batch, Classifier, HarnessError, ImageBackbone, OneClass, Recipe, Task
from harness.testing import RegulariserChecks, TrickChecks, a_run, digits, shots, small_backbone


class TestAdversarial(TrickChecks):
    trick = Adversarial()


class TestProjectedGradientDescent(TrickChecks):
    trick = Adversarial(steps=3)


class TestAttack(RegulariserChecks):
    def given(self, backbone, task, run):
        return Attack(8.0, 2, task.target.criterion, run.micro_batch)


@pytest.fixture(scope="module")
def batch():
    """Of a model whose features are the pixels, in float64."""
    backbone = ImageBackbone(nn.Flatten(), [[]], input_size=16, mean=[0.5], std=[0.5]).double()
    task = Task(shots(digits(backbone), 3, 4), OneClass.of(4))
    head = nn.Linear(256, 4).double()
    nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0), std=0.05)
    model = Classifier(Recipe(backbone, (), lr=0.1, head=head), task, a_run())
    inputs = task.train.inputs[:]
    draws = torch.Generator().manual_seed(0)
    return Batch(model, inputs, task.train.labels, torch.arange(len(inputs)), 0.0, draws)


def slope_of(batch, inputs, targets):
    """The gradient of the mean cross-entropy by the pixels of a linear softmax model."""
    head = batch.model.head
    standardised = (inputs.double().flatten(1) - 127.5) / 127.5
    logits = standardised @ head.weight.T + head.bias
    wrong = (logits.softmax(1) - F.one_hot(targets, 4)) / len(inputs)
    return (wrong @ head.weight / 127.5).reshape(inputs.shape).detach()


@pytest.mark.parametrize("most", [5, 100])
def test_one_step_is_the_fast_gradient_sign_method(batch, most):
    found = Attack(6.0, 1, F.cross_entropy, most).batch(batch).inputs
    slope = slope_of(batch, batch.inputs, batch.targets)
    expected = (batch.inputs + 6.0 * slope.sign()).clamp(0, 255)
    torch.testing.assert_close(found.double(), expected.double())


def test_several_steps_are_projected_gradient_descent(batch):
    seeded = replace(batch, generator=torch.Generator().manual_seed(5))
    found = Attack(6.0, 4, F.cross_entropy, 100).batch(seeded).inputs
    draws = torch.Generator().manual_seed(5)
    clean = batch.inputs.float()
    inputs = clean + 6.0 * (2 * torch.rand(clean.shape, generator=draws) - 1)
    inputs = inputs.clamp(0, 255)
    for _ in range(4):
        inputs = inputs + 2.5 * 6.0 / 4 * slope_of(batch, inputs, batch.targets).sign()
        inputs = clean + (inputs - clean).clamp(-6.0, 6.0)
        inputs = inputs.clamp(0, 255)
    torch.testing.assert_close(found.double(), inputs.double())


def test_mixed_targets_are_attacked_as_they_are(batch):
    soft = F.one_hot(batch.targets, 4).double()
    hard = Attack(6.0, 1, F.cross_entropy, 100).batch(batch).inputs
    assert torch.equal(
        Attack(6.0, 1, F.cross_entropy, 100).batch(replace(batch, targets=soft)).inputs, hard
    )


def test_the_model_that_is_asked_is_left_as_it_was():
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 3, 4), OneClass.of(4))
    head = nn.Linear(8, 4)
    recipe = Recipe(backbone, backbone.parameters_from(0), lr=0.1, head=head)
    model = Classifier(recipe, task, a_run())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = task.train.inputs[:]
    index = torch.arange(len(inputs))
    batch = Batch(model, inputs, task.train.labels, index, 0.0, torch.Generator())
    changed = Attack(4.0, 2, F.cross_entropy, 100).batch(batch)
    assert not torch.equal(changed.inputs, inputs)
    assert not changed.inputs.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in [*model.backbone.parameters(), *model.head.parameters()])
    assert all(module.training for module in model.backbone.modules())


def test_no_steps_at_all_are_refused():
    with pytest.raises(HarnessError, match="Give 1 or more"):
        Adversarial(steps=0)
