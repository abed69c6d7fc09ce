"""A head that standardises: by hand, and folded into a plain one."""

import pytest
import torch
from torch import nn

from harness.api import OneClass, Recipe, Task, fit, standardised_head
from harness.testing import a_run, digits, shots


@pytest.fixture
def task(backbone):
    examples = digits(backbone)
    return Task(shots(examples, 40, 10), OneClass.of(10), shots(examples, 10, 10, skip=40))


def test_features_are_centred_and_scaled_as_a_whole(backbone, task):
    head = standardised_head(backbone, task, a_run())
    features = backbone.features(task.train.inputs[:]).detach().double()
    expected = features - features.mean(0)
    expected /= expected.square().mean().sqrt()
    assert torch.allclose(head.standardise(features), expected, atol=1e-5)
    assert not head(features.float()).any()


def test_a_plain_head_takes_the_features_as_they_are(backbone, task):
    run = a_run()
    head = standardised_head(backbone, task, run)
    model = fit(Recipe(backbone, (), lr=0.1, head=head), task, run)
    plain = model.head.plain()
    assert type(plain) is nn.Linear
    found = plain(backbone.features(task.val.inputs[:]))
    assert torch.allclose(found, model.logits(task.val.inputs), atol=1e-4)
    assert not head.weight.any(), "the recipe's own has been trained"


def test_no_first_weights_are_drawn_that_nobody_uses(backbone, task):
    """Else dropout in a later stage would be another one."""
    run = a_run()
    head = standardised_head(backbone, task, run)
    state = torch.get_rng_state()
    head.plain(), type(head)(8, 10)
    assert torch.equal(torch.get_rng_state(), state)


def test_features_that_are_all_alike_are_no_division_by_zero(backbone, task):
    head = standardised_head(
        backbone, Task(task.train.subset(torch.tensor([3, 3])), OneClass.of(10)), a_run()
    )
    assert head(torch.randn(4, 8)).isfinite().all()
