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


def test_a_cell_costs_what_its_like_did(planned, table, toys, toy_data, record):
    cells = planned(table)
    like = [cell for cell in cells if (cell.strategy, cell.shots) == ("linear_probe", 1)]
    records = [record(like[0], 3.0), record(like[0], 5.0), record(like[0], 400.0)]
    records.append(record(like[0], 1e6, status="failed"))
    seconds = estimate(cells, records, toys, toy_data)
    assert set(seconds) == {cell.cell for cell in cells}
    assert [seconds[cell.cell] for cell in like] == [5.0, 5.0]


def test_a_cell_without_its_like_costs_what_its_strategy_and_its_task_do(
    planned, table, toys, toy_data, record
):
    """Two shots took three times as long as one: so they do for a strategy not seen there."""
    table["strategies"] = ["linear_probe", "full_finetune"]
    table["problems"][0]["shots"] = [1, 2]
    table["seeds"] = [0]
    cells = planned(table)
    took = {("linear_probe", 1): 2.0, ("linear_probe", 2): 6.0, ("full_finetune", 1): 20.0}
    known = [
        record(cell, took[cell.strategy, cell.shots])
        for cell in cells
        if (cell.strategy, cell.shots) in took
    ]
    (last,) = [cell for cell in cells if (cell.strategy, cell.shots) == ("full_finetune", 2)]
    assert estimate([last], known, toys, toy_data)[last.cell] == pytest.approx(60)


def test_a_probe_costs_one_pass_of_the_data_and_others_none(planned, table, toys, toy_data):
    table["strategies"] = ["linear_probe", "full_finetune"]
    table["budget"] = {"trials": 4, "steps": 500}
    cells = planned(table)
    seconds = estimate(cells, [], toys, toy_data)
    probes = [seconds[cell.cell] for cell in cells if cell.strategy == "linear_probe"]
    others = [seconds[cell.cell] for cell in cells if cell.strategy == "full_finetune"]
    assert probes[0] > probes[1] == probes[-1]
    assert min(others) > 2 * probes[0]


def test_a_record_without_times_is_no_guide(planned, table, toys, toy_data, record):
    (first, *_) = cells = planned(table)
    empty = record(first, 0.0).model_copy(update={"seconds": {}})
    assert estimate(cells, [empty], toys, toy_data)[first.cell] > 0


def test_without_records_more_work_costs_more(planned, table, toys, toy_data):
    def cost(**budget):
        table["budget"] = {"trials": 2, "steps": 3} | budget
        return sum(estimate(planned(table), [], toys, toy_data).values())

    assert 0 < cost() < cost(steps=300) < cost(steps=300, trials=20)


def test_a_budget_in_seconds_is_the_estimate(planned, table, toys, toy_data):
    table["budget"] = {"seconds": 60}
    assert set(estimate(planned(table), [], toys, toy_data).values()) == {60.0}


def test_episodes_count_one_by_one(planned, table, toys, toy_data):
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
        for costs in [estimate(cells, [], toys, toy_data).values()]
        for problem in ("10", "1000")
    )
    # Without the second that any cell takes at least: a step is timed anew for each problem.
    assert max(many) - 1 > 5 * (max(few) - 1)


def test_a_model_that_cannot_be_built_has_no_estimate(planned, table, toys, toy_data):
    """As one that is built from its source alone, or whose plugin has changed since."""
    good, *_ = planned(table)
    spec = good.backbone_spec.model_copy(update={"args": {"depth": 9}})
    odd = good.model_copy(update={"cell": "odd", "backbone": "odd", "backbone_spec": spec})
    seconds = estimate([good, odd], [], toys, toy_data)
    assert seconds["odd"] is None
    assert seconds[good.cell] is not None
