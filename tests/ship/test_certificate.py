"""An exported model that answers otherwise than the tested one is refused, whatever the reason."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.ship.certificate import agreement, answers

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def made(compared, tmp_path_factory, run_outside):
    """The folder in which a suite was run and its model shipped."""
    folder = tmp_path_factory.mktemp("shipped")
    shutil.copytree(compared, folder, dirs_exist_ok=True)
    run_outside(folder, "ship", "results/shipped", "--to", "out")
    return folder


@pytest.fixture
def bundle(made, tmp_path):
    """A copy of all that; the bundle itself."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


def test_what_passes_says_so(bundle, harness):
    found = json.loads((bundle / "certificate.json").read_text())
    assert found["passes"] is True
    for part in ("training", "sealed_test"):
        assert found[part]["largest_difference"] <= 1e-3
        assert found[part]["same_class"] == 1
    test = found["sealed_test"]
    assert test["accuracy_of_the_file"] == test["accuracy_of_the_model"]
    assert harness("ship", "results/shipped", "--to", "out").complaint.startswith(
        "harness: out is there already"
    )


def test_a_bundle_has_the_files_that_the_docs_name_and_no_other(bundle):
    page = (Path(__file__).parents[2] / "docs/shipping.md").read_text()
    table = page.partition("| file | holds |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall("`(.+?)`", row)}
    assert {file.name for file in bundle.iterdir()} == named


def _edit(change):
    def plant(bundle):
        told = json.loads((bundle / "model.json").read_text())
        change(told)
        (bundle / "model.json").write_text(json.dumps(told))

    return plant


def _filter(told):
    told["input"]["interpolation"] = "bicubic"


def _fit(told):
    told["input"]["fit"] = "squash"


def _channels(bundle):
    file = bundle / "predict.py"
    text = file.read_text()
    changed = text.replace("square.transpose(2, 0, 1)", "square.transpose(2, 0, 1)[::-1]")
    assert changed != text
    file.write_text(changed)


def _weights(name, change):
    """Change the one initialiser of the graph whose name ends so."""

    def plant(bundle):
        from onnx import numpy_helper

        model = onnx.load(bundle / "model.onnx")
        (found,) = (one for one in model.graph.initializer if one.name.endswith(name))
        found.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(found)), found.name))
        onnx.save(model, bundle / "model.onnx")

    return plant


def _mean(bundle):
    """The constant that is subtracted from pixels."""
    from onnx import numpy_helper

    model = onnx.load(bundle / "model.onnx")
    subtract = next(node for node in model.graph.node if node.op_type == "Sub")
    (constant,) = (node for node in model.graph.node if subtract.input[1] in node.output)
    held = constant.attribute[0].t
    wrong = numpy_helper.to_array(held) + np.float32([30, 0, 0]).reshape(3, 1, 1)
    held.CopyFrom(numpy_helper.from_array(wrong, held.name))
    onnx.save(model, bundle / "model.onnx")


FAULTS = {
    "a resize of another filter": _edit(_filter),
    "another fit": _edit(_fit),
    "swapped channels": _channels,
    "a wrong mean": _mean,
    "a bias changed by 1": _weights("head.bias", lambda bias: bias + np.float32([1, 0, 0])),
    "transposed classes": _weights("head.weight", lambda weight: weight[[1, 0, 2]]),
}


def test_planted_faults_are_refused(bundle, tmp_path):
    from harness.data.examples import FileInputs

    files = FileInputs(tuple(sorted((tmp_path / "photos").rglob("*.png"))))
    rows = range(len(files))
    right = answers(bundle, files, rows)
    assert agreement(right, answers(bundle, files, rows)).passes
    good = {file: file.read_bytes() for file in bundle.iterdir()}
    for fault, plant in FAULTS.items():
        plant(bundle)
        assert not agreement(right, answers(bundle, files, rows)).passes, fault
        for file, content in good.items():
            file.write_bytes(content)


def test_a_refused_model_is_not_where_it_was_asked_for(bundle, harness, tmp_path, monkeypatch):
    from harness.model.classifier import Network

    right = Network.forward

    def wrong(self, inputs):
        return right(self, inputs) + torch.tensor([1.0, 0.0, 0.0])

    monkeypatch.setattr(Network, "forward", wrong)
    ended = harness("ship", "results/shipped", "--to", "second")
    assert (ended.status, ended.out.strip()) == (1, "second.refused")
    assert "refused" in ended.err
    assert not (tmp_path / "second").exists()
    found = json.loads((tmp_path / "second.refused" / "certificate.json").read_text())
    assert found["passes"] is False


def test_what_is_not_finite_or_of_another_shape_does_not_pass():
    own = np.zeros((4, 3), np.float32)
    assert not agreement(own, np.full((4, 3), np.nan, np.float32)).passes
    assert not agreement(own, np.zeros((3, 3), np.float32)).passes


def test_the_limits_are_by_hand():
    """Of a range of 10, a difference of 0.01 is a thousandth."""
    own = np.array([[0.0, 10.0], [10.0, 0.0]])
    for much, passes in ((0.0099, True), (0.0101, False)):
        assert agreement(own, own + np.array([[much, 0], [0, 0]])).passes is passes
