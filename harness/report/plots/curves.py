"""Curves of tuning and of training: a facet a setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from harness.report import format
from harness.report.analysis import budget
from harness.report.analysis.budget import Search, Searches
from harness.report.analysis.results import labels
from harness.report.plots import axes, figure
from harness.report.plots.figure import Facet, Plot


def of_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """For each cell of a complete group, what its curves need to know."""
    groups = frame.groupby(["setting", "label"])
    rank = {label: place for place, label in enumerate(labels(frame))}
    known = frame.assign(planned=groups["cell"].transform("size"), rank=frame["label"].map(rank))
    whole = groups["counts"].transform("all")
    columns = ["cell", "setting", "label", "seed", "planned", "rank"]
    return known.loc[whole, columns].sort_values(["setting", "rank", "seed"])


def best_by_trials(table: pd.DataFrame, found: Searches, *, as_run: bool) -> Plot:
    """The expected best validation accuracy against trials."""
    told = (
        "The best validation accuracy found so far, mean over seeds, in the order that the trials"
        " were run: they were not drawn independently, so that no other order can be judged."
        if as_run
        else "The best validation accuracy to be expected after so many trials (settings tried),"
        " over all orders in which they could have come, mean over seeds."
    )
    return _best(
        table,
        found,
        partial(budget.over_trials, as_run=as_run),
        Plot(
            "best_by_trials",
            "What more trials bring",
            f"{told} The first trial is the strategy's defaults. A curve that still rises at its"
            " end would gain from a larger budget.",
            draw=partial(axes.curves, xlabel="trials", ylabel=_BEST),
        ),
        lambda trials: f"{trials:.0f} trials",
    )


def best_by_seconds(table: pd.DataFrame, found: Searches, *, as_run: bool) -> Plot:
    """The expected best validation accuracy against seconds of tuning."""
    return _best(
        table,
        found,
        partial(budget.over_seconds, as_run=as_run),
        Plot(
            "best_by_seconds",
            "What more seconds bring",
            "The same over the time that tuning takes, features and preparation included. For any"
            " budget, look who is highest there. A curve begins when the defaults have been tried"
            " and ends when all trials have: what more time would bring is not known.",
            draw=partial(axes.over_time, xlabel="time for tuning", ylabel=_BEST),
        ),
        format.duration,
    )


_BEST = "best validation accuracy (%)"


def _best(
    table: pd.DataFrame,
    found: Searches,
    curve: Callable[[Sequence[Search]], pd.DataFrame],
    plot: Plot,
    unit: Callable[[float], str],
) -> Plot:
    """``plot`` with the curves of the settings that are drawn: others would cost time for
    nothing."""
    settings = list(dict.fromkeys(setting for setting, _ in found))
    curves = [
        curve(group).assign(setting=setting, label=label, unit=0)
        for (setting, label), group in found.items()
        if setting in settings[: figure.MOST_FACETS]
    ]
    empty = pd.DataFrame(columns=["x", "expected", "setting", "label", "unit"])
    points = pd.concat(curves) if curves else empty
    points = points.assign(y=100 * points["expected"].astype("float64"))
    facets, _ = _facets(table, points, "Best validation accuracy", unit)
    return replace(plot, facets=facets, total=len(settings))


def learning(table: pd.DataFrame, cells: pd.DataFrame, curves: pd.DataFrame) -> Plot:
    """Validation accuracy against optimiser steps of the selected trial, a line a seed."""
    points = curves.merge(cells, on="cell").sort_values(["rank", "cell", "step"])
    points["y"] = 100 * points["value"].astype("float64")
    points = points.rename(columns={"step": "x", "seed": "unit"})
    facets, total = _facets(
        table, points, "Validation accuracy", lambda steps: f"{steps:.0f} optimiser steps"
    )
    return Plot(
        "learning_curves",
        "How the chosen settings learn",
        "Validation accuracy while training with the settings that tuning chose, a line a seed. A"
        " line that still rises at its end would gain from more steps.",
        partial(axes.curves, xlabel="optimiser steps", ylabel="validation accuracy (%)"),
        facets,
        total,
    )


def _facets(
    table: pd.DataFrame, points: pd.DataFrame, what: str, unit: Callable[[float], str]
) -> tuple[list[Facet], int]:
    """A facet a setting; ``points`` has ``setting``, ``label``, ``x``, ``y`` and ``unit``.

    The text for who can't see a curve tells where it ends, mean over its lines.
    """
    table = table[table["setting"].isin(points["setting"])]
    facets = []
    for setting in table["setting"].unique()[: figure.MOST_FACETS]:
        group, rows = table[table["setting"] == setting], points[points["setting"] == setting]
        last = rows[rows["x"] == rows.groupby(["label", "unit"])["x"].transform("max")]
        ends = last.groupby("label", sort=False)[["x", "y"]].mean()
        told = [
            f"{label}: {y:.1f} % after {unit(x)}"
            for label, x, y in zip(ends.index, ends["x"], ends["y"], strict=True)
        ]
        lost = [
            f"{label} ({gap or 'no curve recorded'})"
            for label, gap in zip(group["label"], group["gap"], strict=True)
            if label not in ends.index
        ]
        title = f"{group['facet'].iloc[0]}, {format.shots_text(group['shots'].iloc[0])}"
        facets.append(Facet.of(title, rows, what, told, lost))
    return facets, table["setting"].nunique()
