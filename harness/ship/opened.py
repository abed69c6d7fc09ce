"""A chosen model, ready to be used, and what has to be said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from harness.errors import HarnessError
from harness.record.predictions import read_predictions
from harness.record.reading import InvalidFile
from harness.record.schema import Record
from harness.record.store import Store, predictions_file
from harness.registry import Registry
from harness.report.format import plural
from harness.run.place import pick_workers
from harness.run.reopened import (
    VALIDATION,
    Reopened,
    Reopening,
    Restored,
    Trained,
    kept_arrays,
    reopening,
)
from harness.run.resources import Resources
from harness.ship.calibration import Calibration, calibrate
from harness.ship.certificate import agreement
from harness.ship.labelled import labelled
from harness.ship.runtime.drift import Reference, learn


@contextmanager
def opened(record: Record, store: Store, registry: Registry, device: str) -> Iterator[Reopening]:
    """Open a cell, to have a model of it."""
    (worker,) = pick_workers(device, 1)
    resources = Resources(registry, torch.device(worker), store.directory.parent / ".cache")
    with reopening(record, resources, store) as cell:
        yield cell


def tested(cell: Reopening, say: Callable[[str], None]) -> Reopened:
    """The model that a cell selected, with its data; ``say`` where it had to be trained once more.

    Raises:
        HarnessError: as ``reopened``; or the model does not answer to its validation examples what
            it answered when the cell was run.
    """
    model = cell.reopened()
    _require_tested(model)
    if model.again:
        same = "" if model.before is None else ", and answers to its validation examples as then"
        say(f"its model was not kept: it was trained once more{same}")
    return model


def usable(cell: Reopening, say: Callable[[str], None]) -> Restored:
    """The same model, for new inputs alone: where it was kept, no data are loaded."""
    model = cell.kept()
    if model is None:
        return tested(cell, say)
    _require_tested(model)
    return model


def adapted(cell: Reopening, support: Path, column: str, say: Callable[[str], None]) -> Trained:
    """What the settings that a cell of ``episodes`` selected make of a user's own task, of which
    ``support`` is a folder a class.

    Raises:
        HarnessError: the cell is of another protocol, or the examples can't be read.
    """
    record = cell.record
    if record.protocol != "episodes":
        raise HarnessError(
            f"{record.title} is a model of its own classes, which takes no support",
            "Leave out --support, or choose a problem of episodes",
        )
    model = cell.trained_on(labelled(support, cell.backbone, column, say))
    number = len(model.learned)
    say(
        f"adapted to {number:,} examples of {len(model.classes)} classes; its settings were"
        f" selected on tasks of {record.ways} classes with {plural(int(record.shots), 'example')}"
        " each"
    )
    return model


def _require_tested(model: Restored) -> None:
    """A model has to be the one that was tested: what was trained once more answers the same, bit
    for bit; what was kept may be rounded otherwise by another processor."""
    if model.now is None or model.before is None:
        return
    now, before = model.now.numpy(), model.before
    if not (np.array_equal(now, before) if model.again else agreement(before, now).passes):
        raise HarnessError(
            f"{model.record.title}: the model answers otherwise than when it was tested: its code, "
            "its weights or this machine differ",
            "Use the machine that it was run on, or run the suite again here",
        )


def referred(store: Store, record: Record) -> Reference | None:
    """What new inputs of a cell's model are compared with: its answers to the validation examples;
    None where there are too few, or they are of another domain than what is tested."""
    then = kept_arrays(store, record.cell, VALIDATION, "val_labels")
    return learn(then[VALIDATION]) if then.keys() == {VALIDATION, "val_labels"} else None


def calibrated(store: Store, record: Record, coverage: float) -> tuple[Calibration, list[str]]:
    """Calibrate a cell's model on its validation examples, and say of it what a user has to know:
    how often the sets held the true class on the test."""
    then = kept_arrays(store, record.cell, VALIDATION, "val_labels")
    if not {VALIDATION, "val_labels"} <= then.keys():
        why = "no answers to validation examples of the domain that is tested were kept"
        if record.protocol == "episodes":
            why = "a task that is adapted to has no validation examples"
        return Calibration(1.0, None, 0, why), [f"probabilities are not calibrated: {why}"]
    found = calibrate(then[VALIDATION], then["val_labels"], coverage)
    told = f"probabilities are calibrated on {found.examples} validation examples"
    if found.threshold is None:
        return found, [told, f"no sets are made: {found.why}"]
    try:
        test = read_predictions(store.directory / predictions_file(record.cell))
    except (FileNotFoundError, InvalidFile):
        return found, [told]
    held = found.coverage(test["logits"], test["labels"])
    sizes = found.sets(test["logits"]).sum(axis=1)
    return found, [
        told,
        f"sets asked to hold the true class in {coverage:.0%} of inputs held it in {held:.1%} of "
        f"{len(sizes):,} test examples; {(sizes != 1).mean():.0%} of these were unsure",
    ]
