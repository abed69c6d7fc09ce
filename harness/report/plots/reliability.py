"""Plot accuracy against confidence."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.metrics import CALIBRATION_BINS
from harness.record.elsewhere import ELSEWHERE
from harness.report import format
from harness.report.analysis.predictions import MOST_BINS, Predicted, Unread
from harness.report.plots import axes
from harness.report.plots.figure import Facet, Plot, highest


def reliability(
    found: Sequence[Predicted], table: pd.DataFrame, unread: Sequence[Unread] = ()
) -> Plot:
    """Accuracy against confidence, a facet for each problem and backbone; ``table`` is the
    summary, which names what is missing."""
    facets = []
    unusable = {(left.setting, left.label): "predictions damaged" for left in unread}
    bare = table[(table["strategy"] == ELSEWHERE) & table["ece"].isna()]
    for of in zip(bare["setting"], bare["label"], strict=True):
        unusable[of] = "no probabilities given"
    found = [p for p in found if (p.setting, p.label) not in unusable]
    for setting in dict.fromkeys(predicted.setting for predicted in found):
        mine = {p.label: p for p in found if p.setting == setting}
        bins = {label: 100 * p.reliability for label, p in mine.items()}
        names = {"confidence": "x", "accuracy": "y"}
        rows = pd.concat([b.rename(columns=names).assign(label=label) for label, b in bins.items()])
        right, sure = (
            {label: (b[name] * b["share"]).sum() / 100 for label, b in bins.items()}
            for name in ("accuracy", "confidence")
        )
        told = [f"{label}: {right[label]:.1f} % right, {sure[label]:.1f} % sure" for label in mine]
        group = table[table["setting"] == setting]
        lost = [
            (label, gap or unusable.get((setting, label), "no predictions stored"))
            for label, gap in zip(group["label"], group["gap"], strict=True)
            if label not in mine
        ]
        errors = ", ".join(f"{label} {format.percent(p.ece)}" for label, p in mine.items())
        rows, left_out = highest(rows, pd.Series(right))
        notes = [left_out, f"Calibration error in points: {errors}"]
        first = next(iter(mine.values()))
        note = ". ".join(filter(None, notes))
        facets.append(Facet.of(first.place, rows, "Reliability", told, lost, note))
    return Plot(
        "reliability",
        "Is confidence deserved?",
        f"Test predictions, the seeds together, in up to {MOST_BINS} bins with alike many of"
        " them by confidence: how many of a bin are right, with its 95 % interval as a band. On"
        " the dotted line confidence is deserved; below it a strategy is surer than it should be."
        " The calibration error is the mean distance from the line, in"
        f" {CALIBRATION_BINS} bins of equal width.",
        axes.reliability,
        facets,
        len(facets),
    )
