"""How far two records of a cell agree, and which cells a sample has."""

import math

import pytest

from harness.record.schema import Further, Record
from harness.share.reproduce import TOLERANCE, _sample, compared


@pytest.fixture
def record():
    def make(key="abc", **changes):
        place = {"label": "LP", "strategy": "lp", "dataset": "d", "problem": "d", "shots": 1}
        fields = {"protocol": "transfer", "backbone": "b", "seed": 0, "suite": "s", "status": "ok"}
        return Record(**{"cell": key, **place, **fields, "metrics": {"accuracy": 0.5}, **changes})

    return make


@pytest.mark.parametrize(
    ("metrics", "verdict", "measure"),
    [
        ({"accuracy": 0.5, "log_loss": math.nan}, "equal", ""),
        ({"accuracy": 0.5 + TOLERANCE / 2, "log_loss": math.nan}, "close", "accuracy"),
        ({"accuracy": 0.5 + 2 * TOLERANCE, "log_loss": math.nan}, "differs", "accuracy"),
        ({"accuracy": 0.5, "log_loss": 1.0}, "differs", "log_loss"),
        ({"accuracy": 0.5}, "differs", "log_loss"),
        ({"accuracy": 0.5, "log_loss": math.nan, "ece": 0.1}, "differs", "ece"),
    ],
)
def test_the_largest_difference_decides(record, metrics, verdict, measure):
    before = record(metrics={"accuracy": 0.5, "log_loss": math.nan})
    found = compared(before, record(metrics=metrics))
    assert (found.verdict, found.measure) == (verdict, measure)


def test_further_tests_count(record):
    one, other = (record(further={"t": Further(metrics={"accuracy": a})}) for a in (0.5, 0.75))
    found = compared(one, other)
    assert (found.measure, found.difference) == ("accuracy on t", 0.25)


def test_what_a_cell_means_now_is_told_where_that_has_changed(record):
    before, again = record(meaning={"data": "a"}), record("abd", meaning={"data": "b"})
    assert compared(before, again).why == "data (the dataset's data): was a, is b"


def test_what_was_not_run_does_not_agree(record):
    assert not compared(record(), None).agrees


def test_a_sample_is_always_the_same_and_a_larger_one_has_it(record):
    records = [record(f"{number:016x}") for number in range(50)]
    few, more = ([each.cell for each in _sample(records, n)] for n in (3, 10))
    assert few == [each.cell for each in _sample(records[::-1], 3)][::-1]
    assert len(few) == 3
    assert {*few} < {*more}
    assert _sample(records, None) == records
