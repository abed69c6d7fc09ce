"""What the harness itself takes, beyond what strategies do.

Run with ``pytest tests/benchmarks/test_bookkeeping.py --benchmark-enable -s``. Reports, exports
and plans are of 10,000 cells: the records of the reference suite, under more names and seeds,
their numbers shaken. Commands run in processes of their own, as a user starts them. No time is
asserted.
"""

import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import redirect_stdout
from hashlib import sha256
from itertools import count, pairwise, product
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from filelock import FileLock
from harness_plugins.executors.inline import Inline
from optuna.samplers import RandomSampler
from torch.utils.flop_counter import FlopCounterMode

from harness.model.metrics import scores
from harness.plan.cells import plan
from harness.plan.configure import Datasets
from harness.plan.read import parse
from harness.plugins import Sources, load_once
from harness.record import durable
from harness.record.belief import checksum
from harness.record.schema import Coordinates, Plan
from harness.record.store import Store
from harness.run.events import Events
from harness.run.experiment import Experiment
from harness.run.job import Place
from harness.run.suite import run_suite

REFERENCE = Path(__file__).parents[2] / "results/reference/reference-cpu"

COPIES = [*product(range(2), range(5), range(2), range(2))]
"""How often each strategy, problem, number of shots and seed of the reference comes: 250 records
become 10,000."""

EXAMPLES, CLASSES = 360, 10
"""Of the predictions that cells with all data have: as many as a fifth of the digits."""


# ── ten thousand cells ────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder of 10,000 finished cells, as a suite leaves it."""
    store = Store(tmp_path_factory.mktemp("results") / "many")
    generator = np.random.default_rng(0)
    planned = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable.os, "fsync", lambda handle: None)  # the only thing that it is spared
        for record, copy in product(Store(REFERENCE).records(), COPIES):
            done = copied(record, copy, generator)
            planned.append(Coordinates(**{n: getattr(done, n) for n in Coordinates.model_fields}))
            store.write_record(done)
            if done.shots == "all":
                store.write_predictions(done.cell, predictions(done.metrics["accuracy"], generator))
        given = Store(REFERENCE).plan()
        store.write_plan(Plan(suite="many", config=given.config, cells=planned))
    return store.directory


def copied(record, copy, generator):
    """A record under another name, its scores and seconds shaken."""
    label, problem, size, seed = copy
    sizes = {"all": "vtab1k"}
    shots = sizes.get(record.shots) or 2 * record.shots if size else record.shots
    names = {
        "cell": f"{record.cell[:8]}{label}{problem}{size}{seed}{record.cell[12:]}",
        "label": f"{record.label}, again" if label else record.label,
        "problem": f"{record.problem} {problem}" if problem else record.problem,
        "shots": shots,
        "seed": record.seed + 5 * seed,
    }

    def shaken(value, spread=0.01):
        return float(np.clip(value + generator.normal(0, spread), 0, 1))

    accuracy = shaken(record.metrics["accuracy"])
    factor = float(np.exp(generator.normal(0, 0.1)))
    trials = [
        trial.model_copy(update={"value": shaken(trial.value), "seconds": factor * trial.seconds})
        for trial in record.trials
    ]
    return record.model_copy(
        update={
            **names,
            "suite": "many",
            "config": {**record.config, "shots": shots, "seed": names["seed"]},
            "meaning": {**record.meaning, "shots": shots, "seed": names["seed"]},
            "trials": trials,
            "metrics": {**record.metrics, "accuracy": accuracy},
            "seconds": {name: factor * value for name, value in record.seconds.items()},
        }
    )


def predictions(accuracy, generator):
    """Logits that are right about as often as the record says."""
    labels = generator.integers(0, CLASSES, EXAMPLES)
    logits = generator.normal(size=(EXAMPLES, CLASSES)).astype(np.float32)
    logits[np.arange(EXAMPLES), labels] += 6 * accuracy - 2
    return {"logits": logits, "labels": labels, "ids": np.arange(EXAMPLES)}


