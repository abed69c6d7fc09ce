"""The built-in backbones keep the contract, block by block."""

import time

import pytest
import timm
import torch
from harness_plugins.backbones.conv4 import Conv4
from harness_plugins.backbones.timm import Timm
from huggingface_hub import close_session

from harness.api import SOURCE_HEAD, HarnessError, Unsupported
from harness.testing import BackboneChecks


class TestConv4(BackboneChecks):
    factory = Conv4
    model = "conv4"
    input_size = 28

    def test_is_the_network_of_the_papers(self):
        backbone = self.build()
        assert backbone.num_features == 64
        assert len(backbone.blocks) == 4
        counted = sum(p.numel() for p in backbone.parameters())
        conv, norm = 64 * 64 * 9 + 64, 2 * 64
        assert counted == (64 * 9 + 64) + 3 * conv + 4 * norm

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"pretrained": True}, "no published weights"),
            ({"args": {"depth": 3}}, "not \\['depth'\\]"),
            ({"input_size": 8}, "8 pixels are too few"),
        ],
    )
    def test_says_what_it_cannot_do(self, options, message):
        given = {"input_size": 28, "pretrained": False, "args": {}, **options}
        with pytest.raises(Unsupported, match=message):
            Conv4().build("conv4", **given)


class TestResNet(BackboneChecks):
    factory = Timm
    model = "test_resnet"
    input_size = 32

    def test_blocks_are_the_stem_and_the_stages(self):
        backbone = self.build()
        assert len(backbone.blocks) == 5
        assert all("layer4" in name for name in backbone.parameters_from(4))


class TestViT(BackboneChecks):
    factory = Timm
    model = "test_vit"
    input_size = 32

    def test_is_built_for_the_size_it_is_given(self):
        assert self.build().preprocess(torch.zeros(1, 3, 9, 9, dtype=torch.uint8)).shape[-1] == 32


class TestConvNeXt(BackboneChecks):
    factory = Timm
    model = "test_convnext"
    input_size = 64


class TestEfficientNet(BackboneChecks):
    factory = Timm
    model = "test_efficientnet"
    input_size = 64


def test_a_colour_model_can_be_built_for_grey_images():
    backbone = Timm().build("test_resnet", input_size=32, pretrained=False, args={"in_chans": 1})
    raw = torch.zeros(2, 3, 20, 20, dtype=torch.uint8)
    assert backbone.preprocess(raw).shape == (2, 1, 32, 32)


def test_an_argument_that_the_model_does_not_take_is_named():
    with pytest.raises(Unsupported, match="test_resnet"):
        Timm().build("test_resnet", input_size=32, pretrained=False, args={"flavour": 3})


def test_weights_that_cannot_be_fetched_are_no_impossibility_and_told_quickly(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    close_session()
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(HarnessError, match=r"test_resnet.* Check the network"):
            Timm().build("test_resnet.r160_in1k", input_size=32, pretrained=True, args={})
    assert time.monotonic() - started < 10


@torch.no_grad()
@pytest.mark.parametrize(
    "model", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_mambaout"]
)
def test_a_linear_classifier_is_kept_beside_the_weights(model):
    """What it tells of features is what timm's whole model tells of the inputs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = Timm().build(model, input_size=64, pretrained=False, args={}).eval()
        torch.manual_seed(0)
        sized = {"img_size": 64} if "vit" in model else {}
        whole = timm.create_model(model, **sized).eval()
        images = torch.randn(2, 3, 64, 64)
    weight, bias = (backbone.extras[name] for name in SOURCE_HEAD)
    assert weight.shape == (1000, backbone.num_features)
    found = backbone.body(images) @ weight.T + bias
    assert torch.allclose(found, whole(images), atol=1e-5)


def test_a_classifier_of_other_classes_than_the_published_ones_is_none():
    built = Timm().build("test_resnet", input_size=32, pretrained=False, args={"num_classes": 7})
    assert built.extras == {}
