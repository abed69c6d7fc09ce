"""SAM, against the paper's two gradients written out."""

import copy

import pytest
import torch
from harness_plugins.tricks.dropout import Dropout
from harness_plugins.tricks.sam import Sam, SharpnessAware

from harness.api import OneClass, Recipe, Task, constant, fit
from harness.testing import TrickChecks, a_run, digits, shots, small_backbone


class TestSam(TrickChecks):
    trick = Sam()


CURVATURE = torch.tensor([[3.0, 1.0], [1.0, 0.5]], dtype=torch.float64)

INNER = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("inner", INNER)
def test_on_a_quadratic_the_steps_are_those_of_the_inner_one_by_the_gradient_near_by(inner):
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    found, expected = (torch.nn.Parameter(start.clone()) for _ in range(2))
    sharp = SharpnessAware(INNER[inner]([{"params": [found]}]), rho=0.3)
    plain = INNER[inner]([{"params": [expected]}])

    def closure():
        sharp.zero_grad()
        loss = found @ CURVATURE @ found / 2
        loss.backward()
        return loss

    for _ in range(5):
        before = found.detach().clone()
        loss = sharp.step(closure)
        assert loss.item() == pytest.approx((before @ CURVATURE @ before / 2).item())
        with torch.no_grad():
            slope = CURVATURE @ expected
            expected.grad = CURVATURE @ (expected + 0.3 * slope / slope.norm())
        plain.step()
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_radius_is_of_all_parameters_together():
    """Of two groups, of which one has no gradient."""
    parameters = [torch.nn.Parameter(torch.tensor(value)) for value in (3.0, 4.0, 5.0)]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:]}]
    sharp = SharpnessAware(torch.optim.SGD(groups, lr=0.0), rho=0.5)
    seen = []

    def closure():
        sharp.zero_grad()
        seen.append([p.item() for p in parameters])
        loss = (parameters[0] ** 2 + parameters[1] ** 2) / 2  # the gradient is 3, 4
        loss.backward()
        return loss

    sharp.step(closure)
    assert seen[1] == pytest.approx([3.3, 4.4, 5.0])
    assert [p.item() for p in parameters] == [3.0, 4.0, 5.0]


def test_what_groups_name_as_the_heads_can_be_left_where_it_is():
    parameters = [torch.nn.Parameter(torch.tensor(value)) for value in (3.0, 4.0)]
    groups = [{"params": parameters, "names": ["body.weight", "head.weight"]}]
    sharp = SharpnessAware(torch.optim.SGD(groups, lr=0.0), rho=0.5, head=False)
    seen = []

    def closure():
        sharp.zero_grad()
        seen.append([p.item() for p in parameters])
        loss = (parameters[0] ** 2 + parameters[1] ** 2) / 2
        loss.backward()
        return loss

    sharp.step(closure)
    assert seen == [[3.0, 4.0], [3.5, 4.0]]


@pytest.mark.parametrize(
    ("first", "head", "plain"), [(0, False, True), (0, True, False), (3, False, False)]
)
def test_a_head_of_zeros_moves_only_where_nothing_else_does(first, head, plain):
    """It gives the body no gradient, so a body alone does not move, and the step is a plain one."""
    backbone = still_norms()
    task = Task(shots(digits(backbone), 4, 5), OneClass.of(5))
    given = torch.nn.Linear(backbone.num_features, 5) if head else None
    recipe = Recipe(backbone, backbone.parameters_from(first), lr=1e-2, head=given)
    sharp = Sam().amend(recipe, task, {"rho": 0.5}, a_run())
    found, expected = (fit(each, task, a_run(steps=1)).trained for each in (sharp, recipe))
    assert plain == all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_head_of_zeros_stays_whatever_is_put_before_it():
    """A dropout of nothing changes nothing, before SAM or after it."""
    backbone = still_norms()
    task = Task(shots(digits(backbone), 4, 5), OneClass.of(5))
    plain = Recipe(backbone, backbone.parameters_from(0), lr=1e-2)
    found = []
    for tricks in ([Sam()], [Dropout(), Sam()], [Sam(), Dropout()]):
        recipe = plain
        for trick in tricks:
            hp = {"rho": 0.5} if isinstance(trick, Sam) else {"share": 0.0}
            recipe = trick.amend(recipe, task, hp, a_run())
        model = fit(recipe, task, a_run(steps=5))
        found.append([*model.head.parameters(), *model.backbone.parameters()])
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


def still_norms():
    """A backbone without batch norms, which would see both passes."""

    def edit(body):
        for block in range(3):
            body[block][1] = torch.nn.Identity()

    return small_backbone().edited(edit).eval()


def test_without_a_radius_nothing_changes_bit_for_bit():
    backbone = still_norms()
    task = Task(shots(digits(backbone), 4, 5), OneClass.of(5))
    plain = Recipe(backbone, backbone.parameters_from(0), lr=1e-2, schedule=constant)
    sharp = Sam().amend(plain, task, {"rho": 0.0}, a_run())
    found, expected = (fit(recipe, task, a_run(steps=5)).trained for recipe in (sharp, plain))
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_its_state_is_that_of_the_inner_one():
    parameter = torch.nn.Parameter(torch.ones(2))
    sharp = SharpnessAware(torch.optim.SGD([parameter], lr=1.0, momentum=0.9), rho=0.1)

    def closure():
        sharp.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    sharp.step(closure)
    kept = copy.deepcopy(sharp.state_dict())
    value = parameter.detach().clone()
    sharp.step(closure)
    once = parameter.detach().clone()
    with torch.no_grad():
        parameter.copy_(value)
    sharp.load_state_dict(kept)
    sharp.param_groups[0]["lr"] = 1.0
    sharp.step(closure)
    assert torch.equal(parameter, once)
