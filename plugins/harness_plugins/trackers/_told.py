"""What trackers that compare runs are told of a cell: parameters, trials and scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from harness.api import Cell, Record, Trial

Scalar: TypeAlias = bool | int | float | str

COORDINATES = ("cell", "label", "problem", "protocol", "shots", "ways", "backbone", "seed")
"""What a run is found by, beside its settings."""


def parameters(cell: Cell) -> dict[str, Scalar]:
    """Where a cell stands and what it is given: ``label``, ``seed``, ``budget.steps`` …"""
    told = {name: getattr(cell, name) for name in COORDINATES}
    told |= {f"budget.{name}": value for name, value in cell.budget.model_dump().items()}
    return {name: _scalar(value) for name, value in told.items() if value is not None}


def selected(record: Record) -> dict[str, Scalar]:
    """The hyperparameters that validation selected: ``hp.lr`` …"""
    chosen: list[Mapping[str, Any]] = [
        trial.settings for trial in record.trials if trial.number == record.selected
    ]
    return {f"hp.{name}": _scalar(value) for each in chosen for name, value in each.items()}


def tried(trial: Trial) -> dict[str, float]:
    """What came of a trial: ``trial/value``, ``trial/loss`` and ``trial/seconds``."""
    told = {"value": trial.value, "loss": trial.loss, "seconds": trial.seconds}
    return {f"trial/{name}": value for name, value in told.items() if value is not None}


def scores(record: Record) -> dict[str, float]:
    """The test's scores, as the export names them, and seconds by phase."""
    seconds = {f"seconds_{phase}": value for phase, value in record.seconds.items()}
    return {**record.metrics, **seconds}


def _scalar(value: Any) -> Scalar:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)
