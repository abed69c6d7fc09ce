"""Meters against work of known length and size."""

import time

import pytest
import torch

from harness.run.meters import Clock

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
