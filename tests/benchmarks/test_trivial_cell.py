"""A cell that has next to nothing to do: what is left is the harness's own work.

Run with ``pytest tests/benchmarks/test_trivial_cell.py --benchmark-enable -s``. No time is
asserted.
"""

import io
import json
import statistics
import tempfile
import time
import tomllib
from contextlib import redirect_stdout
from hashlib import sha256
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from filelock import FileLock
from harness_plugins.executors.inline import Inline
from optuna.samplers import RandomSampler
from torch.utils.flop_counter import FlopCounterMode

from harness.metrics import scores
from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.record import files
from harness.record.reading import checksum
from harness.record.store import Store
from harness.registry import Sources, load_once
from harness.run.events import Events
from harness.run.experiment import Experiment
from harness.run.place import Place
from harness.run.suite import run_suite
from harness.suite.read import parse

REFERENCE = Path(__file__).parents[2] / "results/reference/reference-cpu"

EXAMPLES, CLASSES = 360, 10
"""Of the cell's test set: as many examples as a fifth of the digits."""

CONSTANT = """
from typing import ClassVar

import torch

from harness.api import Strategy, hookimpl


class Guess:
    trained: ClassVar = {}

    def __init__(self, classes):
        self.classes = classes

    def logits(self, inputs):
        return torch.zeros(len(inputs), self.classes)

    def save(self, path):
        pass


class Constant(Strategy):
    name: ClassVar[str] = "constant"

    def adapt(self, backbone, task, hp, run):
        return Guess(task.classes)


@hookimpl
def harness_strategies():
    return [Constant]
"""

TRIVIAL = """
name = "trivial"
seeds = [{seeds}]
strategies = ["constant"]

[budget]
trials = 1
steps = 1

[[backbones]]
model = "conv4"
weights = {{ source = "glyphs", steps = 1 }}
input_size = 16
args = {{ width = 8 }}

[[problems]]
dataset = "digits"
shots = 1
"""


BENCHOPT = {
    "objective.py": """
import numpy as np
from benchopt import BaseObjective


class Objective(BaseObjective):
    name = "guesses"
    sampling_strategy = "run_once"

    def set_data(self, images, labels):
        self.images, self.labels = images, labels

    def get_objective(self):
        return {"images": self.images}

    def get_one_result(self):
        return {"logits": np.zeros((len(self.labels), 10))}

    def evaluate_result(self, logits):
        return {"value": float((logits.argmax(1) != self.labels).mean())}
""",
    "datasets/noise.py": """
import numpy as np
from benchopt import BaseDataset


class Dataset(BaseDataset):
    name = "noise"
    parameters = {"seed": list(range(SEEDS))}

    def get_data(self):
        generator = np.random.default_rng(self.seed)
        images, labels = generator.random((360, 64)), generator.integers(0, 10, 360)
        return {"images": images, "labels": labels}
""",
    "solvers/constant.py": """
import time

import numpy as np
from benchopt import BaseSolver


class Solver(BaseSolver):
    name = "constant"

    def set_objective(self, images):
        self.examples = len(images)

    def run(self, _):
        with open(TIMES, "a") as file:
            print(time.perf_counter(), file=file)
        self.logits = np.zeros((self.examples, 10))

    def get_result(self):
        return {"logits": self.logits}
""",
}
"""The same for benchopt: as many examples, one score, nothing tuned."""

IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def trivial(plugin_file, monkeypatch):
    """Run so many trivial cells, in a folder; the milliseconds from each one's end to the next."""
    sources = Sources(files=(plugin_file("constant", CONSTANT),))
    registry = load_once(sources)

    def run(results, cells):
        seeds = ", ".join(map(str, range(cells)))
        suite = parse(tomllib.loads(TRIVIAL.format(seeds=seeds)), "trivial")
        planned = plan(suite, registry, Datasets(registry), "trivial")
        ended = []

        def emit(hook, arguments):
            if hook == "harness_cell_finished":
                assert arguments["record"].status == "ok", arguments["record"].reason
                ended.append(time.perf_counter())

        place = Place(sources, results / "trivial", results / "cache", ("cpu",), 1, suite.limits)
        events = Events(registry.manager, print)
        monkeypatch.setattr(events, "emit", emit)
        run_suite(planned, planned.cells, Inline(), place, events, warn=print)
        return gaps(ended)

    return run


def gaps(times):
    return [1000 * (after - before) for before, after in pairwise(times)]


