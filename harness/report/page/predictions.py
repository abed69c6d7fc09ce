"""Show predictions on the page: classes and confusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.report import format
from harness.report.analysis.predictions import Predicted
from harness.report.analysis.stats import exact_ties

CLASSES = 20
"""Classes that a matrix or a table of the page has, at most."""

PAIRS = 12
"""Kinds of mistake that are listed where there are more classes than a matrix can show."""


def chapter(predicted: Sequence[Predicted]) -> list[dict[str, Any]]:
    """Show for each setting its classes as a table, and for each strategy what it confuses."""
    found = []
    for setting in dict.fromkeys(p.setting for p in predicted):
        mine = [p for p in predicted if p.setting == setting]
        found.append(
            {
                "place": mine[0].place,
                "classes": len(mine[0].classes),
                "by_class": _by_class(mine),
                "confusions": [_confusion(p) for p in mine],
            }
        )
    return found


def _by_class(mine: Sequence[Predicted]) -> pd.DataFrame:
    """Make a row a class and strategy; of many classes, those with the lowest mean recall."""
    rows = pd.concat(
        [p.by_class.assign(strategy=p.label, place=range(len(p.classes))) for p in mine]
    )
    recall = rows.groupby("place")["recall"].mean()
    shown = recall.index[np.argsort(exact_ties(recall), kind="stable")][:CLASSES]
    rows = rows[rows["place"].isin(shown)].sort_values("place", kind="stable")
    return pd.DataFrame(
        {
            "class": rows["class"],
            "strategy": rows["strategy"],
            "examples": rows["examples"].map(format.integer),
            "precision (%)": rows["precision"].map(format.percent),
            "recall (%)": rows["recall"].map(format.percent),
            "F1 (%)": rows["f1"].map(format.percent),
        }
    )


def _confusion(predicted: Predicted) -> dict[str, Any]:
    """Show a matrix of percentages with a shade for each, or the most frequent mistakes."""
    found: dict[str, Any] = {"label": predicted.label, "matrix": None, "pairs": None}
    if len(predicted.classes) > CLASSES:
        pairs = predicted.confused.head(PAIRS)
        found["pairs"] = pd.DataFrame(
            {
                "true class": pairs["true"],
                "taken for": pairs["predicted"],
                "examples": pairs["examples"].map(format.integer),
                "of the class (%)": pairs["share"].map(format.percent),
            }
        )
        return found
    shares = predicted.confusion / np.maximum(predicted.confusion.sum(1, keepdims=True), 1)
    # The root makes rare mistakes visible beside the many that are right.
    found["matrix"] = [
        (name, [(f"{100 * share:.0f}", f"{share**0.5:.2f}") if share else None for share in row])
        for name, row in zip(predicted.classes, shares, strict=True)
    ]
    return found
