"""Stochastic depth, against timm's own rates and by what a block gives."""

import pytest
import timm
import torch
from harness_plugins.backbones.timm import Timm
from harness_plugins.strategies.linear_probe import LinearProbe
from harness_plugins.tricks.stochastic_depth import StochasticDepth, places
from timm.layers import DropPath

from harness.api import HarnessError, Recipe
from harness.testing import TrickChecks, a_run, digits, residual_backbone, small_backbone


class TestStochasticDepth(TrickChecks):
    trick = StochasticDepth()

    def given_task(self, **sizes):
        _, task = super().given_task(**sizes)
        return residual_backbone(), task


def amended(backbone, share):
    recipe = Recipe(backbone, backbone.parameters_from(0), lr=0.1)
    return StochasticDepth().amend(recipe, None, {"share": share}, None).backbone


@pytest.mark.parametrize("model", ["test_vit", "test_convnext", "test_resnet"])
def test_chances_are_those_of_timm(model):
    def chances(network):
        found = [(n, m.drop_prob) for n, m in network.named_modules() if isinstance(m, DropPath)]
        return {name: chance for name, chance in found if chance}

    own = Timm().build(model, input_size=None, pretrained=False, args={})
    expected = chances(timm.create_model(model, drop_path_rate=0.3))
    assert chances(amended(own, 0.3).body.model) == pytest.approx(expected)
    assert expected


def test_a_branch_is_left_out_of_some_examples_and_enlarged_in_others():
    backbone = amended(residual_backbone(), 0.4)
    block = backbone.body[3].train()
    features = torch.rand(1, 8).expand(2000, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        added = block(features) - features
    branch = block.branch(features)
    left_out = (added == 0).all(1)
    assert left_out.float().mean().item() == pytest.approx(0.4, abs=0.04)
    torch.testing.assert_close(added[~left_out], branch[~left_out] / 0.6, rtol=1e-4, atol=1e-5)


def test_the_backbone_that_was_given_and_what_it_predicts_stay_the_same():
    backbone = residual_backbone()
    before, inputs = backbone.digest(), digits(backbone).inputs[:20]
    other = amended(backbone, 0.4).eval()
    assert torch.equal(other.features(inputs), backbone.features(inputs))
    assert backbone.digest() == before
    assert [*dict(other.body_parameters())] == [*dict(backbone.body_parameters())]


def test_a_model_without_branches_is_refused():
    assert not [*places(small_backbone().body)]
    with pytest.raises(HarnessError, match="this model has no place for it"):
        amended(small_backbone(), 0.1)
    with pytest.raises(HarnessError, match="Take a residual network or a transformer of timm"):
        StochasticDepth().check_backbone(small_backbone().to("meta"))


def test_a_strategy_of_which_nothing_but_the_head_trains_is_refused():
    backbone, task = TestStochasticDepth().given_task(classes=5, each=8, val=0)
    strategy = LinearProbe().with_tricks([StochasticDepth()])
    with pytest.raises(HarnessError, match="branches of blocks that train, and here none does"):
        strategy.adapt(backbone, task, strategy.defaults, a_run())
