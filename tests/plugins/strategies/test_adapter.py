"""Adapters against the paper's equation written out in float64, and its count of parameters."""

import copy
from functools import partial

import pytest
import scipy.stats
import torch
from harness_plugins.backbones.bert import SPECIAL, Bert
from harness_plugins.backbones.efficientnet_lite0 import EfficientNetLite0
from harness_plugins.backbones.timm import Timm
from harness_plugins.strategies.adapter import Adapter
from harness_plugins.strategies.lora import adaptable
from torch import nn

from harness.api import Examples, ImageBackbone, Inputs, OneClass, Task, Unsupported
from harness.data.resident import ResidentPool
from harness.testing import StrategyChecks, a_run, digits, shots, small_backbone

SETTINGS = {"lr": 3e-2, "weight_decay": 1e-4, "width": 3}

WORDS = [*SPECIAL, "red", "green", "blue", "white", "black"]


class TestAdapter(StrategyChecks):
    strategy = Adapter()


def timm_model(name):
    return Timm().build(name, input_size=32, pretrained=False, args={}).eval()


def lite0():
    built = EfficientNetLite0().build("", input_size=32, pretrained=False, args={})
    return built.eval()


def bert():
    """Two layers of 16 units."""
    pytest.importorskip("transformers")
    args = {"width": 16, "depth": 2, "heads": 2, "pieces": WORDS}
    return Bert().build("bert", input_size=8, pretrained=False, args=args).eval()


BACKBONES = {
    "convolutions": small_backbone,
    "depthwise convolutions": lite0,
    "vision transformer": partial(timm_model, "test_vit"),
    "text encoder": bert,
}


@pytest.fixture(params=BACKBONES)
def backbone(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BACKBONES[request.param]()


def of_texts(backbone):
    texts = [f"{one} {other}" for one in WORDS[5:] for other in WORDS[5:]]
    inputs = Inputs(ResidentPool(backbone.preprocess(texts)), torch.arange(25))
    examples = Examples(inputs, torch.arange(5).repeat_interleave(5))
    return Task(shots(examples, 3, 5), OneClass.of(5), shots(examples, 2, 5, skip=3))


def a_task(backbone):
    if not isinstance(backbone, ImageBackbone):
        return of_texts(backbone)
    examples = digits(backbone)
    return Task(shots(examples, 4, 5), OneClass.of(5), shots(examples, 4, 5, skip=4))


@torch.no_grad()
def test_starts_from_the_model_as_it_is(backbone):
    task = a_task(backbone)
    adapted = Adapter().recipe(backbone, task, SETTINGS, a_run()).backbone
    inputs = task.train.inputs[:]
    assert torch.equal(adapted.features(inputs), backbone.features(inputs))


def test_parameters_are_as_many_as_the_paper_counts(backbone):
    """2md + d + m for d units and a bottleneck of m, with biases (section 2.1), which here is no
    wider than d; and the head's."""
    task = a_task(backbone)
    model = Adapter().adapt(backbone, task, {**SETTINGS, "width": 20}, a_run(steps=2))
    expected = (backbone.num_features + 1) * 5
    for name in adaptable(backbone, task.train.inputs):
        layer = backbone.body.get_submodule(name)
        d = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        m = min(20, d)
        expected += 2 * m * d + d + m
    assert sum(t.numel() for t in model.trained.values()) == expected


def residual(layer, inputs, output, maps):
    """x + W₂ GELU(W₁ x + b₁) + b₂, for each unit or, at each place, channel."""
    (w1, b1), (w2, b2) = maps
    x = output if isinstance(layer, nn.Linear) else output.movedim(1, -1)
    hidden = x @ w1.T + b1
    hidden = hidden * torch.from_numpy(scipy.stats.norm.cdf(hidden.numpy()))
    x = x + hidden @ w2.T + b2
    return x if isinstance(layer, nn.Linear) else x.movedim(-1, 1)


def test_what_trains_are_the_paper_s_adapters(backbone):
    task = a_task(backbone)
    model = Adapter().adapt(backbone, task, SETTINGS, a_run(steps=5))
    mine = copy.deepcopy(backbone).double()
    layers = adaptable(backbone, task.train.inputs)
    names = {f"body.{layer}.adapter.{at}" for layer in layers for at in (0, 2)}
    parts = {f"{name}.{part}" for name in {*names, "head"} for part in ("weight", "bias")}
    assert model.trained.keys() == parts
    trained = {name: t.double() for name, t in model.trained.items()}
    for name in layers:
        maps = [
            (
                trained[f"body.{name}.adapter.{at}.weight"].flatten(1),
                trained[f"body.{name}.adapter.{at}.bias"],
            )
            for at in (0, 2)
        ]
        mine.body.get_submodule(name).register_forward_hook(partial(residual, maps=maps))
    inputs = task.val.inputs
    with torch.no_grad():
        features = mine.features(inputs[:])
        assert (features - backbone.features(inputs[:])).abs().max() > 1e-4
        logits = features @ trained["head.weight"].T + trained["head.bias"]
    assert torch.allclose(model.logits(inputs).double(), logits, rtol=1e-4, atol=1e-4)


def test_a_model_without_layers_to_adapt_is_refused():
    body = nn.Sequential(nn.Flatten(), nn.LayerNorm(64))
    backbone = ImageBackbone(body, [["1"]], input_size=8, mean=[0.5], std=[0.5]).eval()
    with pytest.raises(Unsupported, match="this model has none"):
        Adapter().adapt(backbone, a_task(backbone), SETTINGS, a_run(steps=5))
