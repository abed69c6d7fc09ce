"""Which cells wait for what a running cell makes, and which need not."""

import pytest

from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.registry import Sources, load_once
from harness.run.order import Making
from harness.suite.read import parse

SUITE = {
    "name": "order",
    "seeds": [0, 1],
    "strategies": ["from_scratch", "linear_probe", "maml"],
    "budget": {"trials": 1, "steps": 2, "batch_size": 16},
    "backbones": [
        {"model": "conv4", "weights": {"source": "digits", "steps": 2}, "input_size": 16},
        {"model": "conv4", "label": "bare", "weights": "random", "input_size": 16},
    ],
    "problems": [{"dataset": "glyphs", "shots": [1, 2], "source": {"dataset": "digits"}}],
}


@pytest.fixture(scope="module")
def cells():
    """The cells by strategy, shots, seed and backbone."""
    registry = load_once(Sources())
    planned = plan(parse(SUITE, "test"), registry, Datasets(registry), "test")
    return {(c.strategy, c.shots, c.seed, c.backbone): c for c in planned.cells}


@pytest.fixture
def making():
    return Making(load_once(Sources()))


def test_nothing_waits_where_nothing_runs(making, cells):
    assert not any(map(making.delays, cells.values()))


def test_all_that_need_weights_wait_for_who_makes_them(making, cells):
    making.begin(cells["linear_probe", 1, 0, "conv4"])
    waiting = {at for at, cell in cells.items() if making.delays(cell)}
    assert waiting == {at for at in cells if at[0] != "from_scratch" and at[3] == "conv4"}
    making.end(cells["linear_probe", 1, 0, "conv4"])
    making.begin(cells["linear_probe", 2, 0, "conv4"])
    assert not any(map(making.delays, cells.values()))


def test_each_pretraining_is_waited_for_by_its_own_seeds(making):
    weights = {**SUITE["backbones"][0]["weights"], "seeds": 2}
    one = {**SUITE["backbones"][0], "weights": weights}
    suite = {**SUITE, "strategies": ["linear_probe"], "seeds": [0, 1, 2], "backbones": [one]}
    registry = load_once(Sources())
    cells = plan(parse(suite, "test"), registry, Datasets(registry), "test").cells
    making.begin(cells[0])
    assert {cell.seed for cell in cells if making.delays(cell)} == {0, 2}


def test_what_needs_no_weights_makes_nobody_wait(making, cells):
    making.begin(cells["from_scratch", 1, 0, "conv4"])
    assert not any(map(making.delays, cells.values()))


def test_what_is_prepared_is_waited_for_by_its_own_seed_and_backbone(making, cells):
    making.begin(cells["maml", 1, 0, "bare"])
    waiting = {at for at, cell in cells.items() if making.delays(cell)}
    assert waiting == {("maml", 1, 0, "bare"), ("maml", 2, 0, "bare")}
    making.end(cells["maml", 1, 0, "bare"])
    assert not making.delays(cells["maml", 2, 0, "bare"])
