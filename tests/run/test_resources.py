"""Weights: made once, whatever happens meanwhile, found by what they mean, and refused where
they don't fit."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from harness_plugins.backbones.conv4 import Conv4
from harness_plugins.strategies.linear_probe import LinearProbe
from safetensors.torch import save_file

from harness.api import SOURCE_HEAD, GradientStrategy, Strategy
from harness.contract import overrides
from harness.errors import HarnessError
from harness.model.weights import load_weights
from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.registry import Registered, Sources, load_once
from harness.run.checksummed import read_checksummed, write_checksummed
from harness.run.resources import Resources
from harness.run.resuming import Resuming
from harness.suite.budget import Limits
from harness.suite.read import parse
from harness.testing import small_backbone


def test_a_source_is_pretrained_once_and_its_cost_is_told_to_all(bench):
    weights = {"source": "glyphs", "args": {"per_class": 8}, "steps": 3, "batch_size": 16}
    backbones = [{"model": "conv4", "weights": weights, "input_size": 16, "args": {"width": 8}}]
    first, second = bench.run("linear_probe", "full_finetune", backbones=backbones)
    (third,) = bench.run("linear_probe", backbones=backbones, folder="again")
    assert first.seconds["pretrain"] == second.seconds["pretrain"] == third.seconds["pretrain"] > 0
    marked = ["pretrain" in record.cached for record in (first, second, third)]
    assert marked == [False, True, True]
    assert third.metrics == first.metrics
    assert len(list((bench.folder / "cache/weights").glob("*.safetensors"))) == 1


def test_several_pretrainings_are_made_once_each_and_are_those_of_their_seeds(bench):
    """Seeds 0 and 2 share the first of two, and each is what it is by itself."""
    weights = {"source": "glyphs", "args": {"per_class": 8}, "steps": 3, "batch_size": 16}
    model = {"model": "conv4", "input_size": 16, "args": {"width": 8}}

    def run(**changes):
        folder = {
            "folder": changes.pop("folder", "results"),
            "cache": changes.pop("cache", "cache"),
        }
        seeds = changes.pop("cells", [0, 1, 2])
        backbones = [{**model, "weights": {**weights, **changes}}]
        return bench.run("linear_probe", backbones=backbones, seeds=seeds, **folder)

    records = run(seeds=2)
    assert [record.status for record in records] == ["ok"] * 3
    assert ["pretrain" in record.cached for record in records] == [False, False, True]
    assert len(list((bench.cache / "weights").glob("*.safetensors"))) == 2
    assert [r.provenance["pretraining"] for r in records] == ["1 of 2", "2 of 2", "1 of 2"]
    (alone,) = run(seed=1, cells=[1], folder="alone", cache="other")
    assert alone.cell == records[1].cell
    assert alone.metrics == records[1].metrics
    assert "pretraining" not in alone.provenance
    assert [record.metrics for record in run(seeds=2, folder="again")] == [
        record.metrics for record in records
    ]
    same = run(folder="one")
    assert [one.cell == other.cell for one, other in zip(same, records, strict=True)] == [
        True,
        False,
        True,
    ]


def test_a_strategy_that_uses_no_weights_neither_makes_nor_pays_them(bench):
    source = {"model": "conv4", "weights": {"source": "glyphs"}, "input_size": 16}
    (record,) = bench.run("from_scratch", backbones=[source])
    assert record.status == "ok", record.reason
    assert record.seconds["pretrain"] == 0
    assert record.cached == []
    assert not (bench.cache / "weights").exists()


def test_random_weights_are_drawn_from_the_seed(bench):
    same = bench.run("linear_probe", seeds=[3]), bench.run("linear_probe", seeds=[3], folder="b")
    (other,) = bench.run("linear_probe", seeds=[4])
    assert same[0][0].metrics == same[1][0].metrics
    assert other.metrics != same[0][0].metrics


def test_what_a_model_learns_from_its_source_is_kept_and_given_to_every_build(
    bench,
):
    learned, built = [], []

    class Learning(Conv4):
        name = "learning"

        def learn(self, source, args):
            learned.append(len(source))
            return {"width": 8}

        def build(self, model, *, input_size, pretrained, args):
            built.append(dict(args))
            return super().build("conv4", input_size=input_size, pretrained=False, args=args)

    plugin = Registered("backbone", "learning", Learning, "file", Path(__file__))
    bench.registry.models["learning"] = plugin
    held = {"per_class": 2}
    weights = {"source": "glyphs", "args": held, "steps": 2, "batch_size": 16}
    backbones = [{"model": "learning", "weights": weights, "input_size": 16}]
    for folder in ("one", "two", "three"):
        if folder == "three":
            (file,) = (bench.folder / "cache/learned").glob("*.json")
            file.write_text(file.read_text()[:-1])  # torn: it is learned again
        (record,) = bench.run("from_scratch", backbones=backbones, folder=folder)
        assert record.status == "ok", record.reason
    # To be tried before a run, it learns from fewer.
    assert [size for size in learned if size == 2 * 62] == [2 * 62, 2 * 62]
    assert len(built) > 2
    assert all(args == {"width": 8} for args in built)


def test_extras_of_prepare_are_kept_with_the_weights(bench):
    seen = []

    @dataclass(frozen=True)
    class Remembering(LinearProbe):
        name: ClassVar[str] = "remembering"

        def prepare(self, backbone, source, hp, run):
            backbone.extras["fisher"] = torch.arange(3.0)
            return backbone

        def adapt(self, backbone, task, hp, run):
            seen.append({name: tensor.tolist() for name, tensor in backbone.extras.items()})
            return super().adapt(backbone, task, hp, run)

    bench.add(Remembering)
    for folder in ("one", "two"):
        (record,) = bench.run("remembering", folder=folder)
        assert record.status == "ok", record.reason
    assert "prepare" in record.cached  # from the file that the first run wrote
    assert seen
    assert all(each == {"fisher": [0.0, 1.0, 2.0]} for each in seen)


def test_the_classifier_of_published_weights_comes_with_them_and_no_random_one(bench):
    seen = []

    class Headed(Conv4):
        name = "headed"

        def build(self, model, *, input_size, pretrained, args):
            built = super().build("conv4", input_size=input_size, pretrained=False, args=args)
            head = torch.ones(7, 64), torch.arange(7.0)
            built.extras = dict(zip(SOURCE_HEAD, head, strict=True))
            return built

    @dataclass(frozen=True)
    class Looking(LinearProbe):
        name: ClassVar[str] = "looking"

        def adapt(self, backbone, task, hp, run):
            fresh = run.fresh(backbone).extras
            seen.append(({n: t.shape[0] for n, t in backbone.extras.items()}, fresh))
            return super().adapt(backbone, task, hp, run)

    @dataclass(frozen=True)
    class Preparing(Looking):
        name: ClassVar[str] = "preparing"

        def prepare(self, backbone, source, hp, run):
            return backbone

    plugin = Registered("backbone", "headed", Headed, "file", Path(__file__))
    bench.registry.models["headed"] = plugin
    both = [bench.add(Looking), bench.add(Preparing)]
    model = {"model": "headed", "input_size": 16}
    for weights, found in (("hub", dict.fromkeys(SOURCE_HEAD, 7)), ("random", {})):
        records = bench.run(*both, backbones=[{**model, "weights": weights}], folder=weights)
        assert [record.status for record in records] == ["ok", "ok"]
        assert all(each == (found, {}) for each in seen)
        seen.clear()
    records = bench.run("lwf", "co_tuning", backbones=[{**model, "weights": "hub"}], folder="both")
    assert [record.status for record in records] == ["ok", "ok"], records[0].reason


class TestOverrides:
    def test_a_class_that_has_its_own_does(self):
        assert overrides(LinearProbe, "adapt_batch")
        assert overrides(Conv4, "build")
        assert not overrides(Conv4, "learn")

    def test_whoever_takes_the_first_again_does_not(self):
        class Plain(LinearProbe):
            adapt_batch = Strategy.adapt_batch

        class Another(LinearProbe):  # what it adapts in another way is not adapted at once
            def adapt(self, backbone, task, hp, run):
                raise NotImplementedError

        assert not overrides(Plain, "adapt_batch")
        assert not overrides(Another, "adapt_batch")

    def test_what_counts_is_which_function_it_is_and_not_where_it_is_written(self):
        class Borrowed(Strategy):
            prepare = GradientStrategy.adapt

        assert overrides(Borrowed, "prepare")


STEPS = 12

PRETRAINED = {
    "name": "pretrained",
    "seeds": [0],
    "strategies": ["linear_probe"],
    "budget": {"trials": 1, "steps": 1, "batch_size": 16},
    "problems": [{"dataset": "digits", "shots": [2]}],
    "backbones": [
        {
            "model": "conv4",
            "input_size": 16,
            "args": {"width": 8},
            "weights": {
                "source": "glyphs",
                "args": {"per_class": 4},
                "steps": STEPS,
                "batch_size": 16,
            },
        }
    ],
}


def made_in(cache, **limits):
    """The weights of a suite's only backbone, made or found in a cache."""
    registry = load_once(Sources())
    (cell,) = plan(parse(PRETRAINED, "test"), registry, Datasets(registry), "test").cells
    resources = Resources(registry, torch.device("cpu"), cache, Limits(**limits))
    return resources.backbone(cell, lambda stage, done, total: None)


