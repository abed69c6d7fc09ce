"""What a report tells of tuning: what a budget brings, what was chosen, and what it consumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from harness.report import format
from harness.report.analysis import budget, importance
from harness.report.analysis.details import Details
from harness.report.analysis.results import SETTING
from harness.report.plots import curves
from harness.report.plots.figure import Plot
from harness.report.workers import Submit, serial

STATES = ("complete", "pruned", "failed", "diverged")
"""How a trial may end."""


@dataclass(frozen=True)
class Tuning:
    """``plots``, and tables as numbers (for CSV) and as text (for people): ``best`` score by
    budget, hyperparameters ``tuned``, trials and seconds ``consumed``. ``as_run``: whether trials
    depend on earlier ones, so that ``best`` is what happened and no expectation."""

    plots: Sequence[Plot]
    as_run: bool
    placed: Callable[[], Mapping[str, pd.DataFrame]]

    @cached_property
    def _rows(self) -> Mapping[str, pd.DataFrame]:
        return self.placed()

    @cached_property
    def numbers(self) -> Mapping[str, pd.DataFrame]:
        return {name: rows.drop(columns=["setting", "facet"]) for name, rows in self._rows.items()}

    @cached_property
    def shown(self) -> Mapping[str, pd.DataFrame]:
        show = {"best": _best, "tuned": _tuned, "consumed": _consumed}
        return {name: show[name](rows) for name, rows in self._rows.items()}


def tuning(
    frame: pd.DataFrame,
    table: pd.DataFrame,
    details: Details,
    plan: Mapping[str, Any],
    submit: Submit = serial,
) -> Tuning:
    """All of it; ``table`` is the summary of ``frame``, ``plan`` the suite's budget.

    What takes long is done ``later``: the tables wait for it, the plots don't.
    """
    as_run = not budget.exchangeable(plan)
    cells = curves.of_cells(frame)
    by_accuracy = details.trials[details.trials["accuracy"].astype(bool)]
    found = budget.searches(cells, by_accuracy)
    tuned = importance.tuned(cells, details.trials, details.tuned, submit)
    best = submit(budget.table, found, as_run=as_run)

    def placed() -> Mapping[str, pd.DataFrame]:
        numbers = {
            "best": best(),
            "tuned": tuned(),
            "consumed": consumed(frame, details.trials),
        }
        return {name: _placed(rows, table) for name, rows in numbers.items()}

    return Tuning(
        plots=[
            curves.best_by_trials(table, found, as_run=as_run),
            curves.best_by_seconds(table, found, as_run=as_run),
            curves.learning(table, cells, details.curves),
        ],
        as_run=as_run,
        placed=placed,
    )


def consumed(frame: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """What tuning took, of every cell that has a record, whatever became of it.

    ``setting``, ``label``; ``cells``; trials by state (``STATES``); ``seconds_sum`` and
    ``seconds_median`` (of a cell), features and preparation included where a trial needed them.
    """
    by_cell = pd.crosstab(trials["cell"], trials["state"]).reindex(columns=STATES, fill_value=0)
    by_cell["seconds"] = trials.groupby("cell")["seconds"].sum()
    known = frame[["cell", "setting", "label"]].merge(
        by_cell, left_on="cell", right_index=True, how="inner"
    )
    groups = known.groupby(["setting", "label"], sort=False)
    rows = groups[list(STATES)].sum()
    rows.insert(0, "cells", groups.size())
    rows["seconds_sum"] = groups["seconds"].sum()
    rows["seconds_median"] = groups["seconds"].median()
    return rows.reset_index()


# ── for people ────────────────────────────────────────────────────────────────────────────────


def _placed(rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with what their setting is, in the order of the summary."""
    places = table[["setting", "label", *SETTING, "facet"]]
    return places.merge(rows, on=["setting", "label"], how="inner")


def _who(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "problem": rows["facet"],
            "shots": rows["shots"].map(format.shots_text),
            "strategy": rows["label"],
        }
    )


def _best(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a strategy in a setting, a column a budget; empty if no cell was scored by accuracy."""
    if rows.empty:
        return pd.DataFrame()
    text = [
        format.percent(expected) if not outlasts else f"≥ {format.percent(expected)}"
        for expected, outlasts in zip(rows["expected"], rows["outlasts"], strict=True)
    ]
    told = rows.assign(text=text)
    shown = _who(rows.drop_duplicates(["setting", "label"])).reset_index(drop=True)
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


def _tuned(rows: pd.DataFrame) -> pd.DataFrame:
    shown = _who(rows)
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
    """The median of numbers; of other things how often each was chosen."""
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


def _consumed(rows: pd.DataFrame) -> pd.DataFrame:
    shown = _who(rows)
    for name in ("cells", *STATES):
        shown[name] = rows[name].map(format.integer)
    shown["tuning, all cells (s)"] = rows["seconds_sum"].map(format.significant)
    shown["tuning, a cell (s)"] = rows["seconds_median"].map(format.significant)
    return shown
