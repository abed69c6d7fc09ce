"""Plot curves of tuning and of training: a facet a setting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from harness.report import format
from harness.report.analysis import results
from harness.report.analysis.tuning import Curves
from harness.report.plots import axes
from harness.report.plots.figure import Facet, Plot, highest

_BEST = "best validation accuracy (%)"
_BENEATH = " What begins far below the ends comes in from beneath the axis."


def best_by_trials(table: pd.DataFrame, curves: Curves, *, as_run: bool) -> Plot:
    """The expected best validation accuracy against trials."""
    told = (
        "The best validation accuracy found so far, mean over seeds, in the order that the trials"
        " were run: they were not drawn independently, so that no other order can be judged."
        if as_run
        else "The best validation accuracy to be expected after so many trials (settings tried),"
        " over all orders in which they could have come, mean over seeds."
    )
    return Plot(
        "best_by_trials",
        "What more trials bring",
        f"{told} The first trial is the strategy's defaults. A curve that still rises at its"
        f" end would gain from a larger budget.{_BENEATH}",
        partial(axes.curves, xlabel="trials", ylabel=_BEST),
        _facets(table, curves.points, "Best validation accuracy", lambda x: f"{x:.0f} trials"),
        curves.total,
    )


def best_by_seconds(table: pd.DataFrame, curves: Curves) -> Plot:
    """The expected best validation accuracy against seconds of tuning."""
    return Plot(
        "best_by_seconds",
        "What more seconds bring",
        "The same over the time that tuning takes, features and preparation included. For any"
        " budget, look who is highest there. A curve begins when the defaults have been tried"
        f" and ends when all trials have: what more time would bring is not known.{_BENEATH}",
        partial(axes.over_time, xlabel="time for tuning", ylabel=_BEST),
        _facets(table, curves.points, "Best validation accuracy", format.duration),
        curves.total,
    )


def learning(table: pd.DataFrame, curves: Curves) -> Plot:
    """Validation accuracy against optimiser steps of the selected trial of the middle seed."""
    return Plot(
        "learning_curves",
        "How the chosen settings learn",
        "Validation accuracy while training with the settings that tuning chose: of each strategy"
        " the seed that ends in the middle; the explorer has all. A line that still rises at its"
        f" end would gain from more steps.{_BENEATH}",
        partial(axes.curves, xlabel="optimiser steps", ylabel="validation accuracy (%)"),
        _facets(
            table,
            curves.points,
            "Validation accuracy",
            lambda steps: f"{steps:.0f} optimiser steps",
        ),
        curves.total,
    )


def _facets(
    table: pd.DataFrame, points: pd.DataFrame, what: str, unit: Callable[[float], str]
) -> list[Facet]:
    """Make a facet for each setting.

    Its text tells readers who can't see a curve where it ends.
    """
    table = table[table["setting"].isin(points["setting"])]
    facets = []
    for setting in table["setting"].unique()[: results.MOST_FACETS]:
        group, rows = table[table["setting"] == setting], points[points["setting"] == setting]
        ends = rows.groupby("label", sort=False)[["x", "y"]].last()
        told = [
            f"{label}: {y:.1f} % after {unit(x)}"
            for label, x, y in zip(ends.index, ends["x"], ends["y"], strict=True)
        ]
        lost = [
            (label, gap or "no curve recorded")
            for label, gap in zip(group["label"], group["gap"], strict=True)
            if label not in ends.index
        ]
        rows, note = highest(rows, ends["y"])
        title = format.setting_text(group["facet"].iloc[0], group["shots"].iloc[0])
        facets.append(Facet.of(title, rows, what, told, lost, note))
    return facets
