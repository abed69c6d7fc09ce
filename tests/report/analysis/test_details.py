"""What a report needs beyond the tidy frame, read from a folder of five strategies."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.record.schema import Coordinates, Record
from harness.record.store import Store
from harness.report.analysis import details
from harness.report.analysis.details import collect

Cell = Callable[..., Coordinates]
Done = Callable[..., Record]
Folder = Callable[..., Path]


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


def test_one_failure_of_many_cells_is_one_fault_wherever_it_was_raised(
    folder: Folder, cell: Cell, done: Done
) -> None:
    """The same error comes up through other lines where several tasks are adapted at once."""
    cells = [
        cell(label, 5, seed, problem=problem)
        for label in ("a", "b")
        for problem in ("digits", "letters")
        for seed in range(6)
    ]
    failed = [
        done(one, status="failed", reason="no network", traceback=f"line {n % 3}", log=f"{n}")
        for n, one in enumerate(cells)
    ]
    failed[3] = done(cells[3], status="oom", reason="no network")
    faults = collect(Store(folder(cells, failed)))[1].faults
    assert [(fault.status, len(fault.cells), fault.where) for fault in faults] == [
        ("failed", 23, "23 cells, a, b on digits, letters (seeds 0, 1, 2, 4, 5, 3)"),
        ("oom", 1, "a on digits (seed 3)"),
    ]
    assert faults[0].traceback == "line 0"
    mine = faults[0].among({one.cell for one in cells[:2]})
    assert mine.where == "2 cells, a on digits (seeds 0, 1)"
    assert [log for _, log in mine.cells] == ["0", "1"]


def test_of_very_many_seeds_the_first_are_named(folder: Folder, cell: Cell) -> None:
    (fault,) = collect(Store(folder([cell("a", 5, seed) for seed in range(100)])))[1].faults
    seeds = ", ".join(map(str, range(12)))
    assert fault.where == f"100 cells, a on digits (seeds {seeds} and 88 more)"
