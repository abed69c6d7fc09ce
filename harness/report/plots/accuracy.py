"""Plot results and what they cost.

Only groups that are complete are drawn; what is left out is named under its facet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from harness.report import format
from harness.report.analysis import results
from harness.report.analysis.fronts import Front
from harness.report.plots import axes, ticks
from harness.report.plots.figure import Draw, Facet, Plot, highest
from harness.shots import shots_text


def by_shots(table: pd.DataFrame) -> Plot:
    """Mean test accuracy against shots, with intervals: a facet for each problem and backbone, and
    a row a strategy where shots are alike."""
    table = _known(table, "facet")
    facets, titles = [], table["facet"].unique()
    for title in titles[: results.MOST_FACETS]:
        rows = table[table["facet"] == title]
        several = rows["shots"].nunique() > 1
        note = ""
        if several:
            last = rows[rows["gap"] == ""].groupby("label", sort=False)["accuracy"].last()
            rows, note = highest(rows, last)
        told, lost = [], []
        for _, row in rows.iterrows():
            name = f"{row['label']} with {shots_text(row['shots'])}" if several else row["label"]
            if row["gap"]:
                lost.append((name, row["gap"]))
            else:
                told.append(f"{name}: {format.accuracy(row.to_dict())} %")
        facets.append(Facet.of(title, rows, "Test accuracy", told, lost, note))
    several = any(facet.data["shots"].nunique() > 1 for facet in facets)
    caption = "Higher is better. " if several else "Further right is better. "
    caption += "A mark is the mean over seeds, and the bar"
    caption += " where there is one, its 95 % interval."
    if several:
        caption += " Marks of the same shots stand side by side, so that none hides another."
    draw = axes.by_shots
    return Plot("accuracy_by_shots", "Accuracy by shots", caption, draw, facets, len(titles))


def by_seconds(table: pd.DataFrame, front: Front) -> Plot:
    """Mean test accuracy against the median seconds of a cell, tuning included."""
    return _against_cost(
        table,
        front,
        table[front.cost],
        "accuracy_by_seconds",
        "Accuracy against time",
        "Up and to the left is better: more accurate, sooner.",
        partial(
            axes.against_cost,
            xlabel="time for one cell, tuning included",
            scale=partial(ticks.seconds, names=ticks.NAMES),
        ),
        format.duration,
    )


def by_memory(table: pd.DataFrame, front: Front) -> Plot:
    """Mean test accuracy against peak bytes, of the accelerator or of the host, in percent over the
    least of the setting: most of it is libraries and data, which all have alike."""
    device = front.cost == "peak_device_bytes"
    bytes_ = table[front.cost].where(table[front.cost] > 0)
    where = "of the accelerator" if device else "on the host"
    return _against_cost(
        table,
        front,
        100 * (bytes_ / bytes_.groupby(table["setting"]).transform("min") - 1),
        "accuracy_by_memory",
        "Accuracy against memory",
        "Up and to the left is better: more accurate in less memory.",
        partial(
            axes.against_cost,
            xlabel=f"peak memory {where}, over the least",
            scale=ticks.over_cheapest,
        ),
        format.size,
    )


def _against_cost(
    table: pd.DataFrame,
    front: Front,
    x: pd.Series[float],
    name: str,
    title: str,
    caption: str,
    draw: Draw,
    unit: Callable[[float], str],
) -> Plot:
    """A facet for each setting: each strategy at ``x``, told by its cost in ``unit``."""
    table = table.assign(x=x, front=front.members)
    table = _known(table[(table[front.cost] > 0) | (table["gap"] != "")], "setting")
    facets, settings = [], table["setting"].unique()
    for setting in settings[: results.MOST_FACETS]:
        group = table[table["setting"] == setting]
        rows, gaps = group[group["gap"] == ""], group[group["gap"] != ""]
        told = [
            f"{label}: {format.percent(accuracy)} % at {unit(cost)}"
            for label, accuracy, cost in zip(
                rows["label"], rows["accuracy"], rows[front.cost], strict=True
            )
        ]
        lost = zip(gaps["label"], gaps["gap"], strict=True)
        if rows["front"].any():
            told.append(f"On the front: {format.listing(rows.loc[rows['front'], 'label'])}")
        place = format.setting_text(group["facet"].iloc[0], group["shots"].iloc[0])
        facets.append(Facet.of(place, rows, title, told, lost))
    caption += (
        " Named, and joined by the dotted line: the Pareto front: no other has a mean as"
        " high at less cost, or a higher one at the same. It goes by the means alone, untested,"
        " and leaves out bounds. A bar is a 95 % interval."
    )
    return Plot(name, title, caption, draw, facets, len(settings))


def _known(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """The rows of those in which some group is complete."""
    return table[(table["gap"] == "").groupby(table[by]).transform("any")]
