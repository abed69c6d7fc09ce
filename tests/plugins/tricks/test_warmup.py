"""Warm-up, against rates by hand and torch's own linear schedule."""

from dataclasses import replace

import pytest
import torch
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.tricks.warmup import LinearWarmup, Warmup

from harness.api import OneClass, Recipe, Task, constant, cosine, fit
from harness.testing import TrickChecks, a_run, digits, shots, small_backbone


class TestWarmup(TrickChecks):
    trick = Warmup()


class Noting(torch.optim.SGD):
    """Notes the rate of each step."""

    def step(self, closure):
        noted.append(self.param_groups[0]["lr"])
        return super().step(closure)


noted: list[float] = []


def rates(share, schedule, steps=10):
    """The rate of each step of a training."""
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 2, 3), OneClass.of(3))
    recipe = Recipe(backbone, (), lr=2.0, optimizer=Noting, schedule=schedule)
    run = a_run(steps=steps)
    noted.clear()
    fit(Warmup().amend(recipe, task, {"share": share}, run), task, run)
    return [*noted]


def test_rates_rise_in_equal_steps_and_then_follow_the_schedule():
    assert rates(0.4, constant) == pytest.approx([0.5, 1.0, 1.5] + 7 * [2.0])
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    linear = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 5, total_iters=4)
    expected = []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        linear.step()
    assert rates(0.5, constant) == pytest.approx(expected)


def test_all_of_the_schedule_comes_after():
    found = rates(0.2, cosine)
    assert found[:2] == pytest.approx([1.0, 2.0])
    assert found[2:] == pytest.approx([2.0 * cosine(step / 8) for step in range(8)])


def test_a_share_of_less_than_a_step_changes_nothing_but_the_pace():
    assert rates(0.05, constant, steps=5) == 5 * [2.0]


def test_heads_that_are_trained_at_once_each_have_their_own():
    """A share that is tuned makes schedules differ between the settings of a batch."""
    strategy = LinearProbe().with_tricks([Warmup()])
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 8, 5), OneClass.of(5))
    settings = [{**strategy.defaults, "warmup.share": share} for share in (0.1, 0.5)]
    together = strategy.adapt_batch(backbone, [(task, hp) for hp in settings], a_run())
    for hp, found in zip(settings, together, strict=True):
        alone = strategy.adapt(backbone, task, hp, a_run())
        assert torch.equal(found.logits(task.train.inputs), alone.logits(task.train.inputs))


def test_equal_ones_are_equal():
    """So that heads of one share are still trained at once."""
    first = LinearWarmup(0.1, 0.01, cosine)
    assert first == replace(first)
    assert first != replace(first, share=0.2)
