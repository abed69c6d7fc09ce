"""What cells will cost, before they run."""

import pytest

from harness.plan.estimate import estimate
from harness.record.schema import Coordinates, Record


@pytest.fixture
def record():
    """A record of a cell that took so many seconds."""

    def made(cell, seconds, status="ok"):
        coordinates = {name: getattr(cell, name) for name in Coordinates.model_fields}
        return Record(**coordinates, status=status, seconds={"total": seconds})

    return made


def test_a_cell_costs_what_its_like_did(planned, table, toys, record):
    cells = planned(table)
    like = [cell for cell in cells if (cell.strategy, cell.shots) == ("linear_probe", 1)]
    records = [record(like[0], 3.0), record(like[0], 5.0), record(like[0], 400.0)]
    records.append(record(like[0], 1e6, status="failed"))
    seconds = estimate(cells, records, toys)
    assert set(seconds) == {cell.cell for cell in cells}
    assert [seconds[cell.cell] for cell in like] == [5.0, 5.0]


def test_a_record_without_times_is_no_guide(planned, table, toys, record):
    (first, *_) = cells = planned(table)
    empty = record(first, 0.0).model_copy(update={"seconds": {}})
    assert estimate(cells, [empty], toys)[first.cell] > 0


def test_without_records_more_work_costs_more(planned, table, toys):
    def cost(**budget):
        table["budget"] = {"trials": 2, "steps": 3} | budget
        return sum(estimate(planned(table), [], toys).values())

    assert 0 < cost() < cost(steps=300) < cost(steps=300, trials=20)


def test_a_budget_in_seconds_is_the_estimate(planned, table, toys):
    table["budget"] = {"seconds": 60}
    assert set(estimate(planned(table), [], toys).values()) == {60.0}


def test_episodes_count_one_by_one(planned, table, toys):
    table["problems"] = [
        {
            "dataset": "toy",
            "args": {"classes": 12, "each": 20},
            "protocol": "episodes",
            "ways": 3,
            "shots": 1,
            "episodes": episodes,
            "label": f"{episodes}",
        }
        for episodes in (10, 1000)
    ]
    few, many = (
        [seconds for cell, seconds in zip(cells, costs, strict=True) if cell.problem == problem]
        for cells in [planned(table)]
        for costs in [estimate(cells, [], toys).values()]
        for problem in ("10", "1000")
    )
    assert sum(many) > 5 * sum(few)


def test_a_model_that_cannot_be_built_has_no_estimate(planned, table, toys):
    """As one that is built from its source alone, or whose plugin has changed since."""
    good, *_ = planned(table)
    spec = good.backbone_spec.model_copy(update={"args": {"depth": 9}})
    odd = good.model_copy(update={"cell": "odd", "backbone": "odd", "backbone_spec": spec})
    seconds = estimate([good, odd], [], toys)
    assert seconds["odd"] is None
    assert seconds[good.cell] is not None
