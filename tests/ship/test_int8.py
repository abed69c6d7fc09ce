"""What is quantised of a graph, and what is not."""

import numpy as np
import pytest

from harness.ship.compression import int8

pytest.importorskip("onnxruntime")


@pytest.fixture
def graph(tmp_path):
    """Three convolutions, the second of which is depthwise, a sum and a matrix product."""
    from onnx import TensorProto, helper, numpy_helper, save

    draw = np.random.default_rng(0)
    shapes = {"a": (8, 3, 3, 3), "b": (8, 1, 3, 3), "c": (16, 8, 1, 1), "d": (16, 4)}
    weights = {n: draw.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    nodes = [
        helper.make_node("Cast", ["inputs"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "a"], ["1"], name="first"),
        helper.make_node("Conv", ["1", "b"], ["2"], name="depthwise", group=8),
        helper.make_node("Conv", ["2", "c"], ["3"], name="pointwise"),
        helper.make_node("Add", ["3", "3"], ["4"], name="sum"),
        helper.make_node("ReduceMean", ["4"], ["5"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["5", "d"], ["logits"], name="product"),
    ]
    made = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("inputs", TensorProto.UINT8, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_what_has_few_weights_of_wide_ranges_and_what_has_none_keep_their_precision(graph):
    import onnx
    import onnxruntime

    inputs = np.random.default_rng(1).integers(0, 256, (64, 3, 8, 8), dtype=np.uint8)
    smaller = graph.with_name("model.int8.onnx")
    int8(graph, smaller, inputs)
    nodes = onnx.load(smaller).graph.node
    whole = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    quantised = {node.name for node in nodes if whole.intersection(node.input)}
    assert {"pointwise", "product"} <= quantised
    assert not quantised & {"first", "depthwise"}
    rounded = {name for node in nodes if node.op_type == "QuantizeLinear" for name in node.input}
    assert "4" not in rounded  # what the sum gives
    before, after = (
        onnxruntime.InferenceSession(file).run(None, {"inputs": inputs})[0]
        for file in (graph, smaller)
    )
    assert np.abs(after - before).max() < 0.05 * np.ptp(before)
