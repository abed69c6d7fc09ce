"""How far a suite is, from the files of its folder alone."""

import os
import platform
import subprocess
import time

import pytest

from harness.errors import HarnessError
from harness.record import owners
from harness.record.monitor import Monitor
from harness.record.owners import Owner
from harness.record.schema import Plan
from harness.record.store import Store


@pytest.fixture
def planned(store, makes):
    """A folder of six planned cells, seeds 0 to 5, of which none has begun."""
    cells = [makes.cell(name, seed=seed) for seed, name in enumerate("abcdef")]
    store.write_plan(Plan(suite="small", cells=cells))
    return store


def at_work(store, cell, started=0.0, silent=0.0, **progress):
    """Have a worker be at a cell since ``started`` seconds, and not heard of for ``silent``."""
    now = time.time()
    owner = Owner(host="alpha", pid=7, device="cpu", started=now - started, **progress)
    owners.write(store.directory, cell, owner)
    os.utime(store.directory / f"running/{cell}.json", times=(now, now - silent))


def states(store):
    return {each.cell.cell: each.state for each in Monitor(store).look().cells}


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_every_cell_is_in_one_state(planned, makes):
    planned.write_record(makes.record("a", seed=0))
    planned.write_record(makes.record("b", seed=1, status="failed", reason="no"))
    planned.write_record(makes.record("c", seed=2, status="interrupted"))
    at_work(planned, "d")
    at_work(planned, "e", silent=600)
    assert states(planned) == {
        "a": "ok",
        "b": "failed",
        "c": "waiting",  # a run goes on with it
        "d": "running",
        "e": "waiting",  # whoever was at it is dead
        "f": "waiting",
    }


def test_a_cell_that_is_tried_again_runs_and_one_whose_worker_died_after_its_record_does_not(
    planned, makes
):
    for cell, seed in (("a", 0), ("b", 1)):
        planned.write_record(makes.record(cell, seed=seed, status="oom"))
    hour_ago = time.time() - 3600
    os.utime(planned.record_file("a"), times=(hour_ago, hour_ago))
    at_work(planned, "a", started=60)
    at_work(planned, "b", started=60)
    assert states(planned) == {
        "a": "running",
        "b": "failed",
        **dict.fromkeys("cdef", "waiting"),
    }


def test_nothing_is_written_and_no_lock_is_taken(planned, makes):
    planned.write_record(makes.record("a", seed=0))
    at_work(planned, "d")
    before = contents(planned.directory)
    Monitor(planned).look()
    assert contents(planned.directory) == before


def test_a_record_that_can_not_be_believed_is_done_again(planned, makes):
    planned.write_record(makes.record("a", seed=0))
    path = planned.record_file("a")
    path.write_text(path.read_text().replace("0.75", "0.99"))
    (first, *_) = Monitor(planned).look().cells
    assert (first.state, first.status) == ("waiting", "damaged")
    assert first.reason == "its record was changed after it was written"


def test_a_second_look_sees_what_has_changed(planned, makes):
    monitor = Monitor(planned)
    assert len(monitor.look().having("ok")) == 0
    planned.write_record(makes.record("a", seed=0))
    assert len(monitor.look().having("ok")) == 1
    planned.write_record(makes.record("a", seed=0, status="failed", reason="another try"))
    assert len(monitor.look().having("ok")) == 0


# ── time left ─────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_known_before_anything_has_ended(planned):
    at_work(planned, "a")
    assert Monitor(planned).look().left is None


def test_what_is_left_is_what_like_cells_took_by_how_many_run_at_once(planned, makes):
    planned.write_record(makes.record("a", seed=0, seconds={"total": 100.0}))
    assert Monitor(planned).look().left == 500  # five wait, and one at a time
    at_work(planned, "b", started=40)
    at_work(planned, "c", started=90)
    found = Monitor(planned).look()
    left = {each.cell.cell: each.left for each in found.cells}
    assert left["b"] == pytest.approx(60, abs=2)
    assert left["c"] == pytest.approx(10, abs=2)
    assert left["d"] == 100
    assert found.left == pytest.approx((60 + 10 + 3 * 100) / 2, abs=2)


def test_a_cell_that_takes_longer_than_its_like_has_nothing_left_but_is_not_done(planned, makes):
    planned.write_record(makes.record("a", seed=0, seconds={"total": 10.0}))
    at_work(planned, "b", started=40)
    assert Monitor(planned).look().cells[1].left == 0


def test_the_first_of_its_kind_goes_by_its_own_trials(planned):
    at_work(planned, "a", started=30, stage="adapt", trial=2, trials=8)
    (running,) = Monitor(planned).look().having("running")
    assert running.left == pytest.approx(30 / 2 * 8 - 30, abs=2)


def test_a_suite_that_has_ended(planned, makes):
    for seed, cell in enumerate("abcdef"):
        planned.write_record(makes.record(cell, seed=seed, status="failed" if seed else "ok"))
    found = Monitor(planned).look()
    assert found.ended
    assert found.left is None


def test_a_folder_without_a_plan_is_refused(tmp_path):
    with pytest.raises(HarnessError, match="holds no results"):
        Monitor(Store(tmp_path)).look()


def test_a_worker_that_was_killed_on_this_machine_is_gone_at_once(planned):
    """Of another machine nobody can tell before it has been silent for a minute."""
    killed = subprocess.Popen(["true"])
    killed.wait()
    for host, state in ((platform.node(), "waiting"), ("elsewhere", "running")):
        (first, *_) = planned.plan().cells
        owner = Owner(host=host, pid=killed.pid, device="cpu", started=time.time())
        owners.write(planned.directory, first.cell, owner)
        assert Monitor(planned).look().cells[0].state == state
