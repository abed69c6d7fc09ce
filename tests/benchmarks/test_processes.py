"""What a process of its own costs a cell, beyond what the cell does.

Run with ``pytest tests/benchmarks --benchmark-enable -s``. The same trivial jobs run in this
process and in processes of their own, in turn; starting the nursery is not part of it, as it is
paid once a suite. No time is asserted.
"""

import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from harness_plugins.executors.inline import Inline
from harness_plugins.executors.local import Local

JOBS = 40


@dataclass(frozen=True)
class Trivial:
    """A job that tells one event."""

    folder: Path
    number: int
    timeout: float | None = 60.0
    memory: int | None = 2**30

    @property
    def title(self):
        return f"job {self.number}"

    @property
    def log(self):
        return self.folder / f"{self.number}.log"

    def warm(self):
        pass

    def run(self, emit, device):
        emit("ran", {"number": self.number})


@pytest.mark.parametrize("executor", [Inline, Local])
def test_a_trivial_job(benchmark, executor, warm_server, tmp_path, monkeypatch):
    """Milliseconds from one job's event to the next one's, with one worker."""
    import importlib

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    job = importlib.import_module("test_processes").Trivial

    count = JOBS if benchmark.enabled else 4

    def run():
        told = []
        jobs = (job(tmp_path, number) for number in range(count))
        executor().run(jobs, lambda *event: told.append(time.perf_counter()), workers=["cpu"])
        return [1000 * (b - a) for a, b in pairwise(told)]

    gaps = benchmark.pedantic(run, rounds=1)
    assert len(gaps) == count - 1
    benchmark.extra_info["milliseconds a job, median"] = statistics.median(gaps)
    benchmark.extra_info["milliseconds a job, worst"] = max(gaps)
    print(f"{executor.name}: {statistics.median(gaps):.2f} ms a job, at worst {max(gaps):.2f} ms")
