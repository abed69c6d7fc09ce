"""Within a time, a run begins whole blocks: all strategies of a setting and a seed, or none."""

import pytest

from harness.record.schema import Coordinates
from harness.run.purse import Purse, block_of


def cell(key, label="a", problem="digits", seed=0):
    return Coordinates(
        cell=key,
        suite="small",
        label=label,
        strategy=label,
        dataset="digits",
        problem=problem,
        protocol="transfer",
        shots=5,
        backbone="conv4",
        seed=seed,
    )


@pytest.fixture
def cells():
    """Three seeds of two strategies; each cell takes ten seconds."""
    return [cell(f"{label}{seed}", label, seed=seed) for seed in range(3) for label in "ab"]


def begun(purse, cells):
    left, started = list(cells), []
    for cell in cells:
        if purse.affords(cell, left):
            started.append(cell.cell)
            left.remove(cell)  # it has ended
        else:
            left = [each for each in left if block_of(each) != block_of(cell)]
    return started


def test_a_block_is_begun_whole_or_not_at_all(cells):
    def expected(some):
        return 10.0 * len(some)

    assert begun(Purse(25, expected, at_once=1), cells) == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert begun(Purse(15, expected, at_once=1), cells) == []
    assert begun(Purse(15, expected, at_once=2), cells) == [each.cell for each in cells]


def test_what_has_begun_counts_until_it_has_ended(cells):
    purse = Purse(25, lambda some: 10.0 * len(some), at_once=1)
    assert [purse.affords(cell, cells) for cell in cells] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_a_smaller_block_may_fit_where_a_larger_does_not():
    large = [cell(f"large{n}", f"{n}", "large") for n in range(5)]
    small = [cell("small", problem="small")]
    assert begun(Purse(25, lambda some: 10.0 * len(some), 1), large + small) == ["small"]


def test_what_was_begun_is_finished_though_it_takes_longer(cells):
    costs = iter([20.0])  # asked once a block
    purse = Purse(25, lambda some: next(costs), at_once=1)
    assert purse.affords(cells[0], cells[:2])
    assert purse.affords(cells[1], cells[1:2])
