"""What four busy loops beside a small suite cost it: its CPU time should hardly know of them.

Run with ``pytest tests/benchmarks --benchmark-enable -s``. The suite runs by itself and beside the
loops, in turn, each time from nothing; CPU seconds are those of the command and of its cells.
Ratios are printed, with what the wall clock's would be if cores were shared out evenly; no time is
asserted.
"""

import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

LOOPS = 4

COMMAND = "import sys; from harness.cli import main; sys.exit(main())"

SUITE = """
name = "small"
seeds = [0, 1]
strategies = ["from_scratch", "linear_probe", "full_finetune"]

[budget]
trials = 2
steps = 50

[[backbones]]
model = "test_resnet"
weights = { source = "glyphs", steps = 50 }
input_size = 32

[[problems]]
dataset = "digits"
shots = [5]
"""


def _loop():
    while True:
        pass


@contextmanager
def busy(loops):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_loop, daemon=True) for _ in range(loops)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SUITE)
    return path


def run(suite, results):
    """Wall and CPU seconds of the command."""
    words = [sys.executable, "-c", COMMAND, "suite", str(suite), "--device", "cpu"]
    with results.with_suffix(".log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen([*words, "--results", str(results)], stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    cpu = sum(record_seconds(results / "small"))
    assert process.returncode == 0, results.with_suffix(".log").read_text()
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime + cpu


def record_seconds(folder):
    """CPU seconds of the cells, which the system does not count as the command's; pretraining is
    not among them."""
    from harness.record.store import Store

    return Store(folder).frame()["cpu_seconds_total"]


def test_a_suite_beside_busy_loops(benchmark, suite, tmp_path):
    if not benchmark.enabled:
        pytest.skip("takes a while: --benchmark-enable")
    taken = {0: [], LOOPS: []}

    def round_():
        for loops, found in taken.items():
            with busy(loops):
                number = sum(map(len, taken.values()))
                found.append(run(suite, tmp_path / f"results{number}"))

    benchmark.pedantic(round_, rounds=2)
    wall, cpu = (
        statistics.median(times[at] for times in taken[LOOPS])
        / statistics.median(times[at] for times in taken[0])
        for at in (0, 1)
    )
    cores = len(os.sched_getaffinity(0))
    fair = (cores + LOOPS) / cores
    benchmark.extra_info.update(cpu=cpu, wall=wall, fair=fair)
    print(f"\nbeside {LOOPS} busy loops: CPU {cpu:.2f}×, wall {wall:.2f}× ({fair:.2f}× is fair)")
