"""What the harness itself takes, beyond what strategies do.

Run with ``pytest tests/benchmarks/test_bookkeeping.py --benchmark-enable -s``. Reports, exports
and plans are of 10,000 cells: the records of the reference suite, under more names and seeds,
their numbers shaken. Commands run in processes of their own, as a user starts them. No time is
asserted.
"""

import os
import resource
import statistics
import subprocess
import sys
import time
import tomllib
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from harness.plan.cells import plan
from harness.plan.datasets import Datasets
from harness.record import files
from harness.record.schema import Coordinates, Plan
from harness.record.store import Store
from harness.suite.read import parse

REFERENCE = Path(__file__).parents[2] / "results/reference/reference-cpu"

COPIES = [*product(range(2), range(5), range(2), range(2))]
"""How often each strategy, problem, number of shots and seed of the reference comes: 250 records
become 10,000."""

EXAMPLES, CLASSES = 360, 10
"""Of the predictions that cells with all data have: as many as a fifth of the digits."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder of 10,000 finished cells, as a suite leaves it."""
    store = Store(tmp_path_factory.mktemp("results") / "many")
    generator = np.random.default_rng(0)
    planned = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "fsync", lambda handle: None)  # the only thing that it is spared
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
