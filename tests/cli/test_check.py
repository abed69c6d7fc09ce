"""``harness check``: the rules of a plugin's kind, what was seen, and what helps."""

import json

import pytest

HEAD = """
    from dataclasses import dataclass
    from typing import ClassVar

    from harness.api import Classifier, Recipe, Strategy, hookimpl

    @dataclass(frozen=True)
    class Mine(Strategy):
        name: ClassVar[str] = "mine"

        def adapt(self, backbone, task, hp, run):
            {body}

    @hookimpl
    def harness_strategies():
        return [Mine]
"""


def test_rules_that_are_kept_are_told(harness):
    ended = harness("check", "digits")
    assert (ended.status, ended.err) == (0, "")
    heading, *rules, total = ended.out.splitlines()
    assert heading.startswith("dataset digits (")
    assert rules == [
        "  ok      class is well formed",
        "  ok      loads examples with labels",
        "  ok      loads the same twice",
    ]
    assert total == "3 rules, none broken"


def test_a_broken_rule_comes_with_what_was_seen_and_what_helps(harness, plugin_file):
    body = "print('noise'); 1 / 0"
    file = plugin_file("mine", HEAD.replace("{body}", body))
    ended = harness("check", file)
    assert ended.status == 1
    lines = ended.out.splitlines()
    assert lines[:2] == [f"file mine ({file})", "  ok      can be loaded"]
    at = lines.index("  BROKEN  adapts to a whole task")
    assert lines[at + 1] == "          seen: ZeroDivisionError: division by zero (line 12)"
    assert lines[at + 2] == (
        f"          remedy: Mend {file}; or, if this is the only rule to meet that error: Give a "
        "predictor whose ``logits`` are ``[b, task.classes]`` and finite."
    )
    assert lines.count("          remedy: It is the error of an earlier rule") > 3
    assert "noise" in ended.err
    assert "noise" not in ended.out


def test_a_script_gets_a_row_a_rule(harness, plugin_file):
    body = "return Classifier(Recipe(backbone, (), lr=0.0), task, run)"
    file = plugin_file("mine", HEAD.replace("{body}", body))
    ended = harness("check", file, "--format", "json")
    assert ended.status == 0
    rows = json.loads(ended.out)
    assert {row["file"] for row in rows} == {str(file)}
    assert all(row["held"] and not row["remedy"] for row in rows)
    assert [row["rule"] for row in rows if row["seen"]] == ["tells what it trains"]
    assert rows[0]["rule"] == "can be loaded"
    assert len(rows) > 8


FINE_TUNING = """
    from dataclasses import dataclass
    from typing import ClassVar

    from harness.api import GradientStrategy, Recipe, hookimpl

    @dataclass(frozen=True)
    class Mine(GradientStrategy):
        name: ClassVar[str] = "mine"

        def recipe(self, backbone, task, hp, run):
            names = [name for name in backbone.parameters_from(0) if name.startswith("{start}")]
            return Recipe(backbone, names, lr=hp["lr"], weight_decay=hp["weight_decay"])

    @hookimpl
    def harness_strategies():
        return [Mine]
"""


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (
            "body.0.",
            "96 of the backbone's 1,296 parameters and 45 of its own (head.weight, head.bias)",
        ),
        (
            "layer0.",
            "0 of the backbone's 1,296 parameters and 45 of its own (head.weight, head.bias): a "
            "probe; else look at the names that its recipe trains",
        ),
    ],
)
def test_what_a_strategy_trains_is_told(harness, plugin_file, start, told):
    """By hand: the first convolution has 8 kernels of 3 x 3 and 8 biases, its norm twice 8."""
    file = plugin_file("mine", FINE_TUNING.replace("{start}", start))
    ended = harness("check", file)
    assert ended.status == 0
    assert ended.out.splitlines()[-3:-1] == [
        "  ok      tells what it trains",
        f"          seen: {told}",
    ]


def test_a_file_that_cannot_be_loaded_breaks_the_first_rule(harness, plugin_file):
    file = plugin_file("mine", "import nowhere_to_be_found")
    ended = harness("check", file)
    assert ended.status == 1
    assert "  BROKEN  can be loaded" in ended.out
    assert "cannot be loaded: ModuleNotFoundError: No module named 'nowhere" in ended.out
    assert ended.out.splitlines()[-1] == "1 rules, 1 broken"


def test_arguments_are_those_of_a_suite(harness, tmp_path):
    ended = harness("check", "glyphs", "--args", "{ per_class = 2 }")
    assert ended.status == 0, ended.out
    ended = harness("check", "folder")
    assert ended.complaint == (
        "harness: dataset 'folder': argument 'root' is missing. 'harness describe folder' tells "
        "what it takes"
    )
    assert harness("check", "glyphs", "--args", "per_class").complaint.startswith(
        "harness: --args per_class: "
    )
    assert harness("check", "glyphs", "--args", "3").complaint == (
        "harness: --args 3 is no table. Write --args '{ name = 3 }'"
    )


def test_a_wrapper_is_checked_on_what_it_wraps(harness):
    ended = harness("check", "noisy_labels", "--args", "{ dataset = 'digits', rate = 0.1 }")
    assert ended.status == 0, ended.out + ended.err


def test_what_is_not_there_is_wrong_usage(harness):
    ended = harness("check", "mixupp")
    assert ended.status == 2
    assert ended.complaint == (
        "harness: there is no plugin 'mixupp' (did you mean 'mixup'?). 'harness plugins' lists "
        "them all; of a file, give its path, NAME.py"
    )
    assert "there is no file " in harness("check", "nowhere.py").complaint
    assert harness("check", "mlm").complaint.startswith(
        "harness: pretraining 'mlm' takes texts alone, and checks try it on images. Inherit "
    )
    assert harness("check", "tensorboard").complaint.startswith(
        "harness: there are no checks for a tracker"
    )
