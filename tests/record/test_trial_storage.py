"""Trials of one cell, divided by an Optuna storage among machines that share no folder."""

import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from harness.errors import HarnessError
from harness.record.journal import Partial
from harness.record.schema import Trial
from harness.record.trial_storage import TrialStorage, check
from harness.run.shared_trials import all_of, help_with


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'trials.db'}"
    return request.getfixturevalue("postgres")


@pytest.fixture
def machine(url, tmp_path):
    """Makes the view that a machine has of a cell: its folder is its own."""
    known = []

    def made(name="a", attempt=1, threads=1, silent=60):
        cell = f"cell of {tmp_path.name}"
        one = TrialStorage(tmp_path / name, cell, threads, url, attempt, trials=4, silent=silent)
        known.append(one._storage)
        return one

    yield made
    for storage in known:
        storage.remove_session()
        storage.engine.dispose()


def partial(number, value=0.5):
    trial = Trial(number=number, state="complete", value=value, settings={"lr": 0.1})
    return Partial(trials=[trial], threads=1)


def test_what_one_does_the_other_takes_over(machine):
    ours, theirs, done = machine("a"), machine("b"), []

    def attempt(number):
        done.append(number)
        return partial(number)

    assert [p.trials[0].number for p in all_of(ours, 0, 4, attempt)] == [0, 1, 2, 3]
    found = [*all_of(theirs, 0, 4, pytest.fail)]
    assert (done, found) == ([0, 1, 2, 3], [partial(number) for number in range(4)])


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_each_is_done_once_by_many_at_a_time(machine, url):
    """SQLite, which the other tests make do with, would let two claim one."""
    check(url)
    done, ended = [], []

    def attempt(number):
        done.append(number)
        time.sleep(0.05)
        return partial(number)

    def work(name):
        ours = machine(name)
        ended.append([p.trials[0].number for p in all_of(ours, 0, 4, attempt)])
        ours._storage.remove_session()

    threads = [threading.Thread(target=work, args=(f"m{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ended == [[0, 1, 2, 3]] * 3
    assert sorted(done) == [0, 1, 2, 3]


def test_what_is_claimed_is_refused_to_others_until_it_is_given_up(machine):
    ours, theirs = machine("a"), machine("b")
    with ours.claimed(1) as mine:
        assert mine
        with theirs.claimed(1) as too:
            assert not too
    with theirs.claimed(1) as now:
        assert now
        assert theirs.read(1) is None


def test_what_a_silent_process_was_at_is_free_again(machine):
    """A process that was killed shows no signs of life, and its trial is done by another."""
    dead, alive = machine("a", silent=1), machine("b", silent=1)
    _, row = dead._counting(2)
    assert dead._begin(row)
    with alive.claimed(2) as ours:
        assert not ours
    deadline = time.monotonic() + 30
    taken = False
    while not taken and time.monotonic() < deadline:
        time.sleep(0.2)
        with alive.claimed(2) as taken:
            if taken:
                alive.write(2, partial(2))
    assert taken
    assert dead.read(2) == partial(2)


def test_a_process_that_was_taken_for_dead_changes_nothing(machine):
    slow, fast = machine("a", silent=1), machine("b", silent=1)
    with slow.claimed(0):
        slow._storage.set_trial_state_values(slow._claims[0], TrialState.FAIL)
        with fast.claimed(0) as ours:
            assert ours
            fast.write(0, partial(0, value=0.25))
        slow.write(0, partial(0, value=0.75))
    assert slow.read(0) == fast.read(0) == partial(0, value=0.25)


def test_long_work_shows_signs_of_life(machine):
    ours, theirs = machine("a", silent=2), machine("b", silent=2)
    with ours.claimed(0):
        time.sleep(4)
        with theirs.claimed(0) as taken:
            assert not taken


def test_another_attempt_and_other_threads_begin_anew(machine):
    help_with(machine(), 4, partial, over=lambda: False)
    assert machine("b").read(3) == partial(3)
    assert machine("b", attempt=2).read(3) is None
    assert machine("b", threads=2).read(3) is None


def test_the_study_shows_values_and_settings(machine):
    ours = machine()
    help_with(ours, 4, partial, over=lambda: False)
    study = optuna.load_study(study_name=f"{ours.cell}.1", storage=ours._storage)
    told = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert [(t.value, t.user_attrs["settings"]) for t in told] == [(0.5, {"lr": 0.1})] * 4


def test_a_trial_that_diverged_is_done_too(machine):
    trial = Trial(number=0, state="diverged", value=None, settings={}, reason="loss is nan")
    ended = Partial(trials=[trial], threads=1)
    assert [*all_of(machine(), 0, 1, lambda number: ended)] == [ended]
    assert machine("b").read(0) == ended


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("nonsense", "can't be used"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/none", "can't be used"),
        ("sqlite:///trials.db", "SQLite can't keep two processes from one trial"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_in_a_line(wrong, why):
    with pytest.raises(HarnessError, match=why) as told:
        check(wrong)
    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)
