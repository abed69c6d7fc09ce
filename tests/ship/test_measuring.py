"""What a graph costs: bytes, seconds, and the memory of the process that runs it."""

import numpy as np
import pytest
import torch
from torch import nn

from harness.errors import HarnessError
from harness.model.classifier import Network
from harness.ship.export import export
from harness.ship.measuring import costs, latency, memory
from harness.testing import digits, small_backbone

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

MB = 10**6


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small network's graph, and inputs of it."""
    backbone = small_backbone()
    network = Network(backbone, nn.Linear(backbone.num_features, 10))
    file = tmp_path_factory.mktemp("graph") / "model.onnx"
    export(network, backbone.example, file)
    return file, digits(backbone).inputs[:40].numpy()


class Wide(nn.Module):
    """Of 40 MB of weights, and of 4 MB of activations for each input."""

    def __init__(self):
        super().__init__()
        self.narrow, self.wide = nn.Linear(4, 10), nn.Linear(10, 1_000_000, bias=False)

    def forward(self, inputs):
        return self.wide(self.narrow(inputs)).relu()[:, :3]


def test_a_graph_is_measured_for_one_input_and_for_many(small):
    found = costs(*small)
    assert found.bytes == small[0].stat().st_size
    assert 0 < found.seconds["1"] < found.seconds["32"] < 32 * found.seconds["1"] + 1
    assert latency(small[0], small[1][:1]) > 0
    assert 0 < found.memory["1"] < found.memory["32"] + MB < 30 * MB


def test_memory_counts_weights_and_activations_and_not_the_process_that_asks(tmp_path):
    held = np.ones(300 * MB, np.uint8)  # as a training has it, and a child would begin with it
    file = tmp_path / "model.onnx"
    export(Wide(), torch.zeros(2, 4), file)
    one, many = (memory(file, np.ones((count, 4), np.float32)) for count in (1, 32))
    assert 40 * MB < one < 200 * MB
    assert 40 * MB + 32 * 4 * MB < many < 400 * MB
    assert held.nbytes == 300 * MB


def test_a_graph_that_cannot_be_run_is_one_line(tmp_path):
    (tmp_path / "model.onnx").write_text("no graph")
    with pytest.raises(HarnessError, match=r"model\.onnx can't be run"):
        memory(tmp_path / "model.onnx", np.zeros((1, 4), np.float32))
