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


def pruned(backbone, fraction, title="small", head=None):
    """By the loss of random labels of its two examples."""
    network = Network(backbone, head or nn.Linear(backbone.num_features, 3)).eval()
    return prune(network, backbone.example, torch.tensor([0, 2]), fraction, title)


@pytest.mark.parametrize(
    ("name", "size"), [("efficientnet_lite0", 32), ("test_resnet", 32), ("test_vit", 32)]
)
def test_the_rest_is_a_model_that_can_be_entered_and_exported(name, size, tmp_path):
    """Of a network with depthwise convolutions, one with shortcuts, one with heads."""
    backbone = built(name, size)
    digest, trainable = backbone.digest(), [p.requires_grad for p in backbone.parameters()]
    smaller = pruned(backbone, 0.3)
    assert 0.2 < smaller.num_parameters / backbone.num_parameters < 0.9
    assert smaller.num_features <= backbone.num_features
    assert all(parameter.grad is None for parameter in backbone.parameters())
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


def test_the_channels_go_that_the_loss_does_not_depend_on():
    """Of eight that leave the last block, the head reads four."""
    backbone = small_backbone()
    head, unread = nn.Linear(8, 3), [1, 2, 5, 7]
    with torch.no_grad():
        for block in range(3):
            backbone.body[block][1].bias.fill_(1)  # so that none is off
        head.weight[:, unread] = 0
    kept = [channel for channel in range(8) if channel not in unread]
    found = pruned(backbone, 4 / 24, head=head).body
    assert torch.equal(found[2][0].bias, backbone.body[2][0].bias[kept])
    assert torch.equal(found[2][1].weight, backbone.body[2][1].weight[kept])
    assert [found[block][0].weight.shape[0] for block in range(3)] == [8, 8, 4]


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
        pruned(built("mixer_s32_224", 64), 0.3, "mixer")
    assert "\n" not in str(told.value)
    assert told.value.remedy.startswith("Leave out --prune and --student")


def test_what_has_no_layers_is_refused():
    body = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    with pytest.raises(HarnessError, match="flat has no channels to prune"):
        pruned(ImageBackbone(body, [["0"]], input_size=8).eval(), 0.3, "flat")


def test_what_answers_without_a_gradient_is_refused():
    class Nearest(nn.Module):
        def forward(self, features):
            return torch.cdist(features.detach(), torch.eye(8)).neg() + 0 * features[:, :1]

    with pytest.raises(HarnessError, match="no gradient by small's weights"):
        pruned(small_backbone(), 0.3, head=Nearest())


def test_what_is_left_of_layers_is_of_widths_that_run_fast():
    smaller = pruned(built("efficientnet_lite0", 32), 0.3)
    widths = {m.out_channels for m in smaller.modules() if isinstance(m, nn.Conv2d)}
    assert [width for width in widths if width % 8] == []
