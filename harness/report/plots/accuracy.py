"""Plot results and what they cost: a facet for each problem and backbone.

Only groups that are complete are drawn; what is left out is named under its facet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from harness.report import format
from harness.report.analysis import results
from harness.report.analysis.fronts import Front
from harness.report.plots import axes
from harness.report.plots.figure import Facet, Plot
from harness.shots import shots_order, shots_text


def by_shots(table: pd.DataFrame) -> Plot:
    """Mean test accuracy against shots, with intervals; a row a strategy where shots are alike."""

    def tell(row: pd.Series[Any]) -> str:
        return f"{format.accuracy(row.to_dict())} %"

    facets, total = _facets(table, "Test accuracy", tell)
    several = any(facet.data["shots"].nunique() > 1 for facet in facets)
    caption = "Higher is better. " if several else "Further right is better. "
    caption += "A mark is the mean over seeds; the "
    caption += "shade around a line, or the bar" if several else "bar"
    caption += " where there is one, is the 95 % interval."
    draw = axes.by_shots
    return Plot("accuracy_by_shots", "Accuracy by shots", caption, draw, facets, total)


def by_seconds(table: pd.DataFrame, front: Front) -> Plot:
    """Mean test accuracy against the median seconds of a cell, tuning included."""
    return _against_cost(
        table,
        front,
        "accuracy_by_seconds",
        "Accuracy against time",
        "time for one cell, tuning included",
        format.duration,
        "Up and to the left is better: more accurate, sooner.",
    )


def by_memory(table: pd.DataFrame, front: Front) -> Plot:
    """Mean test accuracy against peak bytes, of the accelerator or of the host."""
    device = front.cost == "peak_device_bytes"
    return _against_cost(
        table,
        front,
        "accuracy_by_memory",
        "Accuracy against memory",
        "peak memory of the accelerator" if device else "peak memory on the host",
        format.size,
        "Up and to the left is better: more accurate in less memory.",
    )


def _against_cost(
    table: pd.DataFrame,
    front: Front,
    name: str,
    title: str,
    xlabel: str,
    unit: Callable[[float], str],
    caption: str,
) -> Plot:
    def tell(row: pd.Series[Any]) -> str:
        return f"{format.percent(row['accuracy'])} % at {unit(row['x'])}"

    table = table.assign(x=table[front.cost], front=front.members)
    table = table[(table["x"] > 0) | (table["gap"] != "")]
    facets, total = _facets(table, title, tell, _front_text)
    caption += (
        " Ringed, and joined by the dotted line: the Pareto front: no other has a mean as"
        " high at less cost, or a higher one at the same. It goes by the means alone, untested,"
        " and leaves out bounds."
    )
    if any(facet.data["shots"].nunique() > 1 for facet in facets):
        caption += " A line joins the results of one strategy; a larger mark means more shots."
    draw = partial(axes.against_cost, xlabel=xlabel, unit=unit)
    return Plot(name, title, caption, draw, facets, total)


def _front_text(rows: pd.DataFrame) -> str:
    named = []
    for shots in sorted(rows.loc[rows["front"], "shots"].unique(), key=shots_order):
        mine = rows[(rows["shots"] == shots) & (rows["gap"] == "")]
        every = len(mine) > 2 and mine["front"].all()
        names = "all" if every else format.listing(mine.loc[mine["front"], "label"])
        named.append((shots_text(shots), names))
    if rows["shots"].nunique() > 1:
        return "On the front with " + "; with ".join(f"{at}: {names}" for at, names in named)
    return f"On the front: {named[0][1]}" if named else ""


def _facets(
    table: pd.DataFrame,
    what: str,
    tell: Callable[[pd.Series[Any]], str],
    note: Callable[[pd.DataFrame], str] = lambda _: "",
) -> tuple[list[Facet], int]:
    """A facet for each problem and backbone in which some group is complete."""
    table = table[(table["gap"] == "").groupby(table["facet"]).transform("any")]
    facets = []
    for title in table["facet"].unique()[: results.MOST_FACETS]:
        rows = table[table["facet"] == title]
        several = rows["shots"].nunique() > 1
        told, lost = [], []
        for _, row in rows.iterrows():
            name = f"{row['label']}, {shots_text(row['shots'])}" if several else row["label"]
            if row["gap"]:
                lost.append(f"{name} ({row['gap']})")
            else:
                told.append(f"{name}: {tell(row)}")
        facets.append(Facet.of(title, rows, what, told, lost, note(rows)))
    return facets, table["facet"].nunique()
