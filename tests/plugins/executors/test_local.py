"""Processes of cells: their ends, attempts, and what they leave; see also ``tests/unbreakable``."""

import json
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from harness_plugins.executors.inline import Inline
from harness_plugins.executors.local import Local

from harness.api import HarnessError
from harness.record.store import Store
from harness.report import write

CRASH = """
    import os
    from dataclasses import dataclass
    from pathlib import Path
    from typing import ClassVar

    from harness_plugins.strategies.linear_probe import LinearProbe

    from harness.api import hookimpl

    @dataclass(frozen=True)
    class Crash(LinearProbe):
        '''Ends its process in the second trial, as often as there is a file for it.'''

        name: ClassVar[str] = "crash"
        folder: str = "."

        def adapt(self, backbone, task, hp, run):
            if hp != self.defaults:
                for file in sorted(Path(self.folder).glob("crash-*")):
                    file.unlink()
                    os._exit(7)
            with open(Path(self.folder) / "done", "a") as file:
                print(hp["lr"], file=file)
            return super().adapt(backbone, task, hp, run)

    @hookimpl
    def harness_strategies():
        return [Crash]
"""


@pytest.fixture
def crashing(harness, tiny_suite, plugin_file, tmp_path):
    """Runs one cell that crashes this often, beside a healthy one; gives how it ended and rows."""
    plugin = plugin_file("crash", CRASH)
    strategy = f"{{ name = 'crash', args = {{ folder = '{tmp_path}' }} }}"

    def run(times, *words):
        for number in range(times):
            (tmp_path / f"crash-{number}").touch()
        ended = harness(
            *("suite", tiny_suite, "--plugin", plugin, "--jobs", "2", "--format", "json"),
            *("--set", f"strategies=[{strategy}, 'linear_probe']", "--set", "seeds=[0]", *words),
        )
        return ended, json.loads(ended.out)

    return run


def test_a_process_that_dies_takes_only_its_cell_with_it(crashing, tmp_path):
    ended, (crashed, healthy) = crashing(1)
    assert ended.status == 1, ended.err
    assert crashed["status"] == "crashed"
    assert crashed["reason"] == "its process ended by itself, with exit code 7"
    assert (crashed["accuracy"], crashed["attempts"]) == (None, 1)
    assert healthy["status"] == "ok"
    assert "crashed: crash on digits (seed 0): its process ended by itself" in ended.err
    assert "crashed: Its log ends with where that was" in ended.err
    assert len((tmp_path / "done").read_text().splitlines()) == 1

    again, (mended, _) = crashing(0, "--retry", "crashed")
    assert again.status == 0, again.err
    assert (mended["status"], mended["attempts"]) == ("ok", 2)
    # The first trial is not tried again; the one that is selected is asked for what it learned.
    assert len(set((tmp_path / "done").read_text().splitlines())) == 2


@pytest.mark.parametrize(("crashes", "status"), [(2, "ok"), (3, "crashed")])
def test_a_suite_may_ask_for_more_attempts(crashing, crashes, status):
    limits = "limits={ retries = 2, retry = ['crashed'] }"
    ended, (row, healthy) = crashing(crashes, "--set", limits)
    assert (row["status"], row["attempts"]) == (status, 3)
    assert (healthy["status"], healthy["attempts"]) == ("ok", 1)
    assert "[2/2]" in ended.err
    assert "[3/2]" not in ended.err


