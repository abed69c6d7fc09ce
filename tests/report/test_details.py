"""What a report needs beyond the tidy frame, read from a folder of five strategies."""

from pathlib import Path

import pandas as pd
import pytest

from harness.record.store import Store
from harness.report import details
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


def test_what_is_read_in_shares_comes_to_the_same(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, whole = collect(Store(results))
    monkeypatch.setattr(details, "SHARE", 7)
    frame_of_shares, joined = collect(Store(results))
    pd.testing.assert_frame_equal(frame_of_shares, frame)
    pd.testing.assert_frame_equal(frame, Store(results).frame())
    for part in ("trials", "curves"):
        pd.testing.assert_frame_equal(getattr(joined, part), getattr(whole, part))
    for part in ("tuned", "faults", "facts", "defaults"):
        assert getattr(joined, part) == getattr(whole, part)
    assert [fact.name for fact in joined.facts] == [fact.name for fact in whole.facts]
