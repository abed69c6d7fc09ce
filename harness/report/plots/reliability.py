"""Plot accuracy against confidence."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.metrics import CALIBRATION_BINS
from harness.report import format
from harness.report.analysis.predictions import Predicted, Unread
from harness.report.plots import axes
from harness.report.plots.figure import Facet, Plot


def reliability(
    found: Sequence[Predicted], table: pd.DataFrame, unread: Sequence[Unread] = ()
) -> Plot:
    """Accuracy against confidence, a facet for each problem and backbone; ``table`` is the
    summary, which names what is missing."""
    facets = []
    damaged = {(left.setting, left.label): "predictions damaged" for left in unread}
    for setting in dict.fromkeys(predicted.setting for predicted in found):
        mine = {p.label: p for p in found if p.setting == setting}
        rows = pd.concat([p.reliability.assign(label=label) for label, p in mine.items()])
        rows = rows.assign(x=100 * rows["confidence"], y=100 * rows["accuracy"])
        sure = (rows["confidence"] * rows["share"]).groupby(rows["label"]).sum()
        right = (rows["accuracy"] * rows["share"]).groupby(rows["label"]).sum()
        told = [
            f"{label}: {format.percent(right[label])} % right, {format.percent(sure[label])} % sure"
            for label in mine
        ]
        group = table[table["setting"] == setting]
        lost = [
            f"{label} ({gap or damaged.get((setting, label), 'no predictions stored')})"
            for label, gap in zip(group["label"], group["gap"], strict=True)
            if label not in mine
        ]
        errors = ", ".join(f"{label} {format.percent(p.ece)}" for label, p in mine.items())
        note = f"Calibration error in points: {errors}"
        first = next(iter(mine.values()))
        facets.append(Facet.of(first.place, rows, "Reliability", told, lost, note))
    return Plot(
        "reliability",
        "Is confidence deserved?",
        f"Test predictions in {CALIBRATION_BINS} bins of equal width by their confidence, the seeds"
        " together: how many of a bin are right. On the dotted line confidence is deserved; below"
        " it a strategy is surer than it should be. A larger mark holds more of the predictions."
        " The calibration error is the mean distance from the line.",
        axes.reliability,
        facets,
        len(facets),
    )
