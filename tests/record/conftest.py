"""Cells and records, made up."""

import pytest

from harness.record.schema import Coordinates, Plan, Record, Trial
from harness.record.store import Store


class Makes:
    """Makes cells and records that differ from each other as asked for."""

    @staticmethod
    def cell(key="abc", **changes):
        fields = {
            "cell": key,
            "suite": "small",
            "label": "LP",
            "strategy": "linear_probe",
            "dataset": "digits",
            "problem": "digits",
            "protocol": "transfer",
            "shots": 5,
            "backbone": "conv4",
            "seed": 0,
        }
        return Coordinates(**fields | changes)

    @classmethod
    def record(cls, key="abc", **changes):
        coordinates = {k: changes.pop(k) for k in list(changes) if k in Coordinates.model_fields}
        fields = {
            "status": "ok",
            "metrics": {"accuracy": 0.75, "accuracy_val": 0.5},
            "seconds": {"pretrain": 3.0, "tune": 1.5, "total": 2.0},
            "trials": [
                Trial(number=0, state="complete", settings={"lr": 0.1}, value=0.5),
                Trial(number=1, state="pruned", settings={"lr": 0.2}),
                Trial(number=2, state="failed", settings={"lr": 0.3}),
                Trial(number=3, state="diverged", settings={"lr": 0.4}),
            ],
            "cached": ["pretrain", "features"],
            "trainable_params": 650,
            "split_hash": "0f",
        }
        return Record(**cls.cell(key, **coordinates).model_dump(), **fields | changes)


@pytest.fixture(scope="session")
def makes():
    return Makes


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results" / "small")


@pytest.fixture
def mixed(store, makes):
    """A folder with an ok, a failed and a pending cell, and an episodic one."""
    cells = [
        makes.cell("a", seed=0),
        makes.cell("b", seed=1),
        makes.cell("c", seed=2, shots="all"),
        makes.cell("d", protocol="episodes", ways=5, shots=1),
    ]
    store.write_plan(Plan(suite="small", cells=cells))
    store.write_record(makes.record("a", seed=0))
    reason = 'ValueError: a "quoted"\nline, and ünïcode'
    empty = {"metrics": {}, "trials": [], "seconds": {}, "cached": [], "trainable_params": None}
    store.write_record(makes.record("b", seed=1, status="failed", reason=reason, **empty))
    episodic = {"protocol": "episodes", "ways": 5, "shots": 1}
    metrics = {"accuracy": 1 / 3, "accuracy_ci95": 0.01, "new_metric": 2.5}
    store.write_record(makes.record("d", metrics=metrics, **episodic))
    return store
