"""Rates and decays by name: the longest name counts, and biases are spared."""

import pytest
import torch
from torch import nn

from harness.api import Classifier, OneClass, Recipe, Regulariser, Task, fit
from harness.model.groups import parameter_groups
from harness.testing import a_run, digits, shots, small_backbone


class Trained(Regulariser):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


def settings(first=0, regularisers=(), **values):
    """Rate and decay of each parameter that trains, by name."""
    backbone = small_backbone()
    names = backbone.parameters_from(first)
    recipe = Recipe(backbone, names, regularisers=regularisers, **values)
    model = Classifier(recipe, Task(shots(digits(backbone), 1, 5), OneClass.of(5)), a_run())
    owners = {
        "head": model.head,
        **{f"regularisers.{n}": r for n, r in enumerate(regularisers)},
        "": model.backbone,
    }
    name_of = {
        id(p): f"{owner}.{name}".lstrip(".")
        for owner, module in owners.items()
        for name, p in module.named_parameters()
    }
    groups = parameter_groups(model, recipe, regularisers)
    for group in groups:
        assert group["names"] == [name_of[id(p)] for p in group["params"]]
    return {
        name: (group["lr"], group["weight_decay"]) for group in groups for name in group["names"]
    }


def test_one_number_is_for_all_and_decay_spares_biases_and_norms():
    found = settings(1, [Trained()], lr=0.1, weight_decay=0.2)
    assert {*found} == {
        *small_backbone().parameters_from(1),
        "head.weight",
        "head.bias",
        "regularisers.0.layer.weight",
        "regularisers.0.layer.bias",
    }
    norms = {f"body.{block}.1.weight" for block in (1, 2)}
    for name, values in found.items():
        assert values == (0.1, 0.0 if name.endswith("bias") or name in norms else 0.2)


def test_the_longest_name_counts():
    found = settings(
        lr={"": 1.0, "body": 2.0, "body.2": 3.0, "body.2.0.bias": 4.0, "head": 5.0},
        weight_decay={"": 0.0, "head": 0.1, "head.bias": 0.2, "body.1": 0.3},
    )
    assert found["body.0.0.weight"] == (2.0, 0.0)
    assert found["body.1.0.weight"] == (2.0, 0.3)
    assert found["body.1.0.bias"] == (2.0, 0.0)
    assert found["body.2.0.weight"] == (3.0, 0.0)
    assert found["body.2.0.bias"] == (4.0, 0.0)
    assert found["head.weight"] == (5.0, 0.1)
    assert found["head.bias"] == (5.0, 0.2)  # named in full


def test_all_that_have_none_are_named():
    with pytest.raises(ValueError, match=r'^head.weight, head.bias has no lr: give one for ""'):
        settings(lr={"body": 1.0})
    settings(3, lr={"head": 1.0})


def test_all_that_are_not_there_are_named():
    with pytest.raises(ValueError, match=r"^the model has no body.7, haed to give a weight_decay$"):
        settings(lr=1.0, weight_decay={"": 0.0, "haed": 0.1, "body.7": 0.1, "body.0": 0.1})


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_each_descends_at_its_own_rate(momentum):
    """Plain descent from a head of zeros, against torch's own with the same groups by hand."""
    backbone = small_backbone()
    task = Task(shots(digits(backbone), 4, 5), OneClass.of(5))

    def optimizer(groups):
        return torch.optim.SGD(groups, momentum=momentum)

    def fitted(lr):
        recipe = Recipe(backbone, backbone.parameters_from(0), lr=lr, optimizer=optimizer)
        return fit(recipe, task, a_run(steps=3)).trained

    plain, other = fitted(0.1), fitted({"": 0.1, "body.0": 0.0})
    for name, value in other.items():
        start = dict(backbone.named_parameters()).get(name)
        assert torch.equal(value, start) if name.startswith("body.0.") else value.any()
    assert not torch.equal(plain["body.0.0.weight"], other["body.0.0.weight"])
