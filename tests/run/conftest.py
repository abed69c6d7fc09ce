"""Cells of small suites, run in this process with strategies that a test brings."""

import mmap
import time
from pathlib import Path

import pytest
import torch

from harness.data.task import OneClass
from harness.plan.cells import plan
from harness.plan.configure import strategy
from harness.plan.datasets import Datasets
from harness.plan.targets import cell_manifest
from harness.record.store import Store
from harness.registry import Registered, Sources, load
from harness.run.cell import run_cell
from harness.run.resources import Resources
from harness.suite.read import parse
from harness.testing import a_run

SMALL = {
    "name": "small",
    "seeds": [0],
    "budget": {"trials": 2, "steps": 4, "batch_size": 16},
    "backbones": [{"model": "conv4", "weights": "random", "input_size": 16, "args": {"width": 8}}],
    "problems": [{"dataset": "digits", "shots": [2]}],
}


class Bench:
    """Plans and runs suites; ``records`` has what came of each cell, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = load(Sources())
        self.events: list[tuple[str, dict]] = []

    def add(self, cls: type, kind: str = "strategy") -> str:
        """Bring a plugin, as its file would."""
        found = Registered(kind, cls.name, cls, "file", Path(__file__))
        self.registry.plugins[kind, cls.name] = found
        return cls.name

    def run(self, *strategies, folder="results", cache="cache", **changes):
        """Run a small suite with some of its entries changed; its records, in order."""
        suite = parse({**SMALL, "strategies": list(strategies), **changes}, "test")
        planned = plan(suite, self.registry, Datasets(self.registry), "test")
        cpu = torch.device("cpu")
        resources = Resources(self.registry, cpu, self.folder / cache, suite.limits)
        self.store = Store(self.folder / folder)
        self.planned, self.cache = planned, self.folder / cache

        def emit(hook, arguments):
            self.events.append((hook, dict(arguments)))

        return [run_cell(cell, resources, self.store, emit) for cell in planned.cells]

    def restored(self, record):
        """The predictor that was saved with a record, restored with other resources; what it was
        tested on, and the true labels."""
        (cell,) = (cell for cell in self.planned.cells if cell.cell == record.cell)
        resources = Resources(self.registry, torch.device("cpu"), self.cache)
        backbone = resources.backbone(cell, lambda stage, done, total: None).backbone
        loaded = resources.datasets.load(cell.dataset, cell.problem_spec.args)
        rows = torch.tensor(cell_manifest(resources.datasets, cell).test)
        split = loaded.data.train
        restored = strategy(self.registry, cell.strategy_spec).strategy.restore(
            self.store.directory / f"predictors/{cell.cell}.safetensors",
            backbone,
            OneClass(tuple(loaded.data.classes)),
            record.trials[record.selected].settings,
            a_run(steps=1, seed=cell.seed),
        )
        inputs = split.placed(resources.pool_of(cell, loaded, backbone, "train"), rows)
        return restored, inputs, split.labels[rows]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def take():
    """Have so many bytes resident for so many seconds, and give them back. By the system itself:
    an allocator may keep what was freed."""

    def take(size, seconds=0.0):
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
            block[:: mmap.PAGESIZE] = bytes(len(range(0, size, mmap.PAGESIZE)))
            time.sleep(seconds)

    return take
