"""A results folder as a suite leaves it, with everything that can go right and wrong in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.record.schema import Coordinates, Plan, Record, Trial
from harness.record.store import COLUMNS, Store
from harness.report.analysis.results import summary, tidy
from harness.report.analysis.tests import Decisions, Evidence, decide, evidence

STRATEGIES = {
    "from_scratch": (0.47, 0.25, 4.0),
    "linear_probe": (0.69, 0.22, 0.4),
    "partial_freeze": (0.68, 0.24, 2.0),
    "full_finetune": (0.66, 0.29, 4.5),
    "maml": (0.71, 0.15, 30.0),
}
"""Accuracy with one shot, what more data adds to it, and seconds a cell."""

TRACEBACK = """Traceback (most recent call last):
  File "cell.py", line 1, in run
    loss = fit(<script>alert(1)</script>)
RuntimeError: shape mismatch & more
"""

CONFIG = {
    "name": "quickstart",
    "seeds": [0, 1, 2],
    "strategies": list(STRATEGIES),
    "budget": {"trials": 8, "steps": 200, "batch_size": 64},
    "backbones": [{"model": "test_resnet", "weights": {"source": "glyphs"}, "input_size": 32}],
    "problems": [{"dataset": "digits", "shots": [1, 5, "all"]}],
}


def coordinates(label: str, shots: Any, seed: int, **changes: Any) -> Coordinates:
    problem = changes.get("problem", "digits")
    fields: dict[str, Any] = {
        "cell": f"{problem}-{label}-{shots}-{seed}-{changes.get('backbone', '')}".replace("/", "_"),
        "suite": "quickstart",
        "label": label,
        "strategy": label,
        "baseline": changes.get("strategy", label) in ("from_scratch", "source_only"),
        "dataset": "digits",
        "problem": "digits",
        "protocol": "transfer",
        "shots": shots,
        "backbone": "test_resnet",
        "seed": seed,
    }
    return Coordinates(**{**fields, **changes})


def record(cell: Coordinates, accuracy: float | None = None, **changes: Any) -> Record:
    """A record; with an accuracy it is ok, and the rest is made up to fit."""
    fields: dict[str, Any] = {"status": "ok", **cell.model_dump()}
    if accuracy is not None:
        draw = np.random.default_rng(cell.seed)
        values = np.clip(accuracy - 0.05 + 0.05 * draw.random(8), 0, 1)
        values[0] = max(accuracy - 0.08, 0)
        best = int(values.argmax())
        seconds = STRATEGIES.get(cell.strategy, (0, 0, 1.0))[2] * (1 + 0.1 * draw.random())
        probe = cell.strategy == "linear_probe"
        fields |= {
            "metrics": {
                "accuracy": accuracy,
                "accuracy_val": float(values[best]),
                "f1_macro": accuracy - 0.01,
                "log_loss": -float(np.log(accuracy)),
            },
            "flops": {"fit": 6.5e8 if probe else 2.4e10, "predict": 133_792.0},
            "throughput": {"1": 412.0, "256": 12_345.0},
            "selected": best,
            "trials": [
                Trial(
                    number=number,
                    state="complete",
                    settings={"lr": 0.001 * (number + 1), "weight_decay": 1e-4},
                    value=float(value),
                    seconds=seconds / 9,
                    curve=[]
                    if probe
                    else [(s, float(value) * (1 - 0.5 * 0.98**s)) for s in range(20, 201, 20)],
                )
                for number, value in enumerate(values)
            ],
            "seconds": {
                "pretrain": 31.5,
                "prepare": 20.0 if cell.strategy == "maml" else 0.0,
                "features": 0.21 if probe else 0.0,
                "tune": seconds,
                "fit": seconds / 9,
                "test": 0.05,
                "total": seconds + (20.05 if cell.strategy == "maml" else 0.05),
            },
            "cached": ["pretrain", "features"] if probe and cell.seed else ["pretrain"],
            "peak_host_bytes": 400_000_000 + int(30_000_000 * seconds),
            "trainable_params": 650 if probe else 471_000,
            "total_params": 471_000,
            "split_hash": f"split{cell.seed}",
        }
    fields |= {
        "provenance": {
            "host": "alpha",
            "device": "cpu",
            "versions": {"python": "3.11.7", "torch": "2.15.0"},
            "started": f"2026-01-0{cell.seed + 1}T00:00:00",
        }
    }
    return Record(**{**fields, **changes})


def accuracy_of(label: str, shots: Any, seed: int) -> float:
    start, rise, _ = STRATEGIES[label]
    luck = np.random.default_rng([seed, *label.encode(), shots == 1]).normal(0, 0.008)
    level = {1: 0.0, 5: 0.85, "all": 1.0}[shots]
    return float(start + rise * level + luck + 0.01 * seed)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``digits`` at 1, 5 and all shots and episodes of ``omniglot``: five strategies, three seeds.

    ``full_finetune`` failed at 5 shots with seed 1, ``maml`` has a cell pending at 1 shot and
    can't do ``all``; the episodes have one seed.
    """
    store = Store(tmp_path_factory.mktemp("results") / "quickstart")
    cells = []
    for shots in (1, 5, "all"):
        for label in STRATEGIES:
            for seed in range(3):
                cell = coordinates(label, shots, seed)
                cells.append(cell)
                if (label, shots, seed) == ("full_finetune", 5, 1):
                    reason = "RuntimeError: shape <b>mismatch</b> & more"
                    failed = record(cell, status="failed", reason=reason, traceback=TRACEBACK)
                    store.write_record(failed)
                elif (label, shots) == ("maml", "all"):
                    reason = "maml needs shots, not all data"
                    store.write_record(record(cell, status="unsupported", reason=reason))
                elif (label, shots, seed) != ("maml", 1, 2):
                    store.write_record(record(cell, accuracy_of(label, shots, seed)))
    for label in STRATEGIES:
        for shots in (1, 5):
            cell = coordinates(
                label, shots, 0, problem="omniglot", dataset="omniglot", protocol="episodes", ways=5
            )
            cells.append(cell)
            done = record(cell, min(0.98, accuracy_of(label, shots, 0) + 0.1))
            done.metrics["accuracy_ci95"] = 0.0071
            store.write_record(done)
    description = "Five strategies on scikit-learn's handwritten digits."
    store.write_plan(Plan(suite="quickstart", description=description, config=CONFIG, cells=cells))
    return store.directory


