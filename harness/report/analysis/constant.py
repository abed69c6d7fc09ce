"""Find models that give all test examples one class: they tell nothing apart, however accurate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from harness.report import format
from harness.report.analysis.winners import Standing

MOST_NAMED = 6
"""Settings that a sentence names, at most."""


def constant(frame: pd.DataFrame) -> pd.Series[bool]:
    """Tell of each row of a tidy frame whether one class was predicted throughout.

    Of k classes in the test such a model has a balanced accuracy of 1/k, and of its class, whose
    share of the test is its accuracy a, a precision of a and a recall of 1; all other classes have
    none. So its macro precision is a/k, and its macro F1 2a / (1 + a) / k. By these alone one that
    tells two halves of four classes apart looks like one class of two: k has to be as many classes
    as the task has, where that is known.
    """
    names = ["accuracy", "balanced_accuracy", "precision_macro", "f1_macro"]
    accuracy, balanced, precision, f1 = (frame[name].astype(float) for name in names)
    classes = (1 / balanced.where(balanced > 0)).round()
    known = frame["classes"].astype(float)
    return (
        frame["counts"]
        & (classes > 1)
        & (known.isna() | (classes == known))
        & np.isclose(balanced, 1 / classes)
        & np.isclose(precision, accuracy / classes)
        & np.isclose(f1, 2 * accuracy / (1 + accuracy) / classes)
    )


def sentences(
    frame: pd.DataFrame, standings: Sequence[Standing]
) -> tuple[list[Markup], list[Markup]]:
    """Tell which strategies gave all test examples one class, and where: a warning of those that
    are recommended there, and a sentence on the others."""
    groups = frame.assign(constant=constant(frame)).groupby(["setting", "label"], sort=False)
    counts = groups.agg(
        facet=("facet", "first"),
        shots=("shots", "first"),
        constant=("constant", "sum"),
        seeds=("counts", "sum"),
    ).reset_index()
    found = counts[counts["constant"] > 0]
    taken = {(standing.setting, standing.take) for standing in standings}
    recommended = [pair in taken for pair in zip(found["setting"], found["label"], strict=True)]
    warned = np.array(recommended, bool)
    beware = "Beware: <b>{}</b>, recommended there, gives"
    return _told(found[warned], beware), _told(found[~warned], "<b>{}</b> gives")


def _told(found: pd.DataFrame, beginning: str) -> list[Markup]:
    """One sentence for each label of the rows."""
    told = []
    for label, own in found.groupby("label", sort=False):
        where = [
            f"{format.setting_text(row['facet'], row['shots'])} ({row['constant']} of"
            f" {format.plural(row['seeds'], 'seed')})"
            for row in own.head(MOST_NAMED).to_dict("records")
        ]
        if more := len(own) - len(where):
            where.append(format.plural(more, "more setting"))
        text = (
            " all test examples one class in {}: its accuracy is the share of that class, and not"
            " learned."
        )
        told.append(Markup(beginning + text).format(label, format.listing(where)))
    return told
