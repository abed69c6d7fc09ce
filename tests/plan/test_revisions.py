"""Corrections are in the meaning of the cells that they changed, and of no others."""

import pytest

from harness.plan.revisions import TIES


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
