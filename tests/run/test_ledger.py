"""Activations are billed once a row, also over a restart."""

import json

import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.run.ledger import Ledger

KEY, SIZE = ("weights", "pool", 2), 21

some = st.sets(st.integers(0, SIZE - 1)).map(sorted)


def due(ledger, rows, key=KEY):
    return ledger.due(key, torch.tensor(rows, dtype=torch.int64), SIZE).tolist()


@given(first=some, second=some, restarts=st.booleans())
def test_a_row_is_due_once(first, second, restarts):
    ledger = Ledger()
    assert due(ledger, first) == first
    if restarts:
        told = json.loads(json.dumps(ledger.read()))
        ledger = Ledger()
        ledger.add(told)
        assert ledger.read() == told
    assert due(ledger, second) == sorted({*second} - {*first})
    assert due(ledger, second) == []


def test_other_activations_are_other_rows():
    ledger = Ledger()
    due(ledger, [1, 2])
    for other in (("others", "pool", 2), ("weights", "others", 2), ("weights", "pool", 1)):
        assert due(ledger, [1, 2], other) == [1, 2]
