"""While a cell runs, a file says who is at it and how far it is."""

import os
import platform
import time

import pytest

from harness.record import owners
from harness.run import heartbeat
from harness.run.heartbeat import Heartbeat


@pytest.fixture
def passed_on():
    return []


@pytest.fixture
def alive(tmp_path, passed_on, monkeypatch):
    """A heart that beats fast."""
    monkeypatch.setattr(heartbeat, "BEAT", 0.02)
    return Heartbeat(tmp_path, "abc", "cpu", lambda hook, told: passed_on.append(hook))


def owner_once(tmp_path, true):
    """The owner's file as soon as it says so."""
    for _ in range(500):
        owner, _ = owners.owners(tmp_path)["abc"]
        if true(owner):
            return owner
        time.sleep(0.01)
    raise AssertionError(f"still {owner}")


def test_the_file_is_there_from_the_start_to_the_end(alive, tmp_path):
    with alive:
        owner, _ = owners.owners(tmp_path)["abc"]
        assert (owner.host, owner.pid, owner.device) == (platform.node(), os.getpid(), "cpu")
        assert owner.started == pytest.approx(time.time(), abs=5)
        assert owner.trial is None
    assert owners.owners(tmp_path) == {}


def test_it_is_gone_after_an_error_too(alive, tmp_path):
    with pytest.raises(ZeroDivisionError), alive:
        raise ZeroDivisionError
    assert owners.owners(tmp_path) == {}


def test_progress_is_noted_and_all_events_are_passed_on(alive, tmp_path, passed_on):
    with alive:
        told = {"cell": None, "stage": "trial", "done": 2, "total": 8}
        alive.emit("harness_cell_progress", told)
        alive.emit("harness_cell_progress", told | {"stage": "adapt", "done": 50, "total": 200})
        alive.emit("harness_trial_finished", {})
        owner = owner_once(tmp_path, lambda owner: owner.stage == "adapt")
    assert (owner.trial, owner.trials, owner.done, owner.total) == (2, 8, 50, 200)
    assert passed_on == [*["harness_cell_progress"] * 2, "harness_trial_finished"]


def test_a_sign_is_given_while_nothing_else_happens(alive, tmp_path):
    with alive:
        file = tmp_path / "running/abc.json"
        os.utime(file, times=(0, 0))
        for _ in range(500):
            if file.stat().st_mtime > 1:
                return
            time.sleep(0.01)
    raise AssertionError("no sign was given")