KILLED = """
import importlib.util, sys, time
from pathlib import Path
from harness.run.checkpoint import Checkpoint

found = importlib.util.spec_from_file_location("weights", sys.argv[1])
weights = importlib.util.module_from_spec(found)
found.loader.exec_module(weights)
save = Checkpoint.save

def save_and_wait(self, tensors, notes):
    save(self, tensors, notes)
    if notes["step"] == 7:
        print("ready", flush=True)
        time.sleep(600)

Checkpoint.save = save_and_wait
weights.made_in(Path(sys.argv[2]), checkpoint=1e-9)
"""


class TestArtefacts:
    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, tmp_path_factory):
        """A cache with weights that were made without an interruption, and their digest."""
        cache = tmp_path_factory.mktemp("whole")
        return cache, made_in(cache).backbone.digest()

    @pytest.fixture
    def damaged(self, whole, tmp_path):
        """Puts other bytes in the place of the weights; the cache that then has them."""
        cache, digest = whole
        (good,) = (cache / "weights").glob("*.safetensors")
        bad = tmp_path / "weights" / good.name
        bad.parent.mkdir()

        def damage(change):
            change(good, bad)
            made = made_in(tmp_path)
            assert not made.cached
            assert made.backbone.digest() == digest
            assert made_in(tmp_path).cached
            return read_checksummed(bad)[1]

        return damage

    def test_a_process_that_was_killed_is_gone_on_with(self, whole, tmp_path, monkeypatch):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, __file__, str(tmp_path)], stdout=subprocess.PIPE
        )
        with child:
            assert child.stdout.readline() == b"ready\n"
            os.kill(child.pid, signal.SIGKILL)
        assert len(list((tmp_path / "weights").glob("*.checkpoint"))) == 1
        assert list((tmp_path / "weights").glob("*.safetensors")) == []

        done, resume = [], Resuming.resume

        def noting(self, training):
            step, curve = resume(self, training)
            done.append(step)
            return step, curve

        monkeypatch.setattr(Resuming, "resume", noting)
        made = made_in(tmp_path)
        assert done == [7]
        assert not made.cached
        assert made.backbone.digest() == whole[1]
        assert made_in(tmp_path).seconds == made.seconds
        assert list((tmp_path / "weights").glob("*.checkpoint")) == []

    def test_that_are_torn_are_made_again(self, damaged):
        told = damaged(lambda good, bad: bad.write_bytes(good.read_bytes()[:-100]))
        assert "can't be read" in told["remade"]

    def test_with_a_bit_turned_are_made_again(self, damaged):
        def turn(good, bad):
            content = bytearray(good.read_bytes())
            content[-50] ^= 4
            bad.write_bytes(content)

        assert "is not what was written" in damaged(turn)["remade"]

    @pytest.mark.parametrize("change", ["shape", "dtype", "name"])
    def test_of_another_model_are_made_again(self, damaged, change):
        def exchange(good, bad):
            tensors, notes = read_checksummed(good)
            name = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
            tensor = tensors.pop(name)
            if change == "name":
                tensors[f"{name}s"] = tensor
            else:
                tensors[name] = tensor[:1] if change == "shape" else tensor.double()
            write_checksummed(bad, tensors, notes)

        assert "is of another model" in damaged(exchange)["remade"]

    def test_tell_what_they_are_and_what_they_cost(self, whole):
        (file,) = (whole[0] / "weights").glob("*.safetensors")
        _, told = read_checksummed(file)
        assert told["seconds"] > 0
        assert 0 <= told["scores"]["accuracy"] <= 1
        assert told["meaning"]["weights"]["steps"] == STEPS
        assert "remade" not in told


