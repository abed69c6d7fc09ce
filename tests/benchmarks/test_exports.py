"""Exported graphs against the models that they were made of: what they answer, and how fast."""

import pytest
import torch

from harness.model.classifier import Network
from harness.registry import Sources, load_once
from harness.ship.certificate import agreement
from harness.ship.export import export
from harness.ship.measuring import latency, run

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

MODELS = {
    "efficientnet_lite0": 96,
    "resnet18": 64,
    "convnext_atto": 64,
    "mobilenetv3_small_050": 64,
    "regnetx_002": 64,
    "densenet121": 64,
    "ghostnet_050": 64,
    "mobilevit_xxs": 64,
    "vit_tiny_patch16_224": 224,
    "levit_128s": 224,
    "mixer_s32_224": 224,
    "swin_tiny_patch4_window7_224": 224,
}
"""Of twelve families, each with the side of its images in pixels."""


@pytest.mark.parametrize("name", MODELS)
def test_an_export_against_its_model(name, compare, tmp_path, benchmark):
    if not benchmark.enabled and name != "resnet18":
        pytest.skip("more of the same: --benchmark-enable")
    factory = load_once(Sources()).backbone_for(name).cls()
    torch.manual_seed(0)
    backbone = factory.build(name, input_size=MODELS[name], pretrained=False, args={}).eval()
    network = Network(backbone, torch.nn.Linear(backbone.num_features, 10)).eval()
    generator = torch.Generator().manual_seed(0)
    shape = (32, *backbone.example.shape[1:])
    inputs = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    file = tmp_path / "model.onnx"
    export(network, backbone.example, file)
    with torch.no_grad():
        own = network(inputs).numpy()
    found = agreement(own, run(file, inputs.numpy()))
    assert found.passes
    one, many = latency(file, inputs[:1].numpy()), latency(file, inputs.numpy())
    with torch.no_grad():
        ratio = compare(lambda: network(inputs), lambda: run(file, inputs.numpy()), rounds=3)
    print(
        f"\n{name} ({MODELS[name]} px): largest difference {found.largest:.1e} of the range,"
        f" {file.stat().st_size / 1e6:.1f} MB, {1000 * one:.1f} ms for one,"
        f" {1000 * many:.0f} ms for 32; torch / onnxruntime {ratio:.2f}×"
    )
