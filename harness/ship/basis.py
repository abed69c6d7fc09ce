"""What a model that is shipped is from: why it was chosen, what it learned from, what tests it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.examples import RawInputs
from harness.record.predictions import read_predictions
from harness.record.store import Store, predictions_file
from harness.run.reopened import Reopened, Trained
from harness.ship.calibration import Calibration
from harness.ship.runtime.drift import Reference


@dataclass(frozen=True)
class Sealed:
    """The sealed test: ``rows`` of the raw inputs, what the model answers to them, ``logits``
    [N, classes], and their true ``labels`` [N]."""

    raw: RawInputs
    rows: Sequence[int]
    logits: NDArray[np.floating]
    labels: NDArray[np.integer]


@dataclass(frozen=True)
class Basis:
    """What a model is from: ``why`` it was chosen, the ``data`` that it learned from, in words for
    its card, and its sealed ``test``; where there is none, ``untested`` says why."""

    why: str
    data: str
    test: Sealed | None = None
    untested: str = ""


@dataclass(frozen=True)
class Ready:
    """A model that can be shipped: what it is from, its probabilities and sets, and what new inputs
    of it are compared with, if anything."""

    model: Trained
    basis: Basis
    calibration: Calibration
    reference: Reference | None


def of_test(model: Reopened, store: Store, why: str) -> Basis:
    """The basis of the model that was tested. This opens its sealed test once more, after all
    selection; the certificate says so."""
    record = model.record
    kept = read_predictions(store.directory / predictions_file(record.cell), "ids")
    _, split = model.data.tested
    rows = [int(row) for row in kept["ids"]]
    return Basis(
        why=why,
        data=f"{record.problem}, {record.shots} labelled examples a class, seed {record.seed},"
        f" split {record.split_hash}",
        test=Sealed(split.inputs, rows, kept["logits"], kept["labels"]),
    )


def given(model: Trained, why: str) -> Basis:
    """The basis of a model that was adapted to examples which were given with the command."""
    record = model.record
    return Basis(
        why=f"{why} (accuracy is that over the test episodes of {record.problem})",
        data=f"{len(model.learned):,} labelled examples that were given, of"
        f" {len(model.classes)} classes; weights and settings from {record.problem}, seed"
        f" {record.seed}",
        untested="of this task no labelled examples were held out",
    )
