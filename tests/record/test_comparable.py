"""Cells of one folder are compared only if they had the same budget and the same data."""

import pytest

from harness.errors import HarnessError
from harness.record.comparable import Comparable

MEANING = {
    "budget": {"trials": 8, "steps": 200},
    "data": "0f",
    "tests": {"bent": {"data": "2c"}},
    "shots": 5,
}


def comparable(makes, *changes):
    found = Comparable()
    for number, change in enumerate(changes):
        found.add(makes.record(str(number), seed=number, meaning={**MEANING, **change}))
    return found


def test_cells_that_differ_in_what_is_compared_are_alike(makes, tmp_path):
    comparable(makes, {}, {"shots": 1}, {"strategy": "another"}).require(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budget": {"trials": 9, "steps": 200}}, r'the budget is .*"trials": 8.*"trials": 9'),
        ({"data": "1e"}, r"the data of problem 'digits' is \"0f\" for .*seed 0.* \"1e\""),
        (
            {"tests": {"bent": {"data": "1e"}}},
            r"the data of test 'bent' of problem 'digits' is .*2c.* for .*seed 0.*1e",
        ),
    ],
)
def test_two_budgets_or_versions_of_a_dataset_are_refused(makes, tmp_path, change, said):
    with pytest.raises(HarnessError, match=said):
        comparable(makes, {}, change).require(tmp_path)


def test_different_problems_have_different_data(makes, tmp_path):
    found = comparable(makes, {})
    found.add(makes.record("b", problem="another", meaning={**MEANING, "data": "1e"}))
    found.require(tmp_path)


def test_what_was_gathered_apart_is_judged_together(makes, tmp_path):
    parts = comparable(makes, {}), comparable(makes, {"data": "1e"}, {"data": "2d"})
    found = Comparable()
    for part in parts:
        found.join(part)
    with pytest.raises(HarnessError, match=r'"0f" for .*seed 0.* "1e" for .*seed 0'):
        found.require(tmp_path)


def test_all_that_differs_is_told(makes, tmp_path):
    said = r"the budget is .*; the data of problem 'digits' is .*\. Run the suite again"
    with pytest.raises(HarnessError, match=said):
        comparable(makes, {}, {"budget": {"trials": 9}, "data": "1e"}).require(tmp_path)
