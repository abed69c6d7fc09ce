"""What cells like one took."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.record.store import Store
from harness.record.typical import Typical, took


def test_cells_that_differ_by_seed_alone_are_alike(makes):
    known = [(makes.cell(str(seed), seed=seed), seconds) for seed, seconds in enumerate([1, 2, 9])]
    typical = Typical(known)
    assert typical.of(makes.cell("new", seed=7)) == 2
    assert typical.of(makes.cell("new", shots=1)) is None


def test_the_nearest_is_the_same_strategy_elsewhere_then_any_cell(makes):
    typical = Typical([(makes.cell("a"), 2), (makes.cell("b", label="slow"), 8)])
    assert typical.near(makes.cell("new", problem="other")) == pytest.approx(2)
    assert typical.near(makes.cell("new", label="unheard of")) == pytest.approx(
        4
    )  # the mean of logarithms
    assert Typical([]).near(makes.cell("new")) is None


@given(
    st.lists(st.floats(0.1, 1000), min_size=2, max_size=5),
    st.lists(st.floats(0.1, 1000), min_size=2, max_size=5),
)
def test_what_strategies_and_tasks_cost_is_told_apart(makes, strategies, tasks):
    """Where seconds are products, a row and a column tell all others."""
    cells = {
        (row, column): makes.cell(f"{row}.{column}", label=f"s{row}", problem=f"p{column}")
        for row in range(len(strategies))
        for column in range(len(tasks))
    }
    truth = np.outer(strategies, tasks)
    typical = Typical([(cell, truth[at]) for at, cell in cells.items() if 0 in at])
    for at, cell in cells.items():
        assert typical.near(cell) == pytest.approx(truth[at], rel=1e-6)


def test_what_a_cell_found_done_cost_it_nothing(makes):
    seconds = {"total": 60.0, "prepare": 50.0, "pretrain": 900.0}
    first, second = makes.record("a", seconds=seconds), makes.record("b", seconds=seconds)
    second = second.model_copy(update={"cached": ["prepare", "pretrain"]})
    assert [took(record)[1] for record in (first, second)] == [60, 10]
    assert took(makes.record("c", status="failed", reason="no")) is None


def test_after_a_tenth_of_a_real_suite_the_rest_is_known_within_half():
    """Of the 250 cells of the reference comparison, in the order in which they were run."""
    root = Path(__file__).parents[2]
    store = Store(root / "results/reference/reference-cpu")
    records = {record.cell: record for record in store.records()}
    cells = [(cell, took(records[cell.cell])[1]) for cell in store.plan().cells]
    known, rest = cells[:25], cells[25:]
    typical = Typical(known)
    expected = sum(typical.near(cell) for cell, _ in rest)
    assert expected == pytest.approx(sum(seconds for _, seconds in rest), rel=1 / 3)
