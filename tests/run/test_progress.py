"""What a run shows: a line a cell and the time left, and on a terminal what status shows."""

import io

import pytest

from harness.record.schema import Coordinates, Plan, Record
from harness.record.store import Store
from harness.report.status_text import lines
from harness.run.progress import ProgressTracker


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


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def run(tmp_path):
    """Ends cells one by one, each after so many seconds of its own; gives the lines shown."""
    cells = [cell(f"{label}{seed}", label, seed) for seed in range(3) for label in ("fast", "slow")]
    store = Store(tmp_path)
    store.write_plan(Plan(suite="small", cells=cells))

    def ended(seconds, only=cells, stream=io.StringIO, workers=1, elsewhere=False):
        shown = stream()
        progress = ProgressTracker(shown, lines, workers)
        progress.harness_suite_started("small", tmp_path, only, len(only))
        for each, took in zip(only, seconds, strict=False):
            record = Record(**each.model_dump(), status="ok", seconds={"total": took})
            store.write_record(record)
            progress.harness_cell_finished(each, record, elsewhere)
        progress.harness_suite_finished("small", tmp_path)
        return shown.getvalue().splitlines()

    return ended


def test_what_another_runner_did_is_marked(run):
    _, *own = run([10.0] * 6)
    _, *others = run([10.0] * 6, elsewhere=True)
    assert "by another runner" not in "".join(own)
    assert others[-1].endswith("10.0 s  (by another runner, 0:00 elapsed)")


def test_what_is_left_is_what_like_cells_took(run, monkeypatch):
    """And not what the mean cell did: a fast and a slow one have ended, two of each are left."""
    monkeypatch.setattr("harness.run.progress.EVERY", 0.0)
    _, first, second = run([10.0, 1000.0])
    told = "(0:00 elapsed, about 0:50 left as far as 1 of 2 strategies tell)"
    assert first.endswith(told)  # nothing else is known yet
    assert second.endswith("(0:00 elapsed, about 33:40 left)")


def test_a_worker_that_has_just_ended_a_cell_counts(run, monkeypatch):
    """The line is written when it is idle, and it takes the next."""
    monkeypatch.setattr("harness.run.progress.EVERY", 0.0)
    _, _, second = run([10.0, 1000.0], workers=2)
    assert second.endswith("about 16:50 left)")


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


def test_a_terminal_shows_below_the_lines_what_status_shows(run, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("harness.run.progress.EVERY", 0.0)
    shown = "\n".join(run([10.0, 1000.0], stream=Terminal))
    before, after = shown.index("small: 6 cells, 6 waiting"), shown.index("2 ok, 4 waiting")
    assert before < shown.index("[1/6] ok") < shown.index("[2/6] ok") < after
    assert "strategy      ok    failed    running    waiting" in shown
