"""How far a suite is, in words for a terminal of 80 columns, and as data."""

import json

from harness.record.monitor import CellState, Snapshot
from harness.record.owners import Owner
from harness.record.schema import Coordinates
from harness.report.status_text import as_json, lines

NOW = 1_000_000.0


def cell(number, state, status="", label="LP", owner=None, **changes):
    where = Coordinates(
        cell=f"{number:016x}",
        suite="small",
        label=label,
        strategy="linear_probe",
        dataset="digits",
        problem="digits",
        protocol="transfer",
        shots=5,
        backbone="conv4",
        seed=number,
    )
    fields = {"reason": "", "log": None, "heard": 1.0, "left": None} | changes
    return CellState(where, state, status or state, owner=owner, **fields)


def shown(*cells, width=80, every=False):
    return "\n".join(lines(Snapshot("small", NOW, [*cells]), width, every))


ALPHA = Owner(host="alpha", pid=4123, device="cpu", started=NOW - 62)


def test_the_first_line_counts_all_and_says_when_it_is_over():
    told = shown(
        cell(0, "ok"),
        cell(1, "failed", "oom"),
        cell(2, "running", "pending", owner=ALPHA, left=120.0),
        cell(3, "running", "pending", owner=ALPHA, left=60.0),
        cell(4, "waiting", "pending", left=180.0),
    )
    assert told.splitlines()[:2] == [
        "small: 5 cells, 1 ok, 1 failed, 2 running, 1 waiting",
        "about 3 min left, 2 at a time",
    ]


def test_a_suite_that_nobody_runs_takes_that_long_once_it_is():
    told = shown(cell(0, "ok"), cell(1, "waiting", "pending", left=5.0))
    assert told.splitlines()[1] == "about 5 s left once it runs, one cell at a time"
    told = shown(cell(1, "waiting", "pending"))
    assert told.splitlines()[:2] == [
        "small: 1 cell, 1 waiting",
        "no estimate yet of the time left",
    ]
    assert shown(cell(0, "ok")).splitlines()[0] == "small: 1 cell, 1 ok"


def test_an_estimate_says_when_some_strategies_have_not_ended_a_cell():
    """One whose cells have all failed takes no more time."""
    told = shown(
        cell(0, "ok", label="probe"),
        cell(1, "failed", "oom", label="lora"),
        cell(2, "waiting", "pending", left=5.0, label="probe"),
        cell(3, "waiting", "pending", left=5.0, label="full"),
    )
    rests_on = "as far as 1 of 2 strategies tell"
    assert told.splitlines()[1] == f"about 10 s left once it runs, one cell at a time {rests_on}"


def test_a_running_cell_has_its_worker_age_trial_and_time_left():
    at = ALPHA.model_copy(update={"stage": "adapt", "done": 9, "trial": 2, "trials": 8})
    told = shown(cell(0, "running", owner=at, left=40.0))
    assert "  LP on digits, 5-shot, seed 0 (conv4)\n" in told
    assert "    trial 3 of 8, 1 min 2 s so far, about 40 s left; alpha, pid 4123, cpu" in told


def test_a_stage_that_is_no_trial_is_told_by_its_name():
    at = ALPHA.model_copy(update={"stage": "pretrain", "done": 1200, "total": 5000})
    assert "pretrain 1,200 of 5,000, 1 min 2 s so far; alpha" in shown(cell(0, "running", owner=at))
    at = ALPHA.model_copy(update={"stage": "trial", "trial": 4})  # a budget of seconds has no end
    assert "    trial 5, 1 min 2 s so far" in shown(cell(0, "running", owner=at))


def test_failures_are_told_once_each_with_how_many_there_are():
    no = {"reason": "ValueError: no (mine.py, line 12)", "log": "logs/abc.log"}
    told = shown(
        cell(0, "failed", reason="another"),
        cell(1, "failed", **no),
        cell(2, "failed", label="maml", **no),
        cell(3, "failed", "timeout"),
    )
    found = told.partition("not ok\n")[2].splitlines()
    assert found == [
        "  2 × failed: ValueError: no (mine.py, line 12)",
        "    2 cells, LP, maml on digits (seeds 1, 2); log: logs/abc.log",
        "  1 × failed: another",
        "    LP on digits (seed 0)",
        "  1 × timeout",
        "    LP on digits (seed 3)",
    ]


def test_strategies_are_counted_apart():
    told = shown(cell(0, "ok"), cell(1, "ok"), cell(2, "waiting"), cell(3, "ok", label="maml"))
    rows = [line.split() for line in told.splitlines()]
    assert ["strategy", "ok", "failed", "running", "waiting"] in rows
    assert ["LP", "2", "–", "–", "1"] in rows
    assert ["maml", "1", "–", "–", "–"] in rows


def test_who_gave_a_cell_up_is_told():
    told = shown(cell(0, "waiting", "pending", owner=ALPHA, heard=7200.0))
    assert "  2 h ago, alpha, pid 4123: LP on digits, 5-shot, seed 0 (conv4)" in told


def test_every_cell_has_a_line_if_that_is_asked_for():
    told = shown(cell(0, "ok"), cell(1, "waiting", "interrupted"), every=True).splitlines()
    assert told[-2:] == [
        "0000000000000000  ok           LP on digits, 5-shot, seed 0 (conv4)",
        "0000000000000001  interrupted  LP on digits, 5-shot, seed 1 (conv4)",
    ]


def test_no_line_is_longer_than_the_terminal():
    long = {"label": "a strategy with a name that goes on and on " * 3, "owner": ALPHA}
    told = shown(
        cell(0, "running", left=1e5, **long),
        cell(1, "waiting", heard=9e4, **long),
        cell(2, "failed", reason="a reason that goes on and on " * 9, label=long["label"]),
        width=80,
        every=True,
    ).splitlines()
    assert max(map(len, told)) <= 80


def test_programs_get_it_as_data():
    snapshot = Snapshot(
        "small", NOW, [cell(0, "ok"), cell(1, "running", "pending", owner=ALPHA, left=3.0)]
    )
    told = json.loads(json.dumps(as_json(snapshot)))
    assert told["counts"] == {"ok": 1, "failed": 0, "running": 1, "waiting": 0}
    assert told["seconds_left"] == 3.0
    done, running = told["cells"]
    assert (done["state"], done["owner"], done["reason"]) == ("ok", None, None)
    assert running["owner"]["host"] == "alpha"
