"""What a model says of new inputs, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from harness.data.examples import Inputs
from harness.data.resident import ResidentPool
from harness.predictor import Predictor
from harness.ship.calibration import Calibration
from harness.ship.new_inputs import Prepared
from harness.ship.runtime.drift import Reference

SEPARATOR = "|"
"""Between the classes of a set, in a cell of the table."""


def predicted(
    batches: Iterable[Prepared],
    predictor: Predictor,
    classes: Sequence[str],
    calibration: Calibration,
    reference: Reference | None,
    top: int,
) -> pd.DataFrame:
    """Make a row of each input, in the order given.

    Columns: ``input`` (its name), ``class``, ``probability`` (0–1, calibrated), ``unsure`` (whether
    other than one class can't be ruled out) and ``set`` (these classes) where sets are made, then
    ``class_2 probability_2`` to the ``top`` classes; where there is a ``reference``, ``typicality``
    and ``drift_p``, the p-values of an input and of all of them together; and ``error``: why an
    input could not be read, whose row has nothing else.
    """
    every: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    for batch in batches:
        answers: Iterator[dict[str, Any]] = iter(())
        if batch.inputs is not None:
            pool = ResidentPool(batch.inputs)
            logits = predictor.logits(Inputs(pool, torch.arange(len(pool)))).float().cpu().numpy()
            every.append(logits)
            answers = iter(_answers(logits, classes, calibration, top))
        for item, reason in zip(batch.items, batch.reasons, strict=True):
            found = {"error": reason} if reason else {**next(answers), "error": ""}
            rows.append({"input": item.name, **found})
    columns = _columns(calibration, min(top, len(classes)))
    if reference is not None and every:
        logits = np.concatenate(every)
        p, read = reference.drift(logits), (row for row in rows if not row["error"])
        for row, own in zip(read, reference.typicality(logits), strict=True):
            row |= {"typicality": float(own), "drift_p": p}
        columns[-1:-1] = ["typicality", "drift_p"]
    return pd.DataFrame(rows, columns=columns)


def _columns(calibration: Calibration, top: int) -> list[str]:
    sets = [] if calibration.threshold is None else ["unsure", "set"]
    more = [f"{what}_{place}" for place in range(2, top + 1) for what in ("class", "probability")]
    return ["input", "class", "probability", *sets, *more, "error"]


def _answers(
    logits: np.ndarray, classes: Sequence[str], calibration: Calibration, top: int
) -> list[dict[str, Any]]:
    probabilities = calibration.probabilities(logits)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    possible = None if calibration.threshold is None else calibration.sets(logits)
    rows = []
    for number, (own, best) in enumerate(zip(probabilities, order, strict=True)):
        row: dict[str, Any] = {}
        for place, label in enumerate(best[:top], start=1):
            ending = "" if place == 1 else f"_{place}"
            row |= {f"class{ending}": classes[label], f"probability{ending}": float(own[label])}
        if possible is not None:
            inside = [classes[label] for label in best if possible[number, label]]
            row |= {"unsure": len(inside) != 1, "set": SEPARATOR.join(inside)}
        rows.append(row)
    return rows