def commanded(*words, cwd=None):
    """Seconds on the wall and of the processor that a command takes, its start included."""
    code = "import sys; sys.argv[0] = 'harness'; from harness.cli import main; main()"
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    line = [sys.executable, "-c", code, *map(os.fspath, words)]
    done = subprocess.run(line, capture_output=True, cwd=cwd)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr.decode()
    return wall, sum(after[:2]) - sum(before[:2])


@pytest.mark.parametrize(
    "words",
    [
        ["report"],
        ["export", "--format", "csv"],
        ["export", "--format", "json"],
        ["export", "--format", "parquet"],
    ],
    ids=" ".join,
)
def test_a_command_on_ten_thousand_records(benchmark, request, words):
    if not benchmark.enabled:
        pytest.skip("takes a minute: --benchmark-enable")
    folder = request.getfixturevalue("folder")
    command, *options = words
    wall, spent = benchmark.pedantic(commanded, (command, folder, *options), rounds=1)
    print(f"\nharness {' '.join(words)}: {wall:.1f} s, of the processor {spent:.1f} s")


WIDE = """
name = "wide"
seeds = [{seeds}]

[budget]
trials = 2

[[backbones]]
model = "conv4"
weights = "random"
input_size = 16
{strategies}{problems}"""
STRATEGY = """
[[strategies]]
name = "linear_probe"
label = "probe {number}"
args = {{ weight_decay = {number}.0 }}
"""
PROBLEM = """
[[problems]]
dataset = "digits"
label = "digits {number}"
val_fraction = 0.{number}
shots = [1, 2, 5, 10]
"""


def wide(seeds):
    """A suite of 200 cells a seed."""
    return WIDE.format(
        seeds=", ".join(map(str, range(seeds))),
        strategies="".join(STRATEGY.format(number=number) for number in range(10)),
        problems="".join(PROBLEM.format(number=number) for number in range(1, 6)),
    )


def test_planning_ten_thousand_cells(benchmark, registry):
    """Checked and laid out, as ``--dry-run`` and ``validate`` do, with the data loaded."""
    table, datasets = tomllib.loads(wide(50)), Datasets(registry)
    datasets.load("digits", {})
    started = time.process_time()
    planned = benchmark(lambda: plan(parse(table, "wide"), registry, datasets, "wide"))
    assert len(planned.cells) == 10_000
    print(f"\n10,000 cells planned; {time.process_time() - started:.2f} s of the processor in all")


@pytest.mark.parametrize("words", [["validate"], ["suite", "--dry-run"]], ids=" ".join)
def test_a_command_on_ten_thousand_planned_cells(benchmark, tmp_path, words):
    if not benchmark.enabled:
        pytest.skip("takes a while: --benchmark-enable")
    suite = tmp_path / "wide.toml"
    suite.write_text(wide(50))
    command, *options = words
    wall, spent = benchmark.pedantic(
        commanded, (command, suite, *options), {"cwd": tmp_path}, rounds=1
    )
    print(f"\nharness {' '.join(words)}: {wall:.1f} s, of the processor {spent:.1f} s")


def test_help(benchmark):
    taken = []
    benchmark.pedantic(lambda: taken.append(commanded("--help")), rounds=5)
    wall, spent = map(statistics.median, zip(*taken, strict=True))
    print(f"\nharness --help: {wall:.2f} s, of the processor {spent:.2f} s")


# ── a trivial cell ────────────────────────────────────────────────────────────────────────────

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
        durable.write_atomically(folder / sha256(split).hexdigest(), split)
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
        durable.write_atomically(folder / f"{number}.npz", content.getvalue())
        for _ in range(2):  # adapting, predicting
            with FlopCounterMode(display=False) as counter:
                torch.zeros(1, CLASSES)
            counter.get_total_flops()
        for size in (1, 256) * 6:  # throughput
            torch.zeros(size, CLASSES)
        Path("/proc/self/status").read_bytes()
        written = record.model_copy(update={"metrics": found}).model_dump_json(indent=1)
        seal = checksum(json.loads(written))
        durable.write_atomically(folder / f"{number}.json", f"{written}{seal}".encode())
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
    benchmark(lambda: durable.write_atomically(tmp_path / f"{next(number) % 50}", content))
