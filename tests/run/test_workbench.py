"""Weights: made once, found by what they mean, and refused where they don't fit."""

from pathlib import Path

import pytest
import torch
from harness_plugins.backbones.conv4 import Conv4
from safetensors.torch import save_file

from harness.errors import HarnessError
from harness.plugins import Plugin
from harness.run.workbench import load_weights
from harness.testing import small_backbone


def test_a_source_is_pretrained_once_and_its_cost_is_told_to_all(bench):
    weights = {"source": "glyphs", "args": {"per_class": 8}, "steps": 3, "batch_size": 16}
    backbones = [{"model": "conv4", "weights": weights, "input_size": 16, "args": {"width": 8}}]
    first, second = bench.run("linear_probe", "from_scratch", backbones=backbones)
    (third,) = bench.run("linear_probe", backbones=backbones, folder="again")
    assert first.seconds["pretrain"] == second.seconds["pretrain"] == third.seconds["pretrain"] > 0
    marked = ["pretrain" in record.cached for record in (first, second, third)]
    assert marked == [False, True, True]
    assert third.metrics == first.metrics
    assert len(list((bench.folder / "cache/weights").glob("*.safetensors"))) == 1


def test_random_weights_are_drawn_from_the_seed(bench):
    same = bench.run("linear_probe", seeds=[3]), bench.run("linear_probe", seeds=[3], folder="b")
    (other,) = bench.run("linear_probe", seeds=[4])
    assert same[0][0].metrics == same[1][0].metrics
    assert other.metrics != same[0][0].metrics


def test_what_a_model_learns_from_its_source_is_learned_once_and_given_to_every_build(bench):
    learned, built = [], []

    class Learning(Conv4):
        name = "learning"

        def learn(self, source, args):
            learned.append(len(source))
            return {"width": 8}

        def build(self, model, *, input_size, pretrained, args):
            built.append(dict(args))
            return super().build("conv4", input_size=input_size, pretrained=False, args=args)

    plugin = Plugin("backbone", "learning", Learning, "file", Path(__file__))
    bench.registry.models["learning"] = plugin
    held = {"per_class": 2}
    weights = {"source": "glyphs", "args": held, "steps": 2, "batch_size": 16}
    backbones = [{"model": "learning", "weights": weights, "input_size": 16}]
    for folder in ("one", "two"):
        (record,) = bench.run("from_scratch", backbones=backbones, folder=folder)
        assert record.status == "ok", record.reason
    assert learned == [2 * 62]
    assert len(built) > 2
    assert all(args == {"width": 8} for args in built)


class TestFiles:
    def test_load_bit_for_bit_and_leave_a_classifier_out(self, tmp_path):
        trained, fresh = small_backbone(1), small_backbone(2)
        state = {name: t.contiguous() for name, t in trained.body.state_dict().items()}
        save_file({**state, "classifier.weight": torch.zeros(3, 8)}, tmp_path / "w.safetensors")
        load_weights(fresh, tmp_path / "w.safetensors")
        assert fresh.digest() == trained.digest()

    def test_of_the_model_within_the_body_fit_too(self, tmp_path, bench):
        from harness.plan.suite import BackboneSpec
        from harness.run.workbench import Workbench

        spec = BackboneSpec(model="test_resnet", weights="random", input_size=32)
        workbench = Workbench(bench.registry, torch.device("cpu"), tmp_path)
        one, other = (workbench.build(spec, pretrained=False, seed=seed) for seed in (0, 1))
        save_file(dict(one.body.model.state_dict()), tmp_path / "w.safetensors")
        load_weights(other, tmp_path / "w.safetensors")
        assert other.digest() == one.digest()

    def test_that_do_not_fit_are_refused_with_what_they_lack(self, tmp_path):
        state = dict(small_backbone().body.state_dict())
        del state["1.0.weight"]
        save_file(state, tmp_path / "w.safetensors")
        with pytest.raises(HarnessError, match=r"lacks 1 of .* such as 1\.0\.weight"):
            load_weights(small_backbone(), tmp_path / "w.safetensors")

    def test_that_are_no_safetensors_are_refused(self, tmp_path):
        (tmp_path / "w.safetensors").write_bytes(b"pickle")
        with pytest.raises(HarnessError, match="cannot read weights"):
            load_weights(small_backbone(), tmp_path / "w.safetensors")
