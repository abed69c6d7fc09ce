"""Rounds over cells: others' work is not done again, attempts are counted, devices shared out."""

import os
import threading
import time
from typing import ClassVar

import pytest

from harness.api import Executor, HarnessError
from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.record.journal import Journal, Partial
from harness.record.locks import locked
from harness.record.schema import Trial
from harness.record.store import Store
from harness.registry import Sources, load_once
from harness.run import stopping
from harness.run import suite as rounds
from harness.run.job import CellJob
from harness.run.place import Place
from harness.run.suite import run_suite
from harness.suite.read import parse

SUITE = {
    "name": "three",
    "seeds": [0, 1, 2],
    "strategies": ["linear_probe"],
    "budget": {"trials": 1, "steps": 2, "batch_size": 16},
    "backbones": [{"model": "conv4", "weights": "random", "input_size": 16, "args": {"width": 8}}],
    "problems": [{"dataset": "digits", "shots": [2]}],
}


TRIAL = Trial(number=0, state="complete", settings={}, value=0.5, loss=1.0)


class Lends(Executor):
    """Gives each job to a function in place of running it."""

    name: ClassVar[str] = "lends"

    def __init__(self, do):
        self.do, self.rounds = do, 0

    def run(self, jobs, emit, *, workers):
        self.rounds += 1
        for job in jobs:
            self.do(job, emit)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a suite of three cells by a function; gives the store, and what was heard."""
    monkeypatch.setattr(rounds, "WAIT", 0.02)
    stopping.forget()
    registry = load_once(Sources())

    def run(do, needed=None, **limits):
        suite = parse({**SUITE, "limits": limits}, "test")
        planned = plan(suite, registry, Datasets(registry), "test")
        place = Place(
            sources=Sources(),
            directory=tmp_path / "results",
            cache=tmp_path / "cache",
            workers=("cpu",),
            readers=1,
            limits=planned.suite.limits,
        )
        heard = []

        class Ears:
            def emit(self, hook, arguments):
                heard.append((hook, arguments))

        run.executor = Lends(do)
        asked = None if needed is None else lambda: needed(planned.cells, Store(place.directory))
        store = run_suite(
            planned,
            planned.cells,
            run.executor,
            place,
            Ears(),
            needed=asked,
            warn=run.warn,
        )
        ended = [a for hook, a in heard if hook == "harness_cell_finished"]
        run.elsewhere = [a["record"].seed for a in ended if a["elsewhere"]]
        return store, [a["record"] for a in ended]

    run.warnings = []
    run.warn = run.warnings.append
    yield run
    stopping.forget()


def inline(job, emit):
    job.run(emit, "cpu")


def test_each_cell_is_run_once_and_told_once(run):
    store, finished = run(inline)
    assert [record.status for record in store.records()] == ["ok"] * 3
    assert sorted(r.seed for r in finished) == [0, 1, 2]
    assert run.executor.rounds == 1
    assert run.elsewhere == []
    _, finished = run(inline)
    assert finished == []


def test_cells_are_needed_when_those_before_have_ended(run):
    """The plan of the folder has what was needed so far, whenever it is stopped."""

    def one_more(cells, store):
        ended = [cell for cell in cells if store.record(cell.cell)]
        return frozenset(cell.cell for cell in cells[: min(len(ended) + 1, 2)])

    store, finished = run(inline, needed=one_more)
    assert sorted(record.seed for record in finished) == [0, 1]
    assert run.executor.rounds == 2
    assert [cell.seed for cell in store.plan().cells] == [0, 1]
    _, finished = run(inline, needed=one_more)
    assert finished == []


def test_a_cell_that_another_runner_is_at_is_waited_for(run, tmp_path):
    """And told, though this runner did not do it."""
    begun = threading.Event()

    def another(job):
        with locked(tmp_path / "results", job.cell.cell):
            begun.set()
            time.sleep(0.3)
        job.run(lambda hook, arguments: None, "cpu")

    def do(job, emit):
        if job.cell.seed == 1 and not begun.is_set():
            threading.Thread(target=another, args=(job,)).start()
            assert begun.wait(5)
        job.run(emit, "cpu")  # nothing happens while it is locked

    store, finished = run(do)
    assert len(store.records()) == 3
    assert sorted(record.seed for record in finished) == [0, 1, 2]
    assert run.executor.rounds > 1
    assert run.elsewhere == [1]


def test_what_another_runner_did_is_told_when_it_is_come_to(run):
    """And not when all that this runner does itself has ended."""

    registry = load_once(Sources())
    cells = plan(parse(SUITE, "test"), registry, Datasets(registry), "test").cells

    def do(job, emit):
        if job.cell.seed == 0:
            CellJob(cells[1], job.place, 0).run(lambda hook, arguments: None, "cpu")
        job.run(emit, "cpu")

    _, finished = run(do)
    assert [record.seed for record in finished] == [0, 1, 2]
    assert run.elsewhere == [1]


def test_another_attempt_is_made_where_the_suite_asks_for_it(run):
    def crash(job, emit):
        job.lost("crashed", "it died", emit, "cpu")

    store, finished = run(crash, retries=2)
    assert [record.attempts for record in store.records()] == [3, 3, 3]
    assert [record.attempts for record in finished] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    store, finished = run(inline)  # by default, what has a record is done
    assert finished == []


@pytest.mark.parametrize("told", [True, False])
def test_a_process_killed_just_after_its_record_leaves_no_journal(run, tmp_path, told):
    """Whether its runner lives to hear of it or was killed too."""

    def dies(job, emit):
        job.run(lambda hook, arguments: None, "cpu")
        journal = Journal(tmp_path / "results", job.cell.cell)
        journal.write(Partial())
        journal.checkpoint.touch()
        record = tmp_path / f"results/records/{job.cell.cell}.json"
        os.utime(record)  # what a killed process leaves is older
        if told:
            job.lost("crashed", "it died", emit, "cpu")

    store, _ = run(dies)
    assert [record.status for record in store.records()] == ["ok"] * 3
    run(inline)
    assert not [*tmp_path.glob("results/partial/*")]


def test_the_journal_of_a_later_attempt_stays(run, tmp_path):
    def fails(job, emit):
        job.lost("failed", "for a reason", emit, "cpu")
        Journal(tmp_path / "results", job.cell.cell).write(Partial(trials=[TRIAL]))

    run(fails)
    run(inline)
    assert len([*tmp_path.glob("results/partial/*")]) == 3


def test_a_lost_cell_that_had_written_its_record_keeps_it(run):
    """Its process may die between the record and the news of it."""

    def late(job, emit):
        job.run(lambda hook, arguments: None, "cpu")
        job.lost("crashed", "it died", emit, "cpu")

    store, finished = run(late)
    assert [record.status for record in store.records()] == ["ok"] * 3
    assert [record.status for record in finished] == ["ok"] * 3


def test_an_executor_that_leaves_cells_undone_is_named(run):
    with pytest.raises(HarnessError, match="executor lends left 3 cells undone, such as linear"):
        run(lambda job, emit: None)


def test_a_wish_to_stop_ends_the_rounds(run):
    def stop(job, emit):
        inline(job, emit)
        stopping.ask()

    store, finished = run(stop)
    assert len(store.records()) == len(finished) == 1


def test_a_damaged_record_is_set_aside_and_its_cell_done_again(run, tmp_path):
    run(inline)
    (file, *_) = sorted((tmp_path / "results" / "records").iterdir())
    file.write_text(file.read_text().replace('"accuracy"', '"accuracy "', 1))
    _, finished = run(inline)
    assert [record.cell for record in finished] == [file.stem]
    assert len(run.warnings) == 1
    assert "set-aside" in run.warnings[0]
    assert len(list((tmp_path / "results" / "set-aside").rglob("*.json"))) == 1


def test_litter_of_killed_processes_is_swept(run, tmp_path):
    run(inline)
    old = tmp_path / "results" / "records" / ".0123.json.abcdefgh.tmp"
    old.write_text("half a rec")
    os.utime(old, (0, 0))
    run(inline)
    assert not old.exists()