@pytest.fixture
def in_memory():
    """A folder for which nothing waits for a disk."""
    if not IN_MEMORY.exists():
        pytest.skip(f"this machine has no {IN_MEMORY}")
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Path(folder)


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not counted"])
@pytest.mark.parametrize("where", ["tmp_path", "in_memory"])
def test_a_trivial_cell(benchmark, request, trivial, monkeypatch, counted, where):
    """Milliseconds from one cell's end to the next one's, in this process, with one worker.

    The strategy answers the same whatever it is asked, and tries one setting. With FLOPs counted
    and throughput measured, which are results; and without, which leaves the harness's own work
    and the data's (drawing the split, looking for leaks, scoring).
    """
    if not benchmark.enabled and (counted, where) != (True, "tmp_path"):
        pytest.skip("more of the same: --benchmark-enable")
    if not counted:
        monkeypatch.setattr(Experiment, "account", lambda experiment: None)
    results, found = request.getfixturevalue(where), []

    def run():
        with tempfile.TemporaryDirectory(dir=results) as folder:
            found[:] = trivial(Path(folder), 200 if benchmark.enabled else 3)

    benchmark.pedantic(run, rounds=1, warmup_rounds=1)
    told = f"median {statistics.median(found):.2f}, mean {statistics.mean(found):.2f} ms a cell"
    print(f"\nFLOPs and throughput {'' if counted else 'not '}measured, in {where}: {told}")


def by_hand(folder, number, labels, record):
    """What a trivial cell leaves, made by the libraries alone: the bound."""
    with FileLock(folder / f"{number}.lock"):
        Path("/proc/self/clear_refs").write_text("5")
        shuffled = [torch.randperm(rows) for rows in labels.bincount().tolist()]
        split = json.dumps(torch.cat(shuffled).tolist()).encode()
        files.write_atomically(folder / sha256(split).hexdigest(), split)
        study = optuna.create_study(direction="maximize", sampler=RandomSampler(number))
        trial = study.ask()
        tested = labels[:EXAMPLES]
        logits = torch.zeros(EXAMPLES, CLASSES)
        found = scores(logits, tested)
        study.tell(trial, found["accuracy"])
        (folder / f"{number}.partial").write_text(json.dumps(found))
        content = io.BytesIO()
        arrays = {"logits": logits.numpy(), "labels": tested.numpy(), "ids": np.arange(EXAMPLES)}
        np.savez(content, allow_pickle=False, **arrays)
        files.write_atomically(folder / f"{number}.npz", content.getvalue())
        for _ in range(2):  # adapting, predicting
            with FlopCounterMode(display=False) as counter:
                torch.zeros(1, CLASSES)
            counter.get_total_flops()
        for size in (1, 256) * 6:  # throughput
            torch.zeros(size, CLASSES)
        Path("/proc/self/status").read_bytes()
        written = record.model_copy(update={"metrics": found}).model_dump_json(indent=1)
        seal = checksum(json.loads(written))
        files.write_atomically(folder / f"{number}.json", f"{written}{seal}".encode())
        (folder / f"{number}.partial").unlink()


def test_a_trivial_cell_against_benchopt_and_the_bound(benchmark, trivial, in_memory, monkeypatch):
    """Three ways, in turn. benchopt, without its cache, scores once and keeps a row of a table;
    ours tunes, scores by all measures, counts FLOPs, and seals split, predictions and record."""
    runner = pytest.importorskip("benchopt.runner")
    monkeypatch.chdir(in_memory)
    cells, times = 50 if benchmark.enabled else 3, in_memory / "times"
    for name, code in BENCHOPT.items():
        file = in_memory / "guesses" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code.replace("SEEDS", str(cells)).replace("TIMES", repr(str(times))))
    record = Store(REFERENCE).records()[0]
    labels = torch.arange(5 * EXAMPLES) % CLASSES
    taken, number = {"benchopt": [], "ours": [], "by hand": []}, count()

    def round_():
        times.unlink(missing_ok=True)
        with redirect_stdout(None):
            runner.run_benchmark("guesses", n_repetitions=1, plot_result=False, no_cache=True)
        taken["benchopt"] += gaps(map(float, times.read_text().split()))
        folder = in_memory / f"round{next(number)}"
        taken["ours"] += trivial(folder, cells)
        ended = []
        for cell in range(cells):
            by_hand(folder, cell, labels, record)
            ended.append(time.perf_counter())
        taken["by hand"] += gaps(ended)

    benchmark.pedantic(round_, rounds=5 if benchmark.enabled else 1)
    medians = {side: statistics.median(found) for side, found in taken.items()}
    told = ", ".join(f"{side} {found:.2f}" for side, found in medians.items())
    print(f"\nmilliseconds a cell: {told}; benchopt / ours", end=" ")
    print(f"{medians['benchopt'] / medians['ours']:.2f}×")


def test_a_forced_write(benchmark, tmp_path):
    """The bound of what is durable: one file and its folder, forced to this disk."""
    content, number = b"x" * 5000, iter(range(10**6))
    benchmark(lambda: files.write_atomically(tmp_path / f"{next(number) % 50}", content))
