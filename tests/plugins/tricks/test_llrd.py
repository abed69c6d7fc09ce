"""Layer-wise decay, against timm's groups and by hand."""

import pytest
from harness_plugins.backbones.timm import Timm
from harness_plugins.tricks.head_lr import HeadLr
from harness_plugins.tricks.llrd import Llrd
from timm.optim import param_groups_layer_decay

from harness.api import HarnessError, Recipe
from harness.testing import TrickChecks, small_backbone


class TestLlrd(TrickChecks):
    trick = Llrd()


def test_rates_are_those_of_timm():
    """Its model has no head here: the last layer of the body has a scale of 1, one step too few."""
    vit = Timm().build("test_vit", input_size=160, pretrained=False, args={})
    groups = param_groups_layer_decay(vit.body.model, layer_decay=0.7)
    scales = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    recipe = Recipe(vit, vit.parameters_from(0), lr=0.5)
    rates = Llrd().amend(recipe, None, {"decay": 0.7}, None).lr
    assert rates[""] == 0.5
    assert len({*scales.values()}) > 3
    for name, parameter in vit.body_parameters():
        assert rates[name] == pytest.approx(0.5 * 0.7 * scales[id(parameter)]), name


def test_rates_that_differ_already_are_multiplied():
    backbone = small_backbone()
    given = {"": 1.0, "body": 2.0, "body.2.0": 4.0, "head": 8.0}
    recipe = Recipe(backbone, backbone.parameters_from(1), lr=given)
    rates = Llrd().amend(recipe, None, {"decay": 0.5}, None).lr
    assert (rates["head"], rates[""]) == (8.0, 1.0)
    assert rates["body.2.0.weight"] == 4.0 * 0.5
    assert rates["body.2.1.weight"] == 2.0 * 0.5
    assert rates["body.1.0.weight"] == 2.0 * 0.25
    assert "body.0.0.weight" not in rates


def test_with_a_rate_of_the_head_in_either_order():
    backbone = small_backbone()
    recipe = Recipe(backbone, backbone.parameters_from(0), lr=1.0)
    settings = {HeadLr: {"times": 3.0}, Llrd: {"decay": 0.5}}
    found = []
    for order in ([HeadLr, Llrd], [Llrd, HeadLr]):
        amended = recipe
        for trick in order:
            amended = trick().amend(amended, None, settings[trick], None)
        found.append(amended.lr)
    assert found[0] == found[1]
    assert (found[0]["head"], found[0]["body.0.0.bias"]) == (3.0, 0.125)


def test_a_frozen_body_has_no_rates_to_lower():
    with pytest.raises(HarnessError, match="here none of them trains"):
        Llrd().amend(Recipe(small_backbone(), (), lr=0.1), None, {"decay": 0.5}, None)
