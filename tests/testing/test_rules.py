"""The checks themselves: each finds what it is there to find, and says what helps."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from harness_plugins.executors.inline import Inline
from harness_plugins.executors.local import Local

from harness import testing
from harness.api import (
    ArrayInputs,
    BackboneFactory,
    Classifier,
    Data,
    Dataset,
    Executor,
    GradientStrategy,
    ImageBackbone,
    Pretraining,
    Recipe,
    Split,
    Strategy,
    Trick,
)
from harness.registry import Registered
from harness.run import stopping
from harness.testing import ExecutorChecks
from harness.testing.rules import outcomes, rules

KITS = [
    cls for name in testing.__all__ if name.endswith("Checks") for cls in [getattr(testing, name)]
]


@pytest.mark.parametrize("kit", KITS)
def test_every_rule_says_what_helps(kit):
    found = dict(rules(kit))
    assert len(found) >= 3
    assert [rule for rule, check in found.items() if not check.__doc__] == []


class TestInline(ExecutorChecks):
    executor = Inline()


class TestLocal(ExecutorChecks):
    executor = Local()


# ── plugins that break a rule ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Probe(Strategy):
    name: ClassVar[str] = "bad"

    def adapt(self, backbone, task, hp, run):
        return Classifier(Recipe(backbone, (), lr=0.0), task, run)


class Writes(Probe):
    def adapt(self, backbone, task, hp, run):
        with torch.no_grad():
            next(backbone.parameters()).add_(1)
        return super().adapt(backbone, task, hp, run)


class Draws(Probe):
    def adapt(self, backbone, task, hp, run):
        model = super().adapt(backbone, task, hp, run)
        with torch.no_grad():
            model.head.bias.fill_(int.from_bytes(os.urandom(2)))
        return model


class Transductive(Classifier):
    def logits(self, inputs):
        logits = super().logits(inputs) + torch.arange(len(inputs))[:, None]
        return logits - logits.mean(0)


class Together(Probe):
    def adapt(self, backbone, task, hp, run):
        return Transductive(Recipe(backbone, (), lr=0.0), task, run)


class Wide(Probe):
    def adapt(self, backbone, task, hp, run):
        head = torch.nn.Linear(backbone.num_features, task.classes + 1)
        return Classifier(Recipe(backbone, (), lr=0.0, head=head), task, run)


class NoTrick(Trick):
    name: ClassVar[str] = "bad"

    def amend(self, recipe, task, hp, run):
        return recipe


class Restless(Dataset):
    name: ClassVar[str] = "bad"

    def load(self):
        images = torch.frombuffer(bytearray(os.urandom(64)), dtype=torch.uint8)
        return Data(Split(ArrayInputs(images.view(4, 1, 4, 4)), torch.arange(4) % 2), ("a", "b"))


class Unlabelled(Dataset):
    name: ClassVar[str] = "bad"

    def load(self):
        images = torch.zeros(4, 1, 4, 4, dtype=torch.uint8)
        return Data(Split(ArrayInputs(images), torch.arange(4) % 2), ("a", "b", "c"))


class Backwards(BackboneFactory):
    name: ClassVar[str] = "bad"

    def build(self, model, *, input_size, pretrained, args):
        layers = [torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.Linear(8, 8)]
        body = torch.nn.Sequential(*layers)
        return ImageBackbone(body, [["2"], ["1"]], input_size=8, mean=[0.5], std=[0.5])


class Idle(Pretraining):
    name: ClassVar[str] = "bad"

    def pretrain(self, backbone, source, run, *, lr, weight_decay):
        return backbone, {"steps": 0}


class Greedy(Executor):
    name: ClassVar[str] = "bad"

    def run(self, jobs, emit, *, workers):
        for job in [*jobs]:
            job.run(emit, "meta")


class Deaf(Executor):
    name: ClassVar[str] = "bad"

    def run(self, jobs, emit, *, workers):
        for job in [*jobs][:2]:
            job.run(lambda hook, arguments: None, workers[0])


BROKEN = [
    ("strategy", Writes, "adapt leaves the shared backbone as it was", "have changed"),
    ("strategy", Draws, "same seed gives the same answers", "logits differ by up to"),
    ("strategy", Together, "an answer does not depend on the other queries", "alone and together"),
    ("strategy", Wide, "adapts to a whole task", "of 50 inputs and 10 classes are [50, 11]"),
    ("trick", NoTrick, "it changes what is learned", "comes to the same weights"),
    ("dataset", Restless, "loads the same twice", "other content or another order"),
    ("dataset", Unlabelled, "loads examples with labels", "of 2 classes, and it names 3"),
    ("backbone", Backwards, "entering at a block gives the same features", "can't be entered"),
    ("pretraining", Idle, "trains the backbone and keeps its form", "the weights are what they"),
    ("executor", Greedy, "runs every job once on the device of a worker", "ran on {'meta'}"),
    ("executor", Greedy, "takes a job when there is a worker for it", "the third job was taken"),
    ("executor", Greedy, "gives out no job once it was asked to stop", "4 of 4 jobs ran"),
    ("executor", Deaf, "emits events in the process of the command", "they had begun: []"),
]


@pytest.mark.parametrize(("kind", "cls", "rule", "seen"), BROKEN)
def test_what_breaks_a_rule_is_found(registry, monkeypatch, kind, cls, rule, seen):
    plugin = Registered(kind, "bad", cls, "file", Path(__file__))
    monkeypatch.setitem(registry.plugins, (kind, "bad"), plugin)
    found = {outcome.rule: outcome for outcome in outcomes(plugin, {}, registry)}
    assert not found[rule].held
    assert seen in found[rule].seen
    assert found[rule].remedy
    assert found["class is well formed"].held
    assert not stopping.asked()


def test_an_error_that_all_rules_meet_is_told_once(registry, monkeypatch):
    @dataclass(frozen=True)
    class Misspelt(GradientStrategy):
        name: ClassVar[str] = "bad"

        def recipe(self, backbone, task, hp, run):
            return Recipe(backbone, (), lr=hp["learning_rate"])

    plugin = Registered("strategy", "bad", Misspelt, "file", Path(__file__))
    monkeypatch.setitem(registry.plugins, ("strategy", "bad"), plugin)
    broken = [each for each in outcomes(plugin, {}, registry) if not each.held]
    first, *others = broken
    assert first.seen.startswith("KeyError: 'learning_rate'")
    assert first.remedy.startswith(f"Mend {__file__}; or, if this is the only rule")
    assert {each.remedy for each in others if each.seen == first.seen} == {
        "It is the error of an earlier rule"
    }


def test_a_recipe_that_is_none_is_named(registry, monkeypatch):
    @dataclass(frozen=True)
    class Names(GradientStrategy):
        name: ClassVar[str] = "bad"

        def recipe(self, backbone, task, hp, run):
            return ["weight"]

    plugin = Registered("strategy", "bad", Names, "file", Path(__file__))
    monkeypatch.setitem(registry.plugins, ("strategy", "bad"), plugin)
    broken = next(each for each in outcomes(plugin, {}, registry) if not each.held)
    assert broken.seen == "TypeError: recipe() of bad gave a list, not a Recipe"