@pytest.fixture(scope="session")
def frame(results: Path) -> pd.DataFrame:
    return tidy(Store(results).frame())


@pytest.fixture(scope="session")
def tests(frame: pd.DataFrame) -> Evidence:
    return evidence(frame)


@pytest.fixture(scope="session")
def table(frame: pd.DataFrame, tests: Evidence) -> pd.DataFrame:
    return summary(frame, tests.pairwise())


Scores = Mapping[str, Sequence[float | None]]


@pytest.fixture(scope="session")
def decisions(
    results: Path, frame: pd.DataFrame, table: pd.DataFrame, tests: Evidence
) -> Decisions:
    return decide(results, frame, table, tests)


@pytest.fixture(scope="session")
def frame_of() -> Callable[..., pd.DataFrame]:
    """Makes the tidy frame of one setting: for each label an accuracy a seed, None if it failed.

    ``changes`` are put over every row; a strategy's name is its label.
    """

    def make(scores: Scores, **changes: Any) -> pd.DataFrame:
        rows = [
            {
                **coordinates(label, changes.get("shots", 5), seed).model_dump(),
                "status": "failed" if accuracy is None else "ok",
                "reason": "it broke" if accuracy is None else None,
                "accuracy": accuracy,
                "seconds_total": 1.0 + seed,
                "peak_host_bytes": 1e9 + seed,
                **changes,
            }
            for label, accuracies in scores.items()
            for seed, accuracy in enumerate(accuracies)
        ]
        return tidy(pd.DataFrame(rows, columns=list(COLUMNS)))

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes the results folder of the given records and of cells that have none."""

    def write(cells: Sequence[Coordinates], records: Sequence[Record] = (), **plan: Any) -> Path:
        store = Store(tmp_path / "made")
        for done in records:
            store.write_record(done)
        bare = [
            Coordinates(**cell.model_dump(include=set(Coordinates.model_fields))) for cell in cells
        ]
        store.write_plan(Plan(suite="made", cells=bare, **plan))
        return store.directory

    return write


@pytest.fixture(scope="session")
def cell() -> Callable[..., Coordinates]:
    return coordinates


@pytest.fixture(scope="session")
def done() -> Callable[..., Record]:
    return record
