"""How images become square: in all protocols, for a source too, and never from another's cache."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from harness.api import Backbone
from harness.data import resident
from harness.errors import Unsupported
from harness.run.inputs import preparation


@pytest.fixture(params=["resident", "streamed"])
def held(request, monkeypatch):
    if request.param == "streamed":
        monkeypatch.setattr(resident, "SHARE_OF_MEMORY", 0)
    return request.param


@pytest.fixture
def ends(tmp_path):
    """Wide images of two classes that differ in their ends alone."""
    for label in (0, 1):
        folder = tmp_path / f"ends/{label}"
        folder.mkdir(parents=True)
        for number in range(24):
            pixels = np.full((16, 48), 100, np.uint8)
            pixels[:, :12] = pixels[:, -12:] = 255 * label
            pixels[7, 20 + number % 8] = number
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "ends/0/notes.txt").write_text("no image")
    return {"dataset": "folder", "args": {"root": str(tmp_path / "ends")}}


def test_what_a_crop_leaves_out_is_seen_with_another_fit(bench, ends, held):
    budget = {"trials": 1, "steps": 40, "batch_size": 16}
    accuracy = {}
    for fit in ("crop", "pad", "squash"):  # in one cache
        problem = {**ends, "shots": 8, "fit": fit}
        (record,) = bench.run("linear_probe", problems=[problem], budget=budget, folder=fit)
        assert record.status == "ok", record.reason
        accuracy[fit] = record.metrics["accuracy"]
        cropped = [note for note in record.notes if "lose more than a fifth" in note]
        assert bool(cropped) == (fit == "crop")
        assert "1 of 49 files are no images and were passed over: 1 .txt" in record.notes
    assert accuracy["pad"] == accuracy["squash"] == 1
    assert accuracy["crop"] < 0.9


@pytest.mark.parametrize("protocol", ["adaptation", "episodes"])
def test_every_protocol_and_source_is_fitted(bench, ends, tmp_path, protocol):
    if protocol == "episodes":
        source = {**ends}
        problem = {
            **{"dataset": "digits", "protocol": "episodes", "source": source, "fit": "pad"},
            **{"ways": 2, "shots": 1, "queries": 2, "episodes": 2, "val_episodes": 1},
        }
        strategy = {"name": "protonet", "args": {"ways": 2}}
    else:
        other = tmp_path / "other"
        for label in ("0", "1"):
            (other / label).mkdir(parents=True)
            for number in range(10):
                shade = 20 * number + int(label)
                Image.new("L", (16, 30), shade).save(other / label / f"{number}.png")
        source = {"dataset": "folder", "args": {"root": str(other)}}
        problem = {**ends, "protocol": "adaptation", "source": source, "fit": "pad"}
        strategy = "source_only"
    (record,) = bench.run(strategy, problems=[problem])
    assert record.status == "ok", record.reason
    assert not any("a fifth" in note for note in record.notes)


def test_a_backbone_that_is_no_image_backbone_is_refused():
    backbone = Backbone(nn.Linear(4, 2), [[""]], torch.zeros(2, 4))
    with pytest.raises(Unsupported, match="fit = 'pad' is for backbones that are ImageBackbones"):
        preparation(backbone, "pad")
