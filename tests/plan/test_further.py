"""Second models: named by strategies, counted by what they are, and not compared unless asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from harness_plugins.strategies.full_finetune import FullFinetune

from harness.api import Trick
from harness.errors import Mistakes
from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.plan.keys import differences
from harness.registry import Registered, Sources, load
from harness.suite.read import parse


@dataclass(frozen=True)
class Taught(FullFinetune):
    """Learns from a teacher."""

    teacher: str = ""

    name: ClassVar[str] = "taught"

    def backbones(self):
        return {"teacher": self.teacher} if self.teacher else {}


@dataclass(frozen=True)
class Tutored(Trick):
    """Learns from a tutor too."""

    tutor: str = "big"

    name: ClassVar[str] = "tutored"

    def backbones(self):
        return {"tutor": self.tutor}

    def amend(self, recipe, task, hp, run):
        return recipe


@pytest.fixture(scope="module")
def registry():
    found = load(Sources(files=(Path(__file__).parents[1] / "toy_plugin.py",)))
    found.plugins["strategy", "taught"] = Registered(
        "strategy", "taught", Taught, "file", Path(__file__)
    )
    found.plugins["trick", "tutored"] = Registered(
        "trick", "tutored", Tutored, "file", Path(__file__)
    )
    return found


@pytest.fixture(scope="module")
def planned(registry):
    datasets = Datasets(registry)
    return lambda table: plan(parse(table, "here"), registry, datasets, "here").cells


@pytest.fixture
def table(table):
    big = {
        "model": "conv4",
        "label": "big",
        "weights": "random",
        "input_size": 32,
        "compared": False,
    }
    taught = {"name": "taught", "args": {"teacher": "big"}}
    return table | {
        "strategies": ["linear_probe", taught],
        "backbones": [*table["backbones"], big],
    }


def test_a_model_that_is_not_compared_has_no_cells(planned, table):
    cells = planned(table)
    assert {cell.backbone for cell in cells} == {"conv4"}
    found = {cell.label: [*cell.further_specs] for cell in cells}
    assert found == {"linear_probe": [], "taught": ["big"]}


def test_a_key_counts_the_named_model_by_what_it_is_and_not_by_its_label(planned, table):
    first = planned(table)[1]
    table["backbones"][1]["label"] = table["strategies"][1]["args"]["teacher"] = "large"
    renamed = planned(table)[1]
    assert renamed.cell == first.cell
    table["backbones"][1]["input_size"] = 16
    changed = planned(table)[1]
    assert [*differences(first.meaning, changed.meaning)] == [
        "strategy.args.teacher.input_size: was 32, is 16"
    ]


def test_a_trick_names_one_as_a_strategy_does(registry, planned, table):
    tricks = [{"name": "tutored", "args": {"tutor": "big"}}]
    table["strategies"][1] = {"name": "taught", "args": {"teacher": "conv4"}, "tricks": tricks}
    first = planned(table)[1]
    assert {*first.further_specs} == {"big", "conv4"}
    assert {*first.meaning["strategy"]["args"]} == {"teacher", "tutored.tutor"}
    table["backbones"][1]["label"] = tricks[0]["args"]["tutor"] = "large"
    assert planned(table)[1].cell == first.cell
    table["backbones"][1]["input_size"] = 16
    assert planned(table)[1].cell != first.cell
    tricks[0]["args"]["tutor"] = "largo"
    with pytest.raises(Mistakes) as caught:
        planned(table)
    assert (
        "strategy 'taught+tutored': argument 'tutored.tutor' names the backbone 'largo', which the "
        "suite does not have (did you mean 'large'?)"
    ) in [*caught.value.lines]


def test_others_keep_their_keys(planned, table):
    beside = planned(table)
    del table["strategies"][1], table["backbones"][1]
    alone = planned(table)
    keys = [cell.cell for cell in beside if cell.strategy == "linear_probe"]
    assert keys == [cell.cell for cell in alone]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t["strategies"][1]["args"].update(teacher="bigg"),
            "strategy 'taught': argument 'teacher' names the backbone 'bigg', which the suite does "
            "not have (did you mean 'big'?)",
        ),
        (
            lambda t: t["strategies"].pop(),
            "backbone 'big' is not compared, and no strategy names it: remove it",
        ),
        (
            lambda t: t["backbones"][0].update(compared=False) or t["strategies"].append("lp_ft"),
            "no backbone is compared: leave compared = false out of one",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(planned, table, change, said):
    change(table)
    with pytest.raises(Mistakes) as caught:
        planned(table)
    assert said in [*caught.value.lines]


def test_a_mistake_elsewhere_is_not_told_as_one_of_second_models(planned, table):
    """Whether a model is named can't be known of a strategy that can't be set up, and a model that
    is wrong itself is there all the same."""
    table["strategies"][1]["args"]["techer"] = 1
    with pytest.raises(Mistakes) as caught:
        planned(table)
    assert [line for line in caught.value.lines if "backbone" in line] == []
    del table["strategies"][1]["args"]["techer"]
    table["backbones"][1]["model"] = "conv5"
    with pytest.raises(Mistakes) as caught:
        planned(table)
    (line,) = caught.value.lines
    assert line.startswith("unknown model 'conv5'")
