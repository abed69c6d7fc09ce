"""(IA)³ against weights that are scaled by hand, in float64."""

import copy

import pytest
import torch
from harness_plugins.backbones.timm import Timm
from harness_plugins.strategies.ia3 import Ia3
from torch import nn

from harness.api import ImageBackbone, OneClass, Task, Unsupported
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone

pytest.importorskip("peft")

SETTINGS = {"lr": 3e-2, "weight_decay": 1e-4}


class TestIa3(StrategyChecks):
    strategy = Ia3()


@pytest.fixture(params=["convolutions", "vision transformer"])
def backbone(request):
    if request.param == "convolutions":
        return small_backbone()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Timm().build("test_vit", input_size=32, pretrained=False, args={}).eval()


def a_task(backbone):
    examples = digits(backbone)
    return Task(shots(examples, 4, 5), OneClass.of(5), shots(examples, 4, 5, skip=4))


def test_starts_from_the_model_as_it_is(backbone):
    task = a_task(backbone)
    scaled = Ia3().recipe(backbone, task, SETTINGS, a_run()).backbone
    inputs = task.train.inputs[:]
    assert torch.equal(scaled.features(inputs), backbone.features(inputs))


def test_factors_scale_weights_and_biases(backbone):
    """One factor for each row of a layer's weight; nothing else changes, batch norms included."""
    task = a_task(backbone)
    model = Ia3().adapt(backbone, task, SETTINGS, a_run(steps=5))
    factors = {n.partition(".ia3_l.")[0]: t for n, t in model.trained.items() if ".ia3_l." in n}
    assert model.trained.keys() == {
        *(f"{name}.ia3_l.default" for name in factors),
        "head.weight",
        "head.bias",
    }
    mine = copy.deepcopy(backbone).double()
    layers = {n: m for n, m in mine.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert factors.keys() == layers.keys()
    inputs = task.val.inputs
    with torch.no_grad():
        for name, layer in layers.items():
            factor = factors[name].double().flatten()
            assert len(factor) == len(layer.weight)
            layer.weight *= factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
            if layer.bias is not None:
                layer.bias *= factor
        features = mine.features(inputs[:])
        assert (features - backbone.features(inputs[:])).abs().max() > 1e-4
        head = model.head
        logits = features @ head.weight.double().T + head.bias.double()
    assert torch.allclose(model.logits(inputs).double(), logits, rtol=1e-4, atol=1e-5)


def test_decay_leaves_factors_at_1():
    backbone = small_backbone()
    recipe = Ia3().recipe(backbone, a_task(backbone), SETTINGS, a_run())
    assert recipe.weight_decay == {"head": 1e-4, "": 0.0}


def test_a_model_without_layers_to_scale_is_refused():
    body = nn.Sequential(nn.Flatten(), nn.LayerNorm(64))
    backbone = ImageBackbone(body, [["1"]], input_size=8, mean=[0.5], std=[0.5]).eval()
    with pytest.raises(Unsupported, match="this model has none"):
        Ia3().adapt(backbone, a_task(backbone), SETTINGS, a_run(steps=5))
