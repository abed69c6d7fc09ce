"""Test two trained models on the same examples, from the predictions that their cells left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from harness.record.predictions import read_predictions
from harness.record.reading import InvalidFile
from harness.report.analysis import stats
from harness.report.analysis.stats import Models
from harness.report.analysis.winners import Standing

MOST_SETTINGS = 100
"""Settings whose predictions are read for a report, at most: the first of the suite."""


def compared(left: Path, right: Path) -> Models | None:
    """Test the models of two ``predictions/CELL.npz``; None if they share no test examples.

    The files hold ``logits`` [N, C] or, of episodes, [E, N, C], ``labels`` and ``ids``.
    """
    try:
        one, other = read_predictions(left, "ids"), read_predictions(right, "ids")
    except (FileNotFoundError, InvalidFile):
        return None
    if not all(np.array_equal(one[name], other[name]) for name in ("ids", "labels")):
        return None
    right_of = [file["logits"].argmax(axis=-1) == file["labels"] for file in (one, other)]
    if right_of[0].ndim == 2:
        right_of = [episodes.mean(axis=1) for episodes in right_of]
    return stats.models(*right_of)


def of_single_seeds(
    directory: Path, frame: pd.DataFrame, standings: list[Standing]
) -> dict[int, Models]:
    """Test, in each setting that has one seed, the models of its first and second strategy.

    The p-values are Holm's for these settings together.
    """
    single = [
        standing for standing in standings if len(standing.ranking) > 1 and not standing.tested
    ]
    wanted = frame[frame["setting"].isin([standing.setting for standing in single])]
    answers = wanted.groupby(["setting", "label"])["answers"].agg(list)
    found = {}
    for standing in single[:MOST_SETTINGS]:
        one, other = (answers[standing.setting, label] for label in standing.ranking[:2])
        if len(one) == len(other) == 1:
            paths = (directory / name for name in (*one, *other))
            if (tested := compared(*paths)) is not None:
                found[standing.setting] = tested
    adjusted = stats.holm([tested.p for tested in found.values()])
    return {
        setting: tested.corrected(float(p))
        for (setting, tested), p in zip(found.items(), adjusted, strict=True)
    }
