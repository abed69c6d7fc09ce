"""Results that someone has been at: they are refused, or marked, in words."""

import json
import re
import shutil

import pytest

from harness.record.store import Store
from harness.report import write


@pytest.fixture
def cell(results):
    """A finished cell's record."""
    return sorted((results / "records").glob("*.json"))[0]


def test_an_edited_metric_is_a_gap_in_the_report(harness, results, cell):
    record = json.loads(cell.read_text())
    record["metrics"]["accuracy"] = 0.99
    cell.write_text(json.dumps(record))
    assert harness("report", results).status == 0
    html = (results / "report/index.html").read_text()
    assert "its record was changed after it was written" in html
    assert "1 of 2 damaged" in html
    assert not re.search(r"\b99\.0\b", html)


def test_a_cell_with_an_edited_record_is_run_again(harness, results, cell, tiny_suite, no_report):
    before = json.loads(cell.read_text())
    cell.write_text(cell.read_text().replace('"status": "ok"', '"status": "failed"'))
    ended = harness("suite", tiny_suite)
    assert (ended.status, "3 done before, 1 to do" in ended.err) == (0, True)
    assert json.loads(cell.read_text())["metrics"] == before["metrics"]


def test_damaged_predictions_are_told_and_the_rest_of_the_report_is_written(harness, results):
    file = sorted((results / "predictions").glob("*.npz"))[0]
    file.write_bytes(file.read_bytes()[:-100])
    assert harness("report", results).status == 0
    html = (results / "report/index.html").read_text()
    assert f"is left out: {file.name} is damaged, or no npz file" in html
    assert "predictions damaged" in html


def test_an_edited_plan_is_refused_in_one_line(harness, results):
    plan = results / "plan.json"
    plan.write_text(plan.read_text().replace("linear_probe", "full_finetune"))
    for command in ("report", "export"):
        ended = harness(command, results)
        assert ended.status == 2
        assert ended.complaint == (
            f"harness: {plan} was changed after it was written. "
            "Run the suite again: finished cells are kept"
        )


@pytest.fixture
def mixed(harness, results, edited):
    """Runs the tiny suite changed, and mixes what comes out with the results that there are."""

    def mix(*replacements):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(write, "write_report", lambda report, *rest: report.directory)
            assert harness("suite", edited(*replacements), "--results", "other").status == 0
        other = results.parents[1] / "other/tiny"
        for folder in ("records", "splits", "predictions"):
            shutil.copytree(other / folder, results / folder, dirs_exist_ok=True)
        return Store(results).plan(), Store(other).plan()

    return mix


def test_records_of_another_budget_are_not_part_of_the_report(harness, results, mixed):
    mixed("trials = 2", "trials = 1")
    ended = harness("report", results)
    assert ended.status == 0
    assert ended.err == (
        f"harness: {results} holds 4 records of other plans (another budget, data or code): "
        "they are left out\n"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("trials = 2", "trials = 1"), "the budget is "),
        (
            ('"digits"', '"glyphs"\nlabel = "digits"\nargs = { per_class = 8 }'),
            "the data of problem 'digits' is ",
        ),
    ],
)
def test_a_plan_that_mixes_two_budgets_or_two_datasets_is_refused(
    harness, results, mixed, change, said
):
    first, second = mixed(*change)
    cells = [cell for cell in first.cells if cell.label == "linear_probe"]
    cells += [cell for cell in second.cells if cell.label == "full_finetune"]
    Store(results).write_plan(first.model_copy(update={"cells": cells}))
    ended = harness("report", results)
    assert ended.status == 2
    complaint = ended.err.splitlines()[-1]
    assert complaint.startswith(f"harness: {results} mixes results that can't be compared: ")
    assert said in complaint
    assert complaint.endswith("Run the suite again in a folder of its own (--results)")
