"""Peak memory against blocks of known size, in this process and in others."""

import multiprocessing
import time

import psutil
import pytest
import torch

from harness.run import memory
from harness.run.memory import PeakMemory

CPU = torch.device("cpu")


@pytest.fixture
def mark_stays(request, monkeypatch, tmp_path):
    """A system that does not lower its high-water mark when asked to, or has none."""
    if request.param == "refused":
        monkeypatch.setattr(memory, "_LOWER", tmp_path)
    if request.param == "ignored":
        monkeypatch.setattr(memory, "_LOWER", tmp_path / "nobody reads this")
    if request.param == "not kept":
        monkeypatch.setattr(memory, "_STATUS", tmp_path / "missing")


@pytest.fixture
def fork():
    """Begins a process that takes bytes for itself until the test ends."""
    context, begun = multiprocessing.get_context("fork"), []

    def fork(size):
        ours, theirs = context.Pipe()

        def work():
            block = torch.ones(size, dtype=torch.uint8)
            theirs.send("taken")
            theirs.recv()
            del block

        process = context.Process(target=work)
        process.start()
        begun.append((process, ours))
        assert ours.recv() == "taken"

    yield fork
    for process, pipe in begun:
        pipe.send("over")
        process.join()


def test_peak_memory_sees_what_was_taken_and_given_back(take):
    size = 400 * 2**20
    with PeakMemory(CPU) as idle:
        pass
    with PeakMemory(CPU) as busy:
        take(size, seconds=0.05)
    with PeakMemory(CPU) as after:
        pass
    assert busy.host - idle.host == pytest.approx(size, rel=0.05)
    assert after.host < busy.host - size / 2
    assert busy.on_device is None


@pytest.mark.parametrize("mark_stays", ["refused", "ignored", "not kept"], indirect=True)
def test_where_the_mark_stays_only_what_was_taken_since_counts(take, mark_stays):
    take(800 * 2**20)
    test_peak_memory_sees_what_was_taken_and_given_back(take)


@pytest.mark.parametrize("mark_stays", ["refused", "ignored"], indirect=True)
def test_where_the_mark_stays_it_tells_a_new_peak_however_short(take, mark_stays):
    mark, now = memory._resident()
    size = mark - now + 200 * 2**20
    with PeakMemory(CPU) as busy:
        take(size)
    assert busy.host == pytest.approx(now + size, rel=0.02)


def taken_by_others(measured, at_least):
    """Looks until so much is seen, or for as long as a busy machine may need."""
    deadline, own = time.monotonic() + 30, psutil.Process().memory_info().rss
    while measured.host - own < at_least and time.monotonic() < deadline:
        time.sleep(0.05)
        measured.look()
    return measured.host - own


@pytest.mark.parametrize("mark_stays", [None, "not kept"], indirect=True)
def test_what_forks_take_counts_and_what_they_share_counts_once(fork, mark_stays):
    size = 300 * 2**20
    shared = torch.ones(2 * size, dtype=torch.uint8)
    with PeakMemory(CPU) as measured:
        fork(size)
        fork(size)
        assert taken_by_others(measured, 1.8 * size) == pytest.approx(2 * size, rel=0.1)
    assert shared[0] == 1


def test_processes_that_were_there_before_do_not_count(fork):
    size = 300 * 2**20
    fork(size)
    with PeakMemory(CPU) as measured:
        fork(size)
        assert taken_by_others(measured, 0.8 * size) == pytest.approx(size, rel=0.1)
