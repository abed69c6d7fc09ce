"""Whether batch norm is frozen: by the suite, or by where the weights come from."""

import pytest
from safetensors.torch import save_file

SMALL = {"model": "conv4", "input_size": 16, "args": {"width": 8}}


@pytest.fixture
def weights(tmp_path, toys, toy_data):
    """A file of weights of the small model."""
    backbone = (
        toys.backbone_for("conv4")
        .cls()
        .build("conv4", input_size=16, pretrained=False, args={"width": 8})
    )
    tensors = {name: tensor.contiguous() for name, tensor in backbone.body.state_dict().items()}
    save_file(tensors, tmp_path / "conv4.safetensors")
    return {"file": str(tmp_path / "conv4.safetensors")}


@pytest.fixture
def modes(planned, table):
    """The cells of a suite with one backbone, by strategy."""

    def modes(strategies=("full_finetune",), problem=None, **backbone):
        table["backbones"] = [{**SMALL, **backbone}]
        table["strategies"] = [*strategies]
        table["problems"] = [problem or {"dataset": "digits", "shots": [2]}]
        return {cell.label: cell for cell in planned(table)}

    return modes


def test_published_weights_keep_their_statistics_under_transfer(modes, weights):
    frozen = modes(weights=weights)["full_finetune"]
    assert frozen.batch_norm == frozen.meaning["batch_norm"] == "frozen"
    assert frozen.config()["batch_norm"] == "frozen"
    asked = modes(weights=weights, batch_norm="train")["full_finetune"]
    assert asked.batch_norm == "train"
    assert "batch_norm" not in asked.meaning  # as before there was a choice
    assert asked.cell != frozen.cell


def test_weights_that_were_trained_here_and_other_protocols_train_theirs(modes, weights):
    source = {"source": "glyphs", "args": {"per_class": 8}}
    assert modes(weights=source)["full_finetune"].batch_norm == "train"
    assert modes(weights=source, batch_norm="frozen")["full_finetune"].batch_norm == "frozen"
    adaptation = {
        "dataset": "toy",
        "protocol": "adaptation",
        "source": {"dataset": "toy", "args": {"seed": 1}},
    }
    cells = modes(("source_only",), adaptation, weights=weights)
    assert cells["source_only"].batch_norm == "train"


def test_random_weights_have_no_statistics_to_keep(modes, weights):
    cells = modes(("from_scratch", "full_finetune"), weights=weights)
    assert cells["from_scratch"].batch_norm == "train"
    assert modes(weights="random", batch_norm="frozen")["full_finetune"].batch_norm == "train"


def test_a_method_may_leave_no_choice(modes, weights):
    given = {"strategies": ["bn_tune"], "weights": weights}
    assert modes(**given)["bn_tune"].batch_norm == "train"
    assert modes(**given, batch_norm="frozen")["bn_tune"].batch_norm == "train"


def test_rates_follow(modes, weights):
    """And a model without batch norm has the rates of published weights as well."""
    given = {"weights": weights}
    lower, as_before = modes(**given), modes(**given, batch_norm="train")
    assert lower["full_finetune"].meaning["strategy"]["defaults"]["lr"] == 2e-4
    assert as_before["full_finetune"].meaning["strategy"]["defaults"]["lr"] == 1e-3
    fixed = modes([{"name": "full_finetune", "args": {"lr": 3e-3}}], **given)
    assert fixed["full_finetune"].meaning["strategy"]["defaults"]["lr"] == 3e-3
