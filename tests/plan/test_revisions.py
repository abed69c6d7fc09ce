"""Corrections of the core are in the meaning of the cells that they changed, and in no other's."""

import pytest

from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.plan.revisions import INFORMATION, POOLED, TIES
from harness.registry import Sources, load
from harness.suite.read import parse

SOURCE = {"dataset": "glyphs", "args": {"per_class": 8}}


def revised(cells):
    """The corrections that concern each cell, by shots."""
    return {(cell.strategy, cell.shots): cell.meaning.get("revisions") for cell in cells}


def test_recalibrating_by_more_than_a_batch_of_training_inputs_is_another_cell(planned, table):
    """Digits have ten classes: 6 shots are 60 inputs, and 7 are 70."""
    table["problems"] = [{"dataset": "digits", "shots": [6, 7, "all"], "source": SOURCE}]
    table["strategies"] = ["maml", "full_finetune"]
    table["budget"]["batch_size"] = 64
    assert revised(planned(table)) == {
        ("maml", 6): None,
        ("maml", 7): [POOLED],
        ("maml", "all"): [POOLED],
        ("full_finetune", 6): None,
        ("full_finetune", 7): None,
        ("full_finetune", "all"): None,
    }
    table["budget"]["batch_size"] = 70
    assert revised(planned(table))["maml", 7] is None


def test_an_episodes_support_set_mostly_is_one_slice(planned, table):
    table["problems"] = [
        {
            "dataset": "toy",
            "args": {"classes": 12, "each": 20},
            "protocol": "episodes",
            "ways": 3,
            "shots": [1, 3],
            "source": SOURCE,
        }
    ]
    table["strategies"], table["budget"]["batch_size"] = ["maml"], 8
    found = revised(planned(table))
    assert POOLED not in (found["maml", 1] or ())
    assert POOLED in found["maml", 3]


@pytest.mark.parametrize(("base", "expected"), [("GradientStrategy", None), ("Maml", [POOLED])])
def test_a_strangers_strategy_is_asked_by_its_source_and_its_parents(
    plugin_file, table, base, expected
):
    file = plugin_file(
        "strangers",
        f"""
        from typing import ClassVar

        from harness.api import GradientStrategy, Recipe, hookimpl
        from harness_plugins.strategies.maml import Maml


        class Stranger({base}):
            name: ClassVar[str] = "stranger"

            def recipe(self, backbone, task, hp, run):
                return Recipe(backbone, (), lr=1e-2)


        @hookimpl
        def harness_strategies():
            return [Stranger]
        """,
    )
    registry = load(Sources(files=(file,)))
    table["problems"] = [{"dataset": "digits", "shots": 7, "source": SOURCE}]
    table["strategies"] = ["stranger"]
    cells = plan(parse(table, "here"), registry, Datasets(registry), "here").cells
    assert [cell.meaning.get("revisions") for cell in cells] == [expected, expected]


@pytest.mark.parametrize(
    ("protocol", "strategy", "expected"),
    [
        ("episodes", "linear_probe", [TIES]),
        ("episodes", {"name": "linear_probe", "args": {"lr": 0.01, "weight_decay": 0.0}}, None),
        ("transfer", "linear_probe", None),
    ],
)
def test_ties_over_episodes_concern_what_is_tuned_on_episodes(
    planned, table, protocol, strategy, expected
):
    noise = {"dataset": "toy", "args": {"classes": 12, "each": 20}, "shots": 1}
    table["problems"] = [
        noise if protocol == "transfer" else {**noise, "protocol": protocol, "ways": 3}
    ]
    table["strategies"] = [strategy]
    assert {repr(cell.meaning.get("revisions")) for cell in planned(table)} == {repr(expected)}


@pytest.mark.parametrize("selection", ["source", "information", "target"])
def test_states_by_information_concern_what_is_selected_so(planned, table, selection):
    table["problems"] = [
        {
            "dataset": "glyphs",
            "args": {"per_class": 6, "seed": 1},
            "protocol": "adaptation",
            "source": {"dataset": "glyphs", "args": {"per_class": 6}},
            "selection": selection,
        }
    ]
    table["strategies"] = ["coral", "target_supervised"]
    found = {cell.strategy: cell.meaning.get("revisions") for cell in planned(table)}
    assert found["coral"] == ([INFORMATION] if selection == "information" else None)
    assert found["target_supervised"] is None
