"""What a report needs beyond the tidy frame, read from a folder of five strategies."""

from pathlib import Path

import pytest

from harness.record.store import Store
from harness.report.details import collect


def test_the_first_trial_pays_for_what_was_prepared(results: Path) -> None:
    """Meta-training comes before any trial: a budget of seconds has to reach over it."""
    store = Store(results)
    trials = collect(store)[1].trials.set_index(["cell", "number"])["seconds"]
    meta = next(cell for cell in store.plan().cells if cell.label == "maml")
    record = store.record(meta.cell)
    assert record is not None
    assert record.seconds["prepare"] == 20
    first, second = (trial.seconds for trial in record.trials[:2])
    assert trials[meta.cell, 0] == pytest.approx(20 + first)
    assert trials[meta.cell, 1] == pytest.approx(second)
