"""Find the cells whose models a report recommends."""

from __future__ import annotations

import pandas as pd

from harness.report.analysis.report import Report


def recommended(report: Report) -> dict[int, str]:
    """Map each setting to the cell whose model is to be taken there: of what to take, the seed that
    validated best. Settings where no result is complete have none, and further tests have that of
    the problem's own test."""
    found = {}
    for standing in report.decisions.standings:
        cells = best_first(report.frame, standing.setting, standing.take)
        if len(cells):
            found[standing.setting] = str(cells.iloc[0]["cell"])
    return found


def best_first(frame: pd.DataFrame, setting: int, label: str | None) -> pd.DataFrame:
    """Sort what counts of a strategy in a setting: what validated best first, ties to the lower
    seed."""
    rows = frame[frame["counts"] & (frame["setting"] == setting) & (frame["label"] == label)]
    return rows.sort_values(["accuracy_val", "seed"], ascending=[False, True])
