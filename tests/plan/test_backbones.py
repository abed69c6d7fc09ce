"""Each model is tried once before a suite runs, and what that shows is refused."""

import json

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import Mistakes
from harness.plan import backbones
from harness.suite.backbones import BackboneSpec


@pytest.fixture
def refused(planned, table):
    """The one line that refuses a suite with a backbone."""

    def refuse(backbone):
        table["backbones"] = [{"weights": "random", **backbone}]
        with pytest.raises(Mistakes) as caught:
            planned(table)
        (line,) = caught.value.lines
        return line

    return refuse


@pytest.fixture
def state(toys):
    """The weights of a ``conv4``, by name."""
    build = toys.backbone_for("conv4").cls().build
    body = build("conv4", input_size=16, pretrained=False, args={}).body
    return {name: tensor.contiguous() for name, tensor in body.state_dict().items()}


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ({"model": "test_vit", "input_size": 8}, "test_vit cannot be run: "),
        ({"model": "test_resnet", "args": {"features_only": True}}, "test_resnet cannot be built"),
        ({"model": "test_resnet", "args": {"no_such": 1}}, "timm cannot build test_resnet with"),
        ({"model": "conv4", "input_size": 8}, "conv4 halves its input four times: 8 pixels are"),
    ],
)
def test_a_model_that_cannot_be_built_or_run_is_refused(refused, backbone, said):
    line = refused(backbone)
    assert line.startswith(f"backbone '{backbone['model']}': {said}")
    assert line.endswith(". Check its model, input_size and args")


def test_a_mistake_of_one_backbone_is_told_once_for_all_problems(refused, table):
    table["problems"] = [{"dataset": "toy", "label": str(n), "shots": 1} for n in range(3)]
    assert "8 pixels are too few" in refused({"model": "conv4", "input_size": 8})


def test_bert_without_a_source_has_no_vocabulary(planned, table):
    pytest.importorskip("transformers")
    table["problems"] = [{"dataset": "toy texts", "shots": 1}]
    table["backbones"] = [{"model": "bert", "weights": "random"}]
    with pytest.raises(Mistakes) as caught:
        planned(table)
    (line,) = caught.value.lines
    assert line.startswith("backbone 'bert': bert takes its vocabulary from the texts of a source")


def test_bert_is_tried_with_a_few_texts_of_its_source(toys, toy_data):
    pytest.importorskip("transformers")
    weights = {"source": "toy texts", "method": "mlm"}
    args = {"width": 8, "heads": 2, "depth": 1}
    spec = BackboneSpec.model_validate({"model": "bert", "weights": weights, "args": args})
    assert not [*backbones.mistakes(spec, toys, toy_data)]
    spec = BackboneSpec.model_validate(
        {"model": "bert", "weights": weights, "args": {**args, "heads": 3}}
    )
    (line,) = backbones.mistakes(spec, toys, toy_data)
    assert "width is not a multiple of heads: 8 and 3" in line


@pytest.mark.parametrize(("weights", "lines"), [("random", 1), ("hub", 0)])
def test_features_that_are_not_finite_are_refused_where_a_cell_starts_from_them(
    toys, toy_data, weights, lines
):
    spec = BackboneSpec.model_validate(
        {"model": "overflowing", "weights": weights, "args": {"scale": 1e38}}
    )
    told = [*backbones.mistakes(spec, toys, toy_data)]
    assert len(told) == lines
    assert all("features of noise are not finite" in line for line in told)


class TestFiles:
    def test_that_fit_are_planned(self, planned, table, state, tmp_path):
        save_file(state, tmp_path / "w.safetensors")
        table["backbones"][0]["weights"] = {"file": str(tmp_path / "w.safetensors")}
        assert planned(table)

    def test_of_another_model_are_refused_with_the_first_tensor_that_differs(
        self, refused, state, tmp_path
    ):
        file = tmp_path / "w.safetensors"
        save_file(state, file)
        weights = {"file": str(file)}
        assert refused(
            {"model": "conv4", "input_size": 16, "args": {"width": 32}, "weights": weights}
        ) == (
            f"backbone 'conv4': {file} does not fit the model: it lacks 24 of 24 tensors, such as "
            "0.0.weight [32, 1, 3, 3] (it has [64, 1, 3, 3]). Check the model's name and arguments"
        )

    def test_cut_short_are_refused(self, refused, state, tmp_path):
        file = tmp_path / "w.safetensors"
        save_file(state, file)
        file.write_bytes(file.read_bytes()[:-1])
        line = refused({"model": "conv4", "weights": {"file": str(file)}})
        assert line.startswith(f"backbone 'conv4': cannot read weights from {file}: ")
        assert line.endswith(". Give a safetensors file")

    @pytest.mark.parametrize("end", ["pt", "pth"])
    def test_of_torch_are_refused_with_what_makes_them_readable(
        self, refused, state, tmp_path, end
    ):
        file = tmp_path / f"w.{end}"
        torch.save(state, file)
        line = refused({"model": "conv4", "weights": {"file": str(file)}})
        assert line.endswith(
            ". Give a safetensors file, such as safetensors.torch.save_file(state, …) writes of "
            f"state = torch.load('w.{end}', weights_only=True)"
        )

    def test_are_not_read_beyond_their_header(self, planned, table, state, tmp_path):
        file = tmp_path / "w.safetensors"
        save_file(state, file)
        content = bytearray(file.read_bytes())
        length = int.from_bytes(content[:8], "little")
        assert json.loads(content[8 : 8 + length])
        content[8 + length :] = b"\xff" * (len(content) - 8 - length)  # all values NaN
        file.write_bytes(content)
        table["backbones"][0]["weights"] = {"file": str(file)}
        assert planned(table)


def test_a_model_is_built_once_however_many_backbones_and_problems(
    planned, table, toys, monkeypatch
):
    factory = toys.backbone_for("conv4").cls
    build, built = factory.build, []

    def counted(self, *args, **options):
        built.append(options["args"])
        return build(self, *args, **options)

    monkeypatch.setattr(factory, "build", counted)
    backbone = {"model": "conv4", "weights": "random", "input_size": 17, "args": {"width": 3}}
    table["backbones"] = [backbone, {**backbone, "label": "wider", "args": {"width": 5}}]
    table["problems"] = [
        {"dataset": "toy", "label": str(n), "args": {"seed": n}, "shots": 1} for n in range(3)
    ]
    planned(table)
    planned(table)
    assert [args["width"] for args in built] == [3, 5]
