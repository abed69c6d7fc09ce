"""BitFit: which weights it trains, counted by hand."""

import pytest
from harness_plugins.backbones.timm import Timm
from harness_plugins.strategies.bitfit import BitFit
from torch import nn

from harness.api import ImageBackbone, OneClass, Task, Unsupported
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone


class TestBitFit(StrategyChecks):
    strategy = BitFit()


def a_task(backbone):
    return Task(shots(digits(backbone), 4, 5), OneClass.of(5))


def test_three_convolutions_and_their_norms_have_16_biases_each():
    backbone = small_backbone()
    model = BitFit().adapt(backbone, a_task(backbone), BitFit.defaults, a_run(steps=3))
    body = {name: t for name, t in model.trained.items() if not name.startswith("head.")}
    assert sum(t.numel() for t in body.values()) == 3 * (8 + 8)
    before = dict(backbone.body_parameters())
    moved = {name for name, p in model.backbone.body_parameters() if not p.equal(before[name])}
    assert moved <= body.keys() == {name for name in before if name.endswith(".bias")}


def test_every_layer_of_a_transformer_has_its_biases_trained():
    backbone = Timm().build("test_vit", input_size=32, pretrained=False, args={}).eval()
    recipe = BitFit().recipe(backbone, a_task(backbone), BitFit.defaults, a_run())
    with_bias = [
        m for m in backbone.modules() if isinstance(getattr(m, "bias", None), nn.Parameter)
    ]
    parameters = dict(backbone.body_parameters())
    assert {id(parameters[n]) for n in recipe.trainable} == {id(m.bias) for m in with_bias}


def test_a_model_without_biases_is_refused():
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8, bias=False))
    backbone = ImageBackbone(body, [["1"]], input_size=8, mean=[0.5], std=[0.5]).eval()
    with pytest.raises(Unsupported, match="bitfit trains biases, and this model has none"):
        BitFit().adapt(backbone, a_task(backbone), BitFit.defaults, a_run(steps=3))
