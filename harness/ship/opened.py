"""A chosen model, ready to be used, and what has to be said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from harness.errors import HarnessError
from harness.record.predictions import read_predictions
from harness.record.reading import InvalidFile
from harness.record.schema import Record
from harness.record.store import Store, predictions_file
from harness.registry import Registry
from harness.run.reopened import Reopened, kept_on_validation, reopened
from harness.run.resources import Resources
from harness.run.suite import pick_workers
from harness.ship.calibration import Calibration, calibrate
from harness.ship.certificate import agreement


@contextmanager
def opened(
    record: Record, store: Store, registry: Registry, device: str, say: Callable[[str], None]
) -> Iterator[Reopened]:
    """Open the model of a cell, and ``say`` where it had to be trained once more.

    Raises:
        HarnessError: as ``reopened``; or the model does not answer to its validation examples what
            it answered when the cell was run.
    """
    (worker,) = pick_workers(device, 1)
    resources = Resources(registry, torch.device(worker), store.directory.parent / ".cache")
    with reopened(record, resources, store) as model:
        if not _answers_as_then(model):
            raise HarnessError(
                f"{record.title}: the model answers otherwise than when it was tested: its code, "
                "its weights or this machine differ",
                "Use the machine that it was run on, or run the suite again here",
            )
        if model.trained:
            same = (
                "" if model.before is None else ", and answers to its validation examples as then"
            )
            say(f"its model was not kept: it was trained once more{same}")
        yield model


def _answers_as_then(model: Reopened) -> bool:
    """Whether a model is the one that was tested: what was trained once more has to answer the
    same, bit for bit; what was kept may be rounded otherwise by another processor."""
    now, before = model.logits.numpy(), model.before
    if before is None:
        return True
    return np.array_equal(now, before) if model.trained else agreement(before, now).passes


def calibrated(store: Store, record: Record, coverage: float) -> tuple[Calibration, list[str]]:
    """Calibrate a cell's model on its validation examples, and say of it what a user has to know:
    how often the sets held the true class on the test."""
    kept = kept_on_validation(store, record.cell)
    if not {"val_logits", "val_labels"} <= kept.keys():
        why = "no answers to validation examples of the domain that is tested were kept"
        return Calibration(1.0, None, 0, why), [f"probabilities are not calibrated: {why}"]
    found = calibrate(kept["val_logits"], kept["val_labels"], coverage)
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