def contiguous(state):
    """What a file takes."""
    return {name: tensor.contiguous() for name, tensor in state.items()}


class TestFiles:
    def test_load_bit_for_bit_and_leave_a_classifier_out(self, tmp_path):
        trained, fresh = small_backbone(1), small_backbone(2)
        state = {name: t.contiguous() for name, t in trained.body.state_dict().items()}
        save_file({**state, "classifier.weight": torch.zeros(3, 8)}, tmp_path / "w.safetensors")
        load_weights(fresh, tmp_path / "w.safetensors")
        assert fresh.digest() == trained.digest()

    def test_of_the_model_within_the_body_fit_too(self, tmp_path, bench):
        from harness.run.resources import Resources
        from harness.suite.backbones import BackboneSpec

        spec = BackboneSpec(model="test_resnet", weights="random", input_size=32)
        resources = Resources(bench.registry, torch.device("cpu"), tmp_path)
        one, other = (resources.build(spec, pretrained=False, seed=seed) for seed in (0, 1))
        save_file(contiguous(one.body.model.state_dict()), tmp_path / "w.safetensors")
        load_weights(other, tmp_path / "w.safetensors")
        assert other.digest() == one.digest()

    def test_that_do_not_fit_are_refused_with_what_they_lack(self, tmp_path):
        state = contiguous(small_backbone().body.state_dict())
        del state["1.0.weight"]
        save_file(state, tmp_path / "w.safetensors")
        with pytest.raises(HarnessError, match=r"lacks 1 of .* such as 1\.0\.weight"):
            load_weights(small_backbone(), tmp_path / "w.safetensors")

    def test_that_are_no_safetensors_are_refused(self, tmp_path):
        (tmp_path / "w.safetensors").write_bytes(b"pickle")
        with pytest.raises(HarnessError, match="cannot read weights"):
            load_weights(small_backbone(), tmp_path / "w.safetensors")
