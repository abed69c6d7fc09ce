"""The part of a suite that some cells are of."""

from harness.plan.why import narrowed
from harness.record.schema import Coordinates
from harness.suite.read import parse


def test_a_part_of_a_suite_has_no_claims_on_the_rest(table):
    claim = {"left": "linear_probe", "sign": ">", "right": "full_finetune", "source": "a paper"}
    suite = parse({**table, "claims": [claim]}, "small")
    cell = Coordinates(
        cell="abc",
        suite="small",
        label="linear_probe",
        strategy="linear_probe",
        dataset="toy",
        problem="toy",
        protocol="transfer",
        shots=1,
        backbone="conv4",
        seed=0,
    )
    part = narrowed(suite, [cell])
    assert [each.title for each in part.strategies] == ["linear_probe"]
    assert part.claims == ()
