"""The head's own rate, by how far one plain step moves it."""

import pytest
import torch
from harness_plugins.tricks.head_lr import HeadLr

from harness.api import HarnessError, OneClass, Recipe, Task, constant, fit
from harness.testing import TrickChecks, a_run, digits, shots, small_backbone


class TestHeadLr(TrickChecks):
    trick = HeadLr()


def moved(lr, times=None):
    """How far a step of plain gradient descent moves each parameter."""
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 4, 3), OneClass.of(3))
    head = torch.nn.Linear(8, 3)
    torch.nn.init.eye_(head.weight)
    torch.nn.init.zeros_(head.bias)
    recipe = Recipe(
        backbone,
        backbone.parameters_from(1),
        lr=lr,
        head=head,
        optimizer=torch.optim.SGD,
        schedule=constant,
    )
    run = a_run(steps=1)
    if times is not None:
        recipe = HeadLr().amend(recipe, task, {"times": times}, run)
    start = {f"head.{name}": p for name, p in head.named_parameters()}
    start |= dict(backbone.body_parameters())
    return {name: p - start[name] for name, p in fit(recipe, task, run).trained.items()}


@pytest.mark.parametrize(
    ("lr", "expected"),
    [
        (0.1, {"head": 0.7, "": 0.1}),
        ({"": 0.1, "body.2": 0.3}, {"head": 0.7, "": 0.1, "body.2": 0.3}),
        ({"": 0.1, "head": 0.2, "head.bias": 0.3}, {"head": 0.7, "": 0.1}),
        ({"head": 0.2, "body": 0.1}, {"head": 0.7, "": 0.1}),
    ],
)
def test_it_is_a_multiple_of_the_bodys(lr, expected):
    found, wanted = moved(lr, 7.0), moved(expected)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-8)
    assert found["head.bias"].any()


def test_a_frozen_body_has_no_rate_to_compare_with():
    recipe = Recipe(small_backbone(), (), lr=0.1)
    with pytest.raises(HarnessError, match="here nothing of the body trains"):
        HeadLr().amend(recipe, None, {"times": 10.0}, None)
