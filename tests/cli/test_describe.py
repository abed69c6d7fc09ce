"""``harness describe``: what a plugin is, and what it can be given."""

import json

import pytest


def test_a_strategy_is_described_with_its_settings(harness):
    ended = harness("describe", "maml")
    assert ended.status == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("maml (strategy, built-in: ")
    assert (
        lines[2]
        == "Meta-train on episodes of the source classes, then adapt by plain gradient steps."
    )
    for line in (
        "  ways: int = 5",
        "  first_order: bool = False",
        "  inner_lr: FloatDistribution(high=1.0, log=True, low=0.01, step=None), default 0.4",
        "Settings of prepare (tuned unless args fix them):",
        "Settings of adapt (tuned unless args fix them):",
        "Citation: Finn et al. 2017, Model-Agnostic Meta-Learning",
    ):
        assert line in lines


def test_a_dataset_is_described_with_its_arguments(harness):
    ended = harness("describe", "folder", "--format", "json")
    (facts,) = json.loads(ended.out)
    assert (facts["kind"], facts["name"]) == ("dataset", "folder")
    assert facts["arguments"]["root"] == {"type": "Path | str", "default": "required"}
    assert facts["arguments"]["held_out"]["default"] == "()"
    assert "root/<class>/<image>" in facts["about"]


@pytest.mark.parametrize("name", ["from_scratch", "digits", "conv4", "timm", "local"])
def test_every_kind_of_plugin_can_be_described(harness, name):
    ended = harness("describe", name)
    assert ended.status == 0
    assert ended.out.startswith(f"{name} (")


def test_the_settings_are_those_of_the_class(harness, registry):
    for plugin in registry.plugins.values():
        if plugin.kind == "strategy":
            (facts,) = json.loads(harness("describe", plugin.name, "--format", "json").out)
            told = {**facts["prepare_space"], **facts["space"]}
            assert {name: one["default"] for name, one in told.items()} == plugin.cls.defaults


PLAIN = """
from dataclasses import dataclass, field
from typing import ClassVar
from harness.api import Data, Dataset, hookimpl

@dataclass(frozen=True)
class {name}(Dataset):
    name: ClassVar[str] = "mine"
    size: int = 3
    parts: list[str] = field(default_factory=list)

    def load(self) -> Data: ...

@hookimpl
def harness_datasets():
    return [{name}]
"""


def test_a_plugin_without_a_docstring_says_nothing_of_its_base(harness, plugin_file):
    file = plugin_file("mine", PLAIN.replace("{name}", "Mine"))
    ended = harness("describe", "mine", "--plugin", file)
    assert ended.out == (
        f"mine (dataset, file: {file})\n\n\n\nArguments (args = {{ … }} in a suite):\n"
        "  size: int = 3\n  parts: list[str] = []\n"
    )


def test_one_name_of_two_plugins_describes_both(harness, plugin_file):
    code = PLAIN.replace("{name}", "Mine").replace('"mine"', '"maml"')
    ended = harness("describe", "maml", "--plugin", plugin_file("mine", code), "--format", "json")
    assert [facts["kind"] for facts in json.loads(ended.out)] == ["strategy", "dataset"]


def test_an_unknown_name_is_answered_with_the_nearest(harness):
    ended = harness("describe", "mamal")
    assert (ended.status, ended.out) == (2, "")
    assert ended.complaint == (
        "harness: there is no plugin 'mamal' (did you mean 'maml'?). "
        "'harness plugins' lists them all"
    )
