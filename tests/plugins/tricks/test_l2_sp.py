"""L2-SP against equation 3 of the paper, written out in float64 and descended by hand."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from harness_plugins.strategies.full_finetune import FullFinetune
from harness_plugins.strategies.gradual_unfreeze import GradualUnfreeze
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.strategies.lp_ft import LpFt
from harness_plugins.tricks.l2_sp import L2Sp, StartingPoint
from torch import nn

from harness.api import HarnessError, OneClass, Task, constant, fit
from harness.testing import (
    RegulariserChecks,
    TrickChecks,
    a_run,
    digits,
    residual_backbone,
    shots,
    small_backbone,
)


class TestL2Sp(TrickChecks):
    trick = L2Sp()


class TestStartingPoint(RegulariserChecks):
    def given(self, backbone, task, run):
        return StartingPoint(backbone, 0.1)


def a_task(backbone):
    return Task(shots(digits(backbone), 6, 4), OneClass.of(4))


def amended(strategy, backbone, task, run, **settings):
    own = {f"l2_sp.{name}": value for name, value in settings.items()}
    strategy = strategy.with_tricks([L2Sp()])
    hp = {**strategy.defaults, **own}
    return strategy.amended(strategy.recipe(backbone, task, hp, run), task, hp, run)


def test_plain_descent_of_the_loss_is_that_of_equation_3():
    """On all examples in each step: Ω(w) = α/2 ‖w_S - w_S⁰‖² + β/2 ‖W_head‖²."""
    backbone = residual_backbone()
    task, alpha, beta, lr = a_task(backbone), 0.7, 0.3, 0.05
    recipe = amended(FullFinetune(), backbone, task, a_run(), alpha=alpha, beta=beta)
    recipe = replace(recipe, lr=lr, optimizer=partial(torch.optim.SGD), schedule=constant)
    found = fit(recipe, task, a_run(steps=6)).trained

    body, inputs = copy.deepcopy(backbone).double(), task.train.inputs[:]
    head = nn.Linear(8, 4).double()
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    start = {name: p.detach().clone() for name, p in body.body_parameters()}
    moving = dict(body.body_parameters()) | {"head.weight": head.weight, "head.bias": head.bias}
    pixels = body.normalise(inputs).double()
    for _ in range(6):
        loss = F.cross_entropy(head(body.body(pixels)), task.train.labels)
        loss = loss + alpha / 2 * sum(
            ((moving[name] - first) ** 2).sum() for name, first in start.items()
        )
        loss = loss + beta / 2 * (head.weight**2).sum()
        slopes = torch.autograd.grad(loss, [*moving.values()])
        with torch.no_grad():
            for p, slope in zip(moving.values(), slopes, strict=True):
                p -= lr * slope
    assert found.keys() == moving.keys()
    for name, p in moving.items():
        torch.testing.assert_close(found[name].double(), p, rtol=1e-4, atol=1e-5)
    assert (moving["body.1.branch.0.weight"] - start["body.1.branch.0.weight"]).abs().max() > 1e-3


@pytest.mark.parametrize("strategy", [LpFt(), GradualUnfreeze()], ids=lambda s: s.name)
def test_it_pulls_back_whatever_trains(strategy):
    backbone = small_backbone()
    task = a_task(backbone)

    def moved(alpha):
        run = a_run(steps=40)
        recipe = replace(amended(strategy, backbone, task, run, alpha=alpha, beta=0.0), lr=1e-2)
        (pull,) = recipe.regularisers
        model = fit(recipe, task, run)
        body = {n: p for n, p in model.trained.items() if n in pull.start}
        return sum((p - pull.start[name]).square().sum().item() for name, p in body.items())

    assert moved(1e3) < 0.2 * moved(1e-3)


def test_after_earlier_stages_it_pulls_back_to_the_weights_before_them():
    backbone = small_backbone()
    task = a_task(backbone)
    recipe = amended(GradualUnfreeze(), backbone, task, a_run(steps=40))
    (pull,) = recipe.regularisers
    given, now = dict(backbone.body_parameters()), dict(recipe.backbone.body_parameters())
    assert any(not torch.equal(now[name], p) for name, p in given.items())
    assert all(torch.equal(pull.start[name], p) for name, p in given.items())


def test_what_was_put_into_the_model_is_pulled_back_to_where_it_began():
    def edit(body):
        body[1][0].register_parameter("added", nn.Parameter(torch.ones(3)))

    backbone = small_backbone()
    start = StartingPoint(backbone.edited(edit), 0.1).start
    assert start.keys() - dict(backbone.body_parameters()) == {"body.1.0.added"}
    assert torch.equal(start["body.1.0.added"], torch.ones(3))


def test_a_strategy_of_which_nothing_but_the_head_trains_is_refused():
    backbone = small_backbone()
    with pytest.raises(HarnessError, match="l2_sp pulls the backbone's weights back"):
        amended(LinearProbe(), backbone, a_task(backbone), a_run())
