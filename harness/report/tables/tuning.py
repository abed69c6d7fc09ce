"""Make the tables of what tuning did, as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.report import format
from harness.report.analysis.tuning import STATES
from harness.report.tables.text import where


def best_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Make a row a strategy in a setting, a column a budget; empty if none has accuracies."""
    if rows.empty:
        return pd.DataFrame()
    text = [
        format.percent(expected) if not outlasts else f"≥ {format.percent(expected)}"
        for expected, outlasts in zip(rows["expected"], rows["outlasts"], strict=True)
    ]
    told = rows.assign(text=text)
    shown = where(rows.drop_duplicates(["setting", "label"])).reset_index(drop=True)
    key = pd.MultiIndex.from_frame(rows[["setting", "label"]].drop_duplicates())
    for unit in ("trials", "seconds"):
        mine = told[told["unit"] == unit]
        for amount in sorted(mine["budget"].unique()):
            column = mine[mine["budget"] == amount].set_index(["setting", "label"])["text"]
            title = (
                format.plural(int(amount), "trial") if unit == "trials" else format.duration(amount)
            )
            shown[title] = column.reindex(key).fillna(format.GAP).to_numpy()
    return shown


def chosen_table(rows: pd.DataFrame) -> pd.DataFrame:
    shown = where(rows)
    shown["hyperparameter"] = rows["name"]
    shown["default"] = rows["default"].map(format.value_text)
    shown["chosen: median"] = rows["choices"].map(lambda values: _middle(values))
    shown["lowest to highest"] = rows["choices"].map(lambda values: _range(values))
    shown["importance (%)"] = [
        format.GAP if np.isnan(value) else f"{100 * value:.0f}" for value in rows["importance"]
    ]
    shown["remark"] = rows["reason"]
    return shown


def _middle(values: Sequence[Any]) -> str:
    """Tell the median of numbers; of other values how often each was chosen."""
    if not values:
        return format.GAP
    if _numbers(values):
        return format.value_text(float(np.median(values)))
    counts = Counter(map(format.value_text, values)).most_common()
    return ", ".join(f"{value} ({number}×)" for value, number in counts)


def _range(values: Sequence[Any]) -> str:
    if not values or not _numbers(values) or min(values) == max(values):
        return format.GAP
    return f"{format.value_text(min(values))} to {format.value_text(max(values))}"


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def consumed_table(rows: pd.DataFrame) -> pd.DataFrame:
    shown = where(rows)
    for name in ("cells", *STATES):
        shown[name] = rows[name].map(format.integer)
    shown["tuning, all cells (s)"] = rows["seconds_sum"].map(format.seconds)
    shown["tuning, a cell (s)"] = rows["seconds_median"].map(format.seconds)
    return shown