def test_inline_needs_no_process(harness, tiny_suite, plugin_file, monkeypatch, tmp_path):
    monkeypatch.setattr(write, "write_report", lambda report, *rest: report.directory)
    where = """
        import os
        from harness.api import hookimpl
        from harness_plugins.strategies.linear_probe import LinearProbe

        class Where(LinearProbe):
            name = "where"

            def adapt(self, backbone, task, hp, run):
                print(os.getpid())
                return super().adapt(backbone, task, hp, run)

        @hookimpl
        def harness_strategies():
            return [Where]
    """
    words = "--plugin", plugin_file("where", where), "--set", "strategies=['where']"
    ended = harness("suite", tiny_suite, *words, "--inline")
    assert ended.status == 0, ended.err
    assert f"{os.getpid()}\n" in ended.out
    ended = harness("suite", tiny_suite, *words, "--results", "elsewhere")
    assert f"{os.getpid()}\n" not in ended.out
    for record in Store(tmp_path / "elsewhere" / "tiny").records():
        log = tmp_path / "elsewhere" / "tiny" / record.log
        assert set(log.read_text().split()).isdisjoint({str(os.getpid())})
    refused = harness("suite", tiny_suite, "--inline", "--jobs", "2", "--results", "third")
    assert refused.status == 2
    assert refused.err.endswith("at a time. Give one --device and no --jobs\n")


@dataclass(frozen=True)
class Noted:
    """A job that writes where it ran, and may kill what started it."""

    folder: Path
    number: int
    deadly: bool = False
    timeout: float | None = None
    memory: int | None = None
    heard: list = field(default_factory=list)

    @property
    def title(self):
        return f"job {self.number}"

    @property
    def log(self):
        return self.folder / f"{self.number}.log"

    def warm(self):
        (self.folder / f"warm-{os.getpid()}").touch()

    def run(self, emit, device):
        time.sleep(0.05)
        if self.deadly:
            os.kill(os.getppid(), 9)
            time.sleep(60)
        emit("ran", {"job": self.number, "device": device, "parent": os.getppid()})

    def lost(self, status, reason, emit, device):
        emit("lost", {"job": self.number, "status": status, "reason": reason})


@pytest.fixture
def run(warm_server, tmp_path, monkeypatch):
    """Runs noted jobs; gives the events."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def run(executor, jobs, workers):
        told = []
        executor.run(jobs, lambda hook, given: told.append((hook, given)), workers=workers)
        return told

    return run


@pytest.fixture
def noted(tmp_path):
    """Makes jobs of a module that other processes can import, too."""
    import importlib

    return lambda number, **how: importlib.import_module("test_local").Noted(
        tmp_path, number, **how
    )


def test_workers_take_turns_on_devices(run, noted):
    told = run(Local(), [noted(n) for n in range(12)], ["cuda:0", "cuda:1"])
    assert sorted(given["job"] for _, given in told) == list(range(12))
    devices = [given["device"] for _, given in told]
    assert min(devices.count("cuda:0"), devices.count("cuda:1")) >= 3


def test_jobs_are_taken_one_by_one(run, noted):
    """Until there is a worker for it, another runner may do a job."""
    taken, running = [], []

    def jobs():
        for number in range(6):
            taken.append(number)
            running.append(len(taken) - len([1 for hook, _ in told if hook == "ran"]))
            yield noted(number)

    told = []
    Local().run(jobs(), lambda hook, given: told.append((hook, given)), workers=["cpu", "cpu"])
    assert max(running) <= 3


def test_no_job_is_no_process(run, tmp_path):
    assert run(Local(), [], ["cpu"]) == []
    assert run(Inline(), [], ["cpu"]) == []


def test_who_kills_the_nursery_is_told_from_its_neighbours(run, noted):
    jobs = [noted(0), noted(1, deadly=True), noted(2), noted(3)]
    told = run(Local(), jobs, ["cpu", "cpu"])
    # One that had told all when the nursery died is given out again: a cell then finds its record.
    assert {given["job"] for hook, given in told if hook == "ran"} == {0, 2, 3}
    assert [given for hook, given in told if hook == "lost"] == [
        {
            "job": 1,
            "status": "crashed",
            "reason": "the process that had started it was lost each time",
        }
    ]


def test_inline_refuses_several_workers(run, noted):
    with pytest.raises(HarnessError, match="--inline runs one cell at a time"):
        run(Inline(), [noted(0)], ["cpu", "cpu"])
    assert replace(noted(0)).title == "job 0"
