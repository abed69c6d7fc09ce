"""Meters against work of known length and size."""

import multiprocessing
import time

import pytest
import torch

from harness.record.journal import Partial
from harness.run.meters import Clock, Meters, cpu_seconds

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


class TestCpuSeconds:
    """Of all threads of the process and of processes that it began, beside the wall clock's."""

    @staticmethod
    def burn(seconds):
        """Compute for so long, as this thread's own clock has it."""
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    def test_are_those_of_a_process_that_was_begun_too(self):
        before = cpu_seconds()
        self.burn(0.1)
        own = cpu_seconds() - before
        process = multiprocessing.get_context("fork").Process(target=self.burn, args=(0.3,))
        process.start()
        process.join()
        both = cpu_seconds() - before
        assert own >= 0.08
        assert both - own >= 0.28

    def test_are_none_of_a_process_that_waits(self):
        before = cpu_seconds()
        time.sleep(0.2)
        assert cpu_seconds() - before < 0.15

    def test_of_an_earlier_process_are_added(self):
        meters = Meters(torch.device("cpu"))
        meters.add(Partial(cpu_seconds=100.0))
        with meters:
            self.burn(0.1)
        assert 100.08 <= meters.read()["cpu_seconds"] < 105
