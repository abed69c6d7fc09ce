"""Dropout, by what a head is given."""

import pytest
import torch
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.tricks.dropout import Dropout

from harness.api import OneClass, Recipe, Task
from harness.testing import TrickChecks, a_run, digits, shots, small_backbone


class TestDropout(TrickChecks):
    trick = Dropout()


def a_head(share, head=None):
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 1, 5), OneClass.of(5))
    return Dropout().amend(Recipe(backbone, (), lr=0.1, head=head), task, {"share": share}, None)


def test_a_share_of_the_features_is_missing_and_the_rest_as_much_larger():
    head = torch.nn.Linear(1000, 1000)
    torch.nn.init.eye_(head.weight)
    torch.nn.init.zeros_(head.bias)
    dropping = a_head(0.25, head).head
    features = torch.full((8, 1000), 3.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        seen = dropping(features)
    assert {*seen.unique().tolist()} == {0.0, 4.0}
    assert (seen == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(dropping.eval()(features), features)


def test_without_a_head_it_is_the_one_of_zeros():
    head = a_head(0.5).head[1]
    assert (head.in_features, head.out_features) == (8, 5)
    assert not head.weight.any()


def test_a_probe_that_standardises_goes_on_doing_so():
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 8, 5), OneClass.of(5))
    strategy = LinearProbe().with_tricks([Dropout()])
    (model,) = strategy.adapt_batch(backbone, [(task, strategy.defaults)], a_run())
    assert {"head.1.centre", "head.1.scale"} <= model.changed.keys()
