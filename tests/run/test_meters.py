"""Meters against work of known length and size."""

import time

import pytest
import torch

from harness.run import meters
from harness.run.meters import Clock, PeakMemory

CPU = torch.device("cpu")


def test_an_inner_phase_stops_the_outer_clock():
    clock = Clock(CPU)
    with clock.phase("outer"):
        time.sleep(0.1)
        with clock.phase("inner"):
            time.sleep(0.2)
        time.sleep(0.1)
    assert clock.seconds["outer"] == pytest.approx(0.2, rel=0.2)
    assert clock.seconds["inner"] == pytest.approx(0.2, rel=0.2)


def test_phases_add_up_to_the_wall_clock():
    clock = Clock(CPU)
    started = time.perf_counter()
    with clock.phase("a"):
        for _ in range(20):
            with clock.phase("b"):
                time.sleep(0.002)
    elapsed = time.perf_counter() - started
    assert sum(clock.seconds.values()) == pytest.approx(elapsed, abs=0.002)


def test_a_running_phase_can_be_read():
    clock = Clock(CPU)
    with clock.phase("a"):
        time.sleep(0.05)
        assert clock.read("a") >= 0.05


@pytest.fixture
def mark_stays(request, monkeypatch, tmp_path):
    """A system that does not lower its high-water mark when asked to."""
    name, path = {
        "refused": ("_LOWER", tmp_path),
        "ignored": ("_LOWER", tmp_path / "nobody reads this"),
        "not kept": ("_STATUS", tmp_path / "missing"),
    }[request.param]
    monkeypatch.setattr(meters, name, path)


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
    now, mark = meters._resident(), meters._high_water_mark()
    size = mark - now + 200 * 2**20
    with PeakMemory(CPU) as busy:
        take(size)
    assert busy.host == pytest.approx(now + size, rel=0.02)
