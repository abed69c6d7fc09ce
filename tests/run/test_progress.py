"""What a run shows where its progress is no terminal: a line a cell, and the time left."""

import io

import pytest

from harness.record.schema import Coordinates, Plan, Record
from harness.record.store import Store
from harness.run.progress import ProgressBar


def cell(key, label, seed=0):
    return Coordinates(
        cell=key,
        suite="small",
        label=label,
        strategy=label,
        dataset="digits",
        problem="digits",
        protocol="transfer",
        shots=5,
        backbone="conv4",
        seed=seed,
    )


@pytest.fixture
def run(tmp_path):
    """Ends cells one by one, each after so many seconds of its own; gives the lines shown."""
    cells = [cell(f"{label}{seed}", label, seed) for seed in range(3) for label in ("fast", "slow")]
    store, shown = Store(tmp_path), io.StringIO()
    store.write_plan(Plan(suite="small", cells=cells))
    progress = ProgressBar(shown)

    def ended(seconds, only=cells):
        progress.harness_suite_started("small", tmp_path, only, len(only))
        for each, took in zip(only, seconds, strict=False):
            record = Record(**each.model_dump(), status="ok", seconds={"total": took})
            store.write_record(record)
            progress.harness_cell_finished(each, record)
        return shown.getvalue().splitlines()

    return ended


def test_what_is_left_is_what_like_cells_took(run, monkeypatch):
    """And not what the mean cell did: a fast and a slow one have ended, two of each are left."""
    monkeypatch.setattr("harness.run.progress.EVERY", 0.0)
    _, first, second = run([10.0, 1000.0])
    assert first.endswith("(0:00 elapsed, about 0:50 left)")  # nothing else is known yet
    assert second.endswith("(0:00 elapsed, about 33:40 left)")


def test_cells_that_were_not_asked_for_are_not_left(run, monkeypatch):
    monkeypatch.setattr("harness.run.progress.EVERY", 0.0)
    asked = [cell("fast0", "fast"), cell("fast1", "fast", 1)]
    *_, last = run([10.0], asked)
    assert last.endswith("about 0:10 left)")


def test_the_plan_is_not_read_for_each_of_many_cells(run, monkeypatch):
    looks = []
    plan = Store.plan
    monkeypatch.setattr(Store, "plan", lambda store: looks.append(1) or plan(store))
    lines = run([1.0] * 6)
    assert len(lines) == 7
    assert lines[-1].endswith("(0:00 elapsed)")  # nothing is left
    assert len(looks) == 1
