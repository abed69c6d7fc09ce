"""How things are put."""

from typing import get_args

from harness.record.belief import Doubt, Stale
from harness.record.schema import Status
from harness.record.store import PENDING
from harness.report import format


def test_whatever_becomes_of_a_cell_has_words() -> None:
    assert set(format.STATES) == {*get_args(Status), Doubt.status, Stale.status, PENDING}
