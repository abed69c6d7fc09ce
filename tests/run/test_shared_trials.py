"""Trials of one cell, divided among processes: each is done once, and what comes of them is the
same, whoever does which, and whoever is killed."""

import json
import threading
from collections import Counter

import pytest

from harness.record.journal import Partial
from harness.record.schema import Trial
from harness.record.store import Store
from harness.record.trial_files import TrialFiles
from harness.run.shared_trials import all_of, divisible, help_with
from harness.suite.budget import Budget

STRATEGY = """
    import json, multiprocessing, os, signal, time
    from contextlib import suppress
    from dataclasses import dataclass
    from pathlib import Path
    from typing import ClassVar

    from harness.api import GradientStrategy, Recipe, hookimpl

    @dataclass(frozen=True)
    class Noted(GradientStrategy):
        '''Trains all; tells who does which trial, and waits until a helper has done one.'''

        notes: str = ""
        kill: bool = False
        name: ClassVar[str] = "noted"

        def recipe(self, backbone, task, hp, run):
            helps = multiprocessing.current_process().name.startswith("trials of")
            notes = Path(self.notes)
            with (notes / "who").open("a") as file:
                file.write(json.dumps([hp["lr"], os.getpid(), helps]) + "\\n")
            if helps and self.kill:
                with suppress(FileExistsError):  # of two helpers at once, one is killed
                    (notes / "killed").touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)
            if helps:
                (notes / "helped").touch()
            until = time.monotonic() + 60
            while not (notes / "helped").exists() and time.monotonic() < until:
                time.sleep(0.05)
            return Recipe(backbone, backbone.parameters_from(0), lr=hp["lr"])

    @hookimpl
    def harness_strategies():
        return [Noted]
"""


@pytest.fixture
def ran(harness, tmp_path, tiny_suite, plugin_file):
    """Runs one cell of six trials; gives its record and who did which trial."""
    plugin = plugin_file("noted", STRATEGY)

    def run(name, *words, kill=False):
        notes = tmp_path / f"notes of {name}"
        notes.mkdir()
        if not words:
            (notes / "helped").touch()
        strategy = f'{{name="noted", args={{notes="{notes}", kill={str(kill).lower()}}}}}'
        ended = harness(
            *("suite", tiny_suite, "--plugin", plugin, "--results", tmp_path / name),
            *("--set", f"strategies=[{strategy}]", "--set", "seeds=[0]"),
            *("--set", "budget.trials=6", *words),
        )
        assert ended.status == 0, ended.err
        (record,) = Store(tmp_path / name / "tiny").records()
        return record, [json.loads(line) for line in (notes / "who").read_text().splitlines()]

    return run


def results(record):
    told = {"number", "state", "settings", "value", "loss", "curve"}
    return [trial.model_dump(include=told) for trial in record.trials]


@pytest.mark.parametrize("kill", [False, True])
def test_results_are_those_of_one_process(ran, tmp_path, kill):
    alone, _ = ran("alone")
    shared, who = ran("shared", "--jobs", "3", "--share-trials", kill=kill)
    assert results(shared) == results(alone)
    assert (shared.metrics, shared.selected) == (alone.metrics, alone.selected)
    by_rate = Counter(rate for rate, *_ in who)
    assert len(by_rate) == 6
    assert any(helped for *_, helped in who)
    # Asked again for what was selected: to restore it and to count its FLOPs.
    del by_rate[shared.trials[shared.selected].settings["lr"]]
    assert sum(by_rate.values()) <= 5 + kill
    assert [*(tmp_path / "shared/tiny/partial").iterdir()] == []


def partial(number):
    return Partial(trials=[Trial(number=number, state="complete", value=number, settings={})])


@pytest.fixture
def files(tmp_path):
    return TrialFiles(tmp_path, "cell", threads=1)


def test_what_others_did_is_taken_in_its_order(files):
    done = []

    def attempt(number):
        done.append(number)
        return partial(number).model_copy(update={"threads": 1})

    with files.claimed(1):
        files.write(1, attempt(1))
    found = [one.trials[0].number for one in all_of(files, 0, 4, attempt)]
    assert found == [0, 1, 2, 3]
    assert done == [1, 0, 2, 3]


def test_what_another_is_at_is_waited_for(files):
    """And what comes after it is done meanwhile."""
    order, let_go = [], threading.Event()

    def attempt(number):
        order.append(number)
        if number == 3:
            let_go.set()
        return partial(number).model_copy(update={"threads": 1})

    taken = threading.Event()

    def other():
        with files.claimed(0):
            taken.set()
            let_go.wait(30)
            files.write(0, partial(0).model_copy(update={"threads": 1}))

    thread = threading.Thread(target=other)
    thread.start()
    taken.wait(30)
    found = [one.trials[0].number for one in all_of(files, 0, 4, attempt)]
    thread.join()
    assert order == [1, 2, 3]
    assert found == [0, 1, 2, 3]


def test_a_helper_leaves_what_the_cell_needs_no_more(files):
    help_with(files, 3, pytest.fail, over=lambda: True)
    assert all(files.read(number) is None for number in range(3))


def test_a_journal_of_other_threads_is_not_believed(files):
    files.write(0, partial(0).model_copy(update={"threads": 2}))
    assert files.read(0) is None


@pytest.mark.parametrize(
    ("budget", "may"),
    [
        ({"trials": 4}, True),
        ({"trials": 1}, False),
        ({"seconds": 4}, False),
        ({"trials": 4, "sampler": "tpe"}, False),
        ({"trials": 4, "pruner": "median"}, False),
    ],
)
def test_only_trials_that_depend_on_no_other_are_divided(budget, may):
    assert divisible(Budget(**budget)) is may
