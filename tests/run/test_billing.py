"""Activations are billed once a row, also over a restart."""

import json

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.run.billing import Billing

KEY, SIZE = ("weights", "pool", 2), 21

some = st.sets(st.integers(0, SIZE - 1)).map(sorted)


def due(billing, rows, key=KEY):
    return billing.due(key, torch.tensor(rows, dtype=torch.int64), SIZE).tolist()


@given(first=some, second=some, restarts=st.booleans())
def test_a_row_is_due_once(first, second, restarts):
    billing = Billing()
    assert due(billing, first) == first
    if restarts:
        told = json.loads(json.dumps(billing.read()))
        billing = Billing()
        billing.add(told)
        assert billing.read() == told
    assert due(billing, second) == sorted({*second} - {*first})
    assert due(billing, second) == []


def test_other_activations_are_other_rows():
    billing = Billing()
    due(billing, [1, 2])
    for other in (("others", "pool", 2), ("weights", "others", 2), ("weights", "pool", 1)):
        assert due(billing, [1, 2], other) == [1, 2]
