"""``harness status``: how far a suite is, by looking at its folder."""

import json
import os
import subprocess
import sys
import time

import pytest

from harness.record import owners
from harness.record.locks import locked
from harness.record.owners import Owner


def test_a_suite_that_is_done_is_told_so(harness, results, unchanged):
    ended = harness("status", results)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == "tiny: 4 cells, 4 ok"


def test_the_exit_status_tells_what_is_left(harness, results, tiny_suite):
    record = min((results / "records").glob("*.json"))
    record.unlink()
    assert harness("status", results).status == 3
    mine = harness("status", results, "--format", "json")
    assert mine.status == 3
    found = json.loads(mine.out)
    assert found["counts"] == {"ok": 3, "failed": 0, "running": 0, "waiting": 1}
    (left,) = (cell["seconds_left"] for cell in found["cells"] if cell["state"] == "waiting")
    assert left > 0


def test_a_cell_that_another_process_is_at_is_seen_without_its_lock(harness, results):
    record = min((results / "records").glob("*.json"))
    record.unlink()
    now = time.time()
    with locked(results, record.stem) as ours:
        assert ours
        owners.write(
            results, record.stem, Owner(host="elsewhere", pid=1, device="cuda:1", started=now - 9)
        )
        ended = harness("status", results, "--cells")
    assert ended.status == 3
    assert "elsewhere, pid 1, cuda:1" in ended.out
    assert f"{record.stem}  running " in ended.out


def test_failures_are_grouped_and_the_suite_counts_as_not_ok(
    harness, edited, toy, no_report, tmp_path
):
    suite = edited('"full_finetune"', '"raises"')
    assert harness("suite", suite, *toy).status == 1
    ended = harness("status", "results/tiny")
    assert ended.status == 1
    assert "tiny: 4 cells, 2 ok, 2 failed\n" in ended.out
    assert "2 × failed: ZeroDivisionError: it does not add up (toy_plugin.py, line " in ended.out


def test_who_runs_a_cell_is_told_while_it_runs_and_leaves_nothing_behind(results):
    assert [*(results / "running").iterdir()] == []


def test_watching_ends_with_the_suite(harness, results):
    ended = harness("status", results, "--watch")
    assert ended.status == 0
    assert ended.out.count("tiny: 4 cells, 4 ok") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudoterminals")
def test_watching_redraws_on_a_terminal(results):
    ours, theirs = os.openpty()
    program = "import sys; from harness.cli import main; sys.argv[0] = 'harness'; main()"
    words = [sys.executable, "-c", program, "status", str(results), "--watch"]
    record = min((results / "records").glob("*.json"))
    content = record.read_bytes()
    record.unlink()
    running = subprocess.Popen(words, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    shown = b""
    try:
        while b"3 ok, 1 waiting" not in shown:
            shown += os.read(ours, 4096)
        record.write_bytes(content)
        while b"4 cells, 4 ok" not in shown:
            shown += os.read(ours, 4096)
        assert running.wait(timeout=20) == 0
    finally:
        running.kill()
        os.close(ours)


def test_a_folder_without_results_is_refused(harness, tmp_path):
    ended = harness("status", tmp_path)
    assert ended.status == 2
    assert "holds no results (no plan.json)" in ended.complaint
