"""A cluster of two machines, both of them this one: cells come out as they do without it."""

import json
import os
import pickle
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from harness_plugins.executors import ray as executor
from harness_plugins.executors.ray import Ray

from harness.api import HarnessError
from harness.record.store import Store
from harness.report import write

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.slow(
    *("harness/executor.py", "harness/run"),
    *("plugins/harness_plugins/executors", "tests/plugins/executors"),
)

PLUGIN = '''
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import ray
from harness_plugins.strategies.linear_probe import LinearProbe

from harness.api import hookimpl
from harness.hashing import seed_of


def meet():
    """Leave the name of this machine, and wait for the other: one alone might do all the work."""
    if not ray.is_initialized():
        return
    Path(f"machine {ray.get_runtime_context().get_node_id()}").touch()
    deadline = time.monotonic() + 120
    while len(list(Path().glob("machine *"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)


@dataclass(frozen=True)
class Witness(LinearProbe):
    """Waits for the other machine."""

    name: ClassVar[str] = "witness"

    def adapt(self, backbone, task, hp, run):
        meet()
        return super().adapt(backbone, task, hp, run)


@dataclass(frozen=True)
class Fragile(LinearProbe):
    """Takes its process with it in the cell with seed 1."""

    name: ClassVar[str] = "fragile"

    def adapt(self, backbone, task, hp, run):
        meet()
        print("this is not data")
        if run.generator("luck").initial_seed() == seed_of(1, "luck"):
            os._exit(7)
        return super().adapt(backbone, task, hp, run)


@hookimpl
def harness_strategies():
    return [Witness, Fragile]


def note(cell, what):
    with open("heard", "a") as file:
        print(cell.cell, what, file=file)


@hookimpl
def harness_cell_started(cell):
    note(cell, "started")


@hookimpl
def harness_trial_finished(cell, trial):
    note(cell, f"trial {trial.number}")


@hookimpl
def harness_cell_finished(cell, record):
    note(cell, "finished")
'''

SUITE = """
name = "spread"
seeds = [0, 1, 2, 3]
strategies = ["witness", "full_finetune", "fragile"]
budget = { trials = 2, steps = 3, batch_size = 16 }
backbones = [{ model = "conv4", weights = "random", input_size = 16, args = { width = 8 } }]
problems = [{ dataset = "digits", shots = 2 }]
"""

COMMAND = """
from harness.cli import main
from harness.report import write
write.write_report = lambda report, *rest: report.directory
main()
"""
"""The command line, without drawing a report."""

MEASURED = {
    "seconds",
    "fit_seconds",
    "peak_host_bytes",
    "peak_device_bytes",
    "throughput",
    "joules",
    "log",
    "provenance",
}
"""What differs between two runs of the same cell; and ``cached``, as caches are a process's own."""


@pytest.fixture(scope="module")
def address():
    """Two nodes of one CPU each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False)
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spread")
    (folder / "spread.toml").write_text(SUITE)
    (folder / "spread_plugin.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def ended(address, folder):
    """The suite, run on the cluster by a command of its own."""
    words = "suite spread.toml --plugin spread_plugin.py --executor ray --jobs 2 --format json"
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *words.split()],
        cwd=folder,
        env={**os.environ, "RAY_ADDRESS": address},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def records(ended, folder):
    """What each cell left on the cluster, by label and seed."""
    store = Store(folder / "results" / "spread")
    return {(cell.label, cell.seed): record for cell, record in store.planned()}


def test_standard_output_is_data_alone(ended):
    assert ended.returncode == 1, ended.stderr
    assert len(json.loads(ended.stdout)) == 12
    assert "this is not data" not in ended.stderr


def test_a_worker_that_dies_takes_only_its_cell_with_it(records):
    statuses = {place: record.status for place, record in records.items()}
    assert statuses.pop(("fragile", 1)) == "crashed"
    assert Counter(statuses.values()) == {"ok": 11}
    assert "worker process died" in records["fragile", 1].reason


def test_both_machines_work(ended, folder):
    assert len(list(folder.glob("machine *"))) == 2


def test_events_of_a_cell_arrive_whole_and_in_order(records, folder):
    heard = {}
    for line in (folder / "heard").read_text().splitlines():
        cell, _, what = line.partition(" ")
        heard.setdefault(cell, []).append(what)
    for record in records.values():
        tried = ["trial 0", "trial 1"] if record.status == "ok" else []
        assert heard.pop(record.cell) == ["started", *tried, "finished"]
    assert not heard


def test_records_are_bit_for_bit_those_of_the_local_executor(
    records, folder, harness, unmeasured, tmp_path, monkeypatch
):
    monkeypatch.setattr(write, "write_report", lambda report, *rest: report.directory)
    (tmp_path / "spread_plugin.py").write_text(PLUGIN)
    only = ("--only", "label=witness,full_finetune")
    alone = harness("suite", folder / "spread.toml", "--plugin", "spread_plugin.py", *only)
    assert alone.status == 0, alone.err
    found = Store(tmp_path / "results" / "spread").records()
    assert len(found) == 8
    for here in found:
        there = records[here.label, here.seed]
        assert unmeasured(there) == unmeasured(here)
        predictions = []
        for place in (folder, tmp_path):
            file = place / f"results/spread/predictions/{here.cell}.npz"
            with np.load(file, allow_pickle=False) as arrays:
                predictions.append({name: array.tobytes() for name, array in arrays.items()})
        assert predictions[0] == predictions[1]


class Watched:
    """A job, and a queue of events: what happens in which order."""

    timeout = 12.0

    def __init__(self):
        self.order = []

    def warm(self):
        self.order.append("loaded what cells share")

    def run(self, send, device):
        send("harness_cell_started", {"cell": device})

    def put(self, told):
        hook, _ = pickle.loads(told)
        self.order.append(hook)


def test_the_clock_starts_once_a_worker_has_loaded_what_cells_share():
    job = Watched()
    executor._work(7, job, os.getcwd(), "cpu", job)
    assert job.order == ["loaded what cells share", executor.BEGUN, "harness_cell_started"]


@pytest.mark.parametrize(("began", "late"), [(None, False), (10, False), (14, True)])
def test_waiting_for_a_place_and_for_a_process_is_not_the_cell_s_time(began, late):
    began = {} if began is None else {7: time.monotonic() - began}
    others = {6: time.monotonic() - 100}
    assert executor._is_late(executor.Running(7, Watched()), {**others, **began}) is late


def test_ray_chooses_the_gpu():
    with pytest.raises(HarnessError, match=r"cuda:1: Ray itself hands out GPUs"):
        Ray().run([], lambda hook, arguments: None, workers=["cuda:1"])


def test_nothing_is_started_for_nothing():
    Ray().run([], lambda hook, arguments: None, workers=["cpu", "cpu"])
    assert not ray.is_initialized()
