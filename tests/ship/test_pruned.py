"""Fewer channels: which of them go, and that the rest is a model that can be used on."""

import numpy as np
import pytest
import torch
from torch import nn

from harness.errors import HarnessError
from harness.model.classifier import Network
from harness.model.image import ImageBackbone
from harness.registry import Sources, load_once
from harness.ship.export import export
from harness.ship.measuring import run
from harness.ship.pruned import prune, take_statistics
from harness.testing import small_backbone

pytest.importorskip("torch_pruning")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def built(name, size):
    factory = load_once(Sources()).backbone_for(name).cls()
    torch.manual_seed(0)
    return factory.build(name, input_size=size, pretrained=False, args={}).eval()


@pytest.mark.parametrize(
    ("name", "size"), [("efficientnet_lite0", 32), ("test_resnet", 32), ("test_vit", 32)]
)
def test_the_rest_is_a_model_that_can_be_entered_and_exported(name, size, tmp_path):
    """Of a network with depthwise convolutions, one with shortcuts, one with heads."""
    backbone = built(name, size)
    digest, trainable = backbone.digest(), [p.requires_grad for p in backbone.parameters()]
    smaller = prune(backbone, 0.3, name)
    assert 0.3 < smaller.num_parameters / backbone.num_parameters < 0.75
    assert smaller.num_features == pytest.approx(0.7 * backbone.num_features, abs=1)
    assert (backbone.digest(), [p.requires_grad for p in backbone.parameters()]) == (
        digest,
        trainable,
    )
    entered = [block for block in range(len(backbone.blocks)) if backbone.can_enter(block)]
    assert [block for block in entered if not smaller.can_enter(block)] == []
    file = tmp_path / "model.onnx"
    network = Network(smaller, nn.Linear(smaller.num_features, 3)).eval()
    export(network, backbone.example, file)
    with torch.no_grad():
        own = network(backbone.example).numpy()
    assert np.allclose(run(file, backbone.example.numpy()), own, atol=1e-4 * np.ptp(own))


def test_the_smallest_weights_go():
    """Of eight channels that leave the last block, those four that were made small."""
    backbone = small_backbone()
    small = [1, 2, 5, 7]
    with torch.no_grad():
        for parameter in backbone.body[2].parameters():
            parameter[small] *= 1e-3
    kept = [channel for channel in range(8) if channel not in small]
    found = prune(backbone, 0.5, "small").body[2]
    assert torch.equal(found[0].bias, backbone.body[2][0].bias[kept])
    assert torch.equal(found[1].weight, backbone.body[2][1].weight[kept])
    assert found[0].weight.shape == (4, 4, 3, 3)


def test_statistics_are_those_of_the_inputs_that_are_shown():
    backbone = small_backbone()
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (128, 1, 16, 16), dtype=torch.uint8, generator=draw)
    with torch.no_grad():
        entering = backbone.body[0][0](backbone.normalise(inputs)).double()
    take_statistics(backbone, inputs)
    norm = backbone.body[0][1]
    assert torch.allclose(norm.running_mean.double(), entering.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var.double(), entering.var((0, 2, 3)), rtol=1e-2)
    assert not any(module.training for module in backbone.modules())
    assert norm.momentum == nn.BatchNorm2d(1).momentum


def test_what_has_a_width_of_its_own_is_refused_in_one_line():
    """A mixer's layers over patches, whose number the images say."""
    with pytest.raises(HarnessError, match="the channels of mixer can't be pruned: ") as told:
        prune(built("mixer_s32_224", 64), 0.3, "mixer")
    assert "\n" not in str(told.value)
    assert told.value.remedy.startswith("Leave out --prune and --student")


def test_what_has_no_layers_is_refused():
    body = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    with pytest.raises(HarnessError, match="flat has no channels to prune"):
        prune(ImageBackbone(body, [["0"]], input_size=8).eval(), 0.3, "flat")
