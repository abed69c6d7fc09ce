"""An exported graph answers what the model does, for whatever strategy made it."""

import numpy as np
import pytest
import torch

from harness.errors import HarnessError
from harness.model.classifier import Network
from harness.plan.configure import strategy as configure
from harness.predictor import Exportable
from harness.registry import Sources, load_once
from harness.ship.certificate import agreement
from harness.ship.export import export
from harness.suite.schema import StrategySpec
from harness.testing import StrategyChecks, small_backbone

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

WITH_ARGS = {"co_tuning", "lwf"}
"""Want a source that has a head of its own."""


def names():
    known = load_once(Sources())
    classes = {name: known.get("strategy", name).cls for name in known.names("strategy")}
    return sorted(
        name
        for name, cls in classes.items()
        if cls.protocols - {"episodes"} and not cls.needs_source and name not in WITH_ARGS
    )


@pytest.mark.parametrize("name", names())
def test_every_strategys_model(name, registry, tmp_path):
    class Checks(StrategyChecks):
        pass

    if missing := list(registry.get("strategy", name).cls.requires):
        pytest.importorskip(missing[0])
    Checks.strategy = configure(registry, StrategySpec(name=name)).strategy
    logits, backbone, (predictor, queries, _, _) = Checks()._adapt(classes=5, each=8, val=2)
    if not isinstance(predictor, Exportable):
        pytest.fail(f"{type(predictor).__name__} has no network")
    file = tmp_path / "model.onnx"
    export(predictor.network(), backbone.example, file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    inputs = queries.inputs[:].numpy()
    (found,) = session.run(["logits"], {"inputs": inputs})
    assert agreement(logits.numpy(), found).passes
    (one,) = session.run(["logits"], {"inputs": inputs[:1]})
    assert np.allclose(one, found[:1], atol=1e-4 * np.ptp(found))


@pytest.mark.parametrize("name", ["lora", "ia3"])
def test_adapters_are_folded_into_the_weights_of_layers(name, registry, tmp_path):
    """The small backbone has three convolutions, and the exported graph no more."""
    pytest.importorskip("peft")

    class Checks(StrategyChecks):
        strategy = configure(registry, StrategySpec(name=name)).strategy

    logits, backbone, (predictor, queries, _, _) = Checks()._adapt(classes=5, each=8, val=2)
    file = tmp_path / "model.onnx"
    export(predictor.network(), backbone.example, file)
    operations = [node.op_type for node in onnx.load(file).graph.node]
    assert operations.count("Conv") == 3
    assert {"Mul", "Add"}.isdisjoint(operations)
    again = predictor.logits(queries.inputs)
    assert torch.equal(again, logits)  # the model itself keeps its adapters


def test_what_cannot_be_exported_is_one_line(tmp_path):
    backbone = small_backbone()

    class Odd(torch.nn.Module):
        def forward(self, features):
            return torch.linalg.eigvals(features.T @ features).real[None].expand(len(features), -1)

    with pytest.raises(HarnessError, match="can't be exported") as told:
        export(Network(backbone, Odd()), backbone.example, tmp_path / "model.onnx")
    assert "\n" not in str(told.value)
