"""Work out what tuning did: what a budget brings, what was chosen, and what it consumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from harness.report.analysis import budget, importance, results
from harness.report.analysis.budget import Search, Searches
from harness.report.analysis.details import Details
from harness.report.analysis.results import SETTING, labels
from harness.report.workers import Submit, serial

STATES = ("complete", "pruned", "failed", "diverged")
"""How a trial may end."""


@dataclass(frozen=True)
class Curves:
    """Lines of the first ``results.MOST_FACETS`` of ``total`` settings, or of more, one a label:
    ``setting``, ``label``, ``x`` and ``y``, in percent, in the order that they are drawn."""

    points: pd.DataFrame
    total: int


@dataclass(frozen=True)
class Tuning:
    """``as_run``: whether trials depend on earlier ones, so that what a budget brings is what
    happened and no expectation · ``by_trials``, ``by_seconds``: best validation accuracy over what
    was spent · ``learning``: validation accuracy over the steps of the chosen settings, of each
    strategy the seed whose end is the (lower) median · a row for
    each budget (``best``, see :func:`budget.table`), each tuned hyperparameter (``chosen``, see
    :func:`importance.tuned`) and each strategy (``consumed``), all with their setting in full."""

    as_run: bool
    by_trials: Curves
    by_seconds: Curves
    learning: Curves
    best: pd.DataFrame
    chosen: pd.DataFrame
    consumed: pd.DataFrame


def tuning(
    frame: pd.DataFrame,
    table: pd.DataFrame,
    details: Details,
    options: Mapping[str, Any],
    submit: Submit = serial,
) -> Callable[[], Tuning]:
    """Begin the analysis of tuning, and return what waits for it.

    ``table`` is the summary of ``frame``, ``options`` the suite's budget. What takes long goes to
    ``submit``.
    """
    as_run = not budget.exchangeable(options)
    cells = tuned_cells(frame)
    by_accuracy = details.trials[details.trials["accuracy"].astype(bool)]
    found = budget.searches(cells, by_accuracy)
    chosen = importance.tuned(cells, details.trials, details.tuned, submit)
    best = submit(budget.table, found, as_run=as_run)
    by_trials = _expected(found, partial(budget.over_trials, as_run=as_run))
    by_seconds = _expected(found, partial(budget.over_seconds, as_run=as_run))

    def wait() -> Tuning:
        return Tuning(
            as_run=as_run,
            by_trials=by_trials,
            by_seconds=by_seconds,
            learning=_learning(cells, details.curves),
            best=_placed(best(), table),
            chosen=_placed(chosen(), table),
            consumed=_placed(consumed(frame, details.trials), table),
        )

    return wait


def tuned_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Select the cells of complete groups, with what their curves need."""
    groups = frame.groupby(["setting", "label"])
    rank = {label: place for place, label in enumerate(labels(frame))}
    known = frame.assign(planned=groups["cell"].transform("size"), rank=frame["label"].map(rank))
    whole = groups["counts"].transform("all")
    columns = ["cell", "setting", "label", "seed", "planned", "rank"]
    return known.loc[whole, columns].sort_values(["setting", "rank", "seed"])


def _expected(found: Searches, curve: Callable[[Sequence[Search]], pd.DataFrame]) -> Curves:
    """Estimate the best to be expected in the settings that are drawn, which alone are shown."""
    settings = list(dict.fromkeys(setting for setting, _ in found))
    curves = [
        curve(group).assign(setting=setting, label=label)
        for (setting, label), group in found.items()
        if setting in settings[: results.MOST_FACETS]
    ]
    empty = pd.DataFrame(columns=["x", "expected", "setting", "label"])
    points = pd.concat(curves) if curves else empty
    return Curves(points.assign(y=100 * points["expected"].astype("float64")), len(settings))


def _learning(cells: pd.DataFrame, curves: pd.DataFrame) -> Curves:
    """Take validation accuracy after each step of the selected trial, of the middle seed."""
    points = curves.merge(cells, on="cell").sort_values(["rank", "cell", "step"])
    points["y"] = 100 * points["value"].astype("float64")
    ends = points.groupby(["setting", "label", "cell"])["y"].last().reset_index()
    ends = ends.sort_values(["y", "cell"])
    groups = ends.groupby(["setting", "label"])["cell"]
    middle = ends.loc[groups.cumcount() == (groups.transform("size") - 1) // 2, "cell"]
    points = points[points["cell"].isin(middle)].rename(columns={"step": "x"})
    return Curves(points, points["setting"].nunique())


def consumed(frame: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Count what tuning took, of every cell that has a record, whatever its status.

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


def _placed(rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Add to ``rows`` what their setting is, in the order of the summary."""
    places = table[["setting", "label", *SETTING, "facet"]]
    return places.merge(rows, on=["setting", "label"], how="inner")
